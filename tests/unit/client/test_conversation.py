"""A conversation over a real socket: what is sent, what is reported, what is dropped, how failures look."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc
import pytest

from avatar import v1
from avatar.v1 import (
    Code,
    ConverseConfig,
    ConverseResponse,
    ToolResult,
)
from avatar_client import AsyncAvatarClient, Audio, Frame, Interrupted, StateChanged
from avatar_client.errors import (
    InvalidRequest,
    ServiceFault,
    StreamEnded,
    TakenOver,
    Unavailable,
)
from avatar_client.wire_audio import AudioDecoder
from tests.unit.client.scripted_service import Script, Stream, failure, media, reply_finished, serving


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_the_configuration_goes_first_and_the_effective_one_comes_back() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    async def scenario() -> None:
        config = ConverseConfig(avatar="avatars/ada")
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.converse(config) as conversation,
        ):
            assert conversation.started.session_id == "s-1"
            assert conversation.started.config.avatar == "avatars/ada"
            assert conversation.started.config.frame_format.frame_rate.numerator == 25
            await conversation.end_input()
            assert [event async for event in conversation] == []

    run(scenario())


def test_everything_that_can_be_said_arrives_in_order() -> None:
    seen: list[str | None] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()
        seen.extend(request.WhichOneof("payload") for request in stream.received)

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client, client.converse() as conversation:
            await conversation.send_audio(b"\0\0")
            await conversation.send_text("hello")
            await conversation.say("hello", interrupt=True)
            await conversation.begin_utterance()
            await conversation.end_utterance()
            await conversation.interrupt()
            await conversation.send_tool_results(ToolResult(tool_call_id="c1", output="{}"))
            await conversation.end_input()
            assert [event async for event in conversation] == []

    run(scenario())
    spoken = ["audio", "text", "say", "utterance_started", "utterance_ended", "interrupt", "tool_results"]
    assert seen == ["config", *spoken]


def test_play_out_is_reported_while_a_turn_plays_and_once_at_its_end() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(*media(turn_id=1, frames=15), reply_finished(1, 15))
        first = (await stream.until("playback_report")).playback_report
        assert (first.turn_id, first.stopped) == (1, False)
        assert 0 < first.position.ToMilliseconds() < 600
        last = first
        while not last.stopped:
            last = (await stream.until("playback_report")).playback_report
        assert last.position.ToMilliseconds() == pytest.approx(600, abs=1)
        await stream.send(ConverseResponse(state_changed=v1.StateChanged()))
        await stream.until_half_close()
        assert stream.received[-1].playback_report == last, "nothing is reported after the end"

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client, client.converse() as conversation:
            async for event in conversation:
                if isinstance(event, StateChanged):
                    await conversation.end_input()

    run(scenario())


def test_an_interruption_is_answered_by_a_last_report_and_stale_media_are_dropped() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(*media(turn_id=1, frames=5))
        await stream.send(ConverseResponse(interrupted=v1.Interrupted(turn_id=1)))
        report = (await stream.until("playback_report")).playback_report
        assert (report.turn_id, report.stopped) == (1, True)
        await stream.send(*media(turn_id=1, frames=5), *media(turn_id=2, frames=1))

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client, client.converse() as conversation:
            heard = [type(event) async for event in conversation]
        assert heard == [Audio, Frame] * 5 + [Interrupted, Audio, Frame]

    run(scenario())


def fails_with(script: Script, code: grpc.StatusCode | None = None) -> Exception:
    """What iterating over a conversation with `script` raises."""
    caught: list[Exception] = []

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            try:
                async with client.converse() as conversation:
                    async for _ in conversation:
                        pass
            except Exception as error:
                caught.append(error)

    run(scenario())
    return caught[0]


def test_a_refused_configuration_names_field_reason_and_facts() -> None:
    async def script(stream: Stream) -> None:
        await stream.until("config")
        status = failure(Code.CODE_INVALID_ARGUMENT, "FIELD_INVALID", "fps must be 10 to 60", "config.frame_format")
        await stream.fail(grpc.StatusCode.INVALID_ARGUMENT, status)

    error = fails_with(script)
    assert isinstance(error, InvalidRequest)
    assert (str(error), error.reason, error.field) == ("fps must be 10 to 60", "FIELD_INVALID", "config.frame_format")
    assert error.metadata == {"limit": "4000"}
    assert error.retry_delay_s is None


def test_a_session_that_fails_later_raises_from_the_iteration() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.send(*media(turn_id=1, frames=2))
        status = failure(Code.CODE_ABORTED, "SESSION_TAKEN_OVER", "another stream resumed this session")
        status.retry_delay.FromMilliseconds(1500)
        await stream.fail(grpc.StatusCode.ABORTED, status)

    error = fails_with(script)
    assert isinstance(error, TakenOver)
    assert (error.reason, error.retry_delay_s) == ("SESSION_TAKEN_OVER", 1.5)


def test_details_that_are_not_ours_leave_grpcs_own_words() -> None:
    async def script(stream: Stream) -> None:
        await stream.until("config")
        trailer = (("grpc-status-details-bin", b"\xff\xff"),)
        await stream._context.abort(grpc.StatusCode.UNAVAILABLE, "upstream overflow", trailer)

    error = fails_with(script)
    assert isinstance(error, Unavailable)
    assert "broke (upstream overflow)" in str(error)


def test_a_server_that_is_not_there_is_named_with_the_way_out() -> None:
    async def scenario() -> None:
        async with AsyncAvatarClient("127.0.0.1:1") as client:
            with pytest.raises(Unavailable, match=r"no avatar service answers at 127\.0\.0\.1:1.*avatar-service up"):
                async with client.converse():
                    raise AssertionError("no session can start")

    run(scenario())


def test_nothing_can_be_sent_after_the_end() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client, client.converse() as conversation:
            assert [event async for event in conversation] == []
            with pytest.raises(StreamEnded):
                await conversation.send_text("too late")

    run(scenario())


def test_leaving_early_ends_the_stream_and_keeps_the_callers_exception() -> None:
    ended = asyncio.Event()

    async def script(stream: Stream) -> None:
        await stream.start()
        try:
            await stream.until("text")
        finally:
            ended.set()

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            with pytest.raises(LookupError, match="mine"):
                async with client.converse():
                    raise LookupError("mine")
            await ended.wait()

    run(scenario())


def test_a_response_that_this_client_does_not_know_is_passed_over() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        unknown = ConverseResponse.FromString(b"\xfa\x06\x02hi")  # field 111, as a later server may send it
        await stream.send(unknown, *media(turn_id=1, frames=1))

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client, client.converse() as conversation:
            assert [type(event) async for event in conversation] == [Audio, Frame]

    run(scenario())


def test_audio_with_a_gap_is_a_fault_of_the_service() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        first, _, _, _, third, *_ = media(turn_id=1, frames=3)
        await stream.send(first, third)
        await stream.until_half_close()

    error = fails_with(script)
    assert isinstance(error, ServiceFault)
    assert "sent chunk 2 of turn 1 at 0.080 s where chunk 1 at 0.040 s was due" in str(error)


def test_cancelling_the_task_that_reads_ends_the_stream_and_leaves_nothing() -> None:
    ended = asyncio.Event()

    async def script(stream: Stream) -> None:
        try:
            await stream.start()
            await stream.until_half_close()
        finally:
            ended.set()

    async def read(address: str) -> None:
        async with AsyncAvatarClient(address) as client, client.converse() as conversation:
            async for _ in conversation:
                raise AssertionError("nothing is sent")

    async def scenario() -> None:
        async with serving(script) as address:
            reading = asyncio.create_task(read(address))
            await asyncio.sleep(0.1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await ended.wait()
        assert [task for task in asyncio.all_tasks() if task.get_name() == "playback reports"] == []

    run(scenario())


def test_samples_are_sent_as_the_configuration_encodes_them() -> None:
    received: list[bytes] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()
        received.extend(request.audio.data for request in stream.received if request.HasField("audio"))

    async def scenario() -> None:
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.converse(input_encoding="OPUS") as conversation,
        ):
            assert conversation.started.config.input_audio.sample_rate_hertz == 48_000
            await conversation.send_pcm(bytes(2 * 48_000 // 40))  # 25 ms
            await conversation.end_input()
            assert [event async for event in conversation] == []

    run(scenario())
    decoder = AudioDecoder("OPUS", 48_000)
    assert [len(decoder.decode(packet)) // 2 for packet in received] == [960, 960], "the rest is filled up with silence"
