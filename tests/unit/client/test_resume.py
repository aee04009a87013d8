"""A conversation survives its connection: it goes on over another stream, loses nothing and plays nothing twice."""

import asyncio

import grpc
import numpy as np
import pytest

from avatar import v1
from avatar.v1 import Code, ConverseResponse, Interrupted, TurnOutcome
from avatar_client import (
    AsyncAvatarClient,
    AsyncConversation,
    Audio,
    AvatarClient,
    ConnectionLost,
    ConverseEvent,
    Frame,
    NotAuthenticated,
    Resumed,
    StreamEnded,
    Tool,
    TurnCompleted,
    TurnStarted,
)
from tests.unit.client.resuming import COMPLETED, hold, kinds, received, turn_started
from tests.unit.client.scripted_service import (
    Script,
    Stream,
    failure,
    in_turn,
    media,
    reply_finished,
    serving,
    turn_completed,
)
from tests.unit.client.server_thread import server


def test_a_stream_that_breaks_in_the_middle_of_a_turn_is_resumed_and_nothing_is_played_twice() -> None:
    resumes: list[v1.Resume] = []
    heard: list[int] = []

    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.send(turn_started(1), *media(1, 20))
        heard.append((await stream.until("playback_report")).playback_report.position.ToMilliseconds())
        await stream.cut()

    async def after(stream: Stream) -> None:
        resumes.append(await stream.start("second", last_turn_id=1))
        await stream.send(*media(1, 2), turn_started(2, resumes=1), *media(2, 5), reply_finished(2, 5))
        report = (await stream.until("playback_report")).playback_report
        assert report.turn_id == 2, "of the turn that was cut no more is reported"
        await stream.send(turn_completed(2, "near.", COMPLETED))

    events = hold(in_turn(before, after))
    (resume,) = resumes
    assert resume.resume_token == "first"
    assert (resume.playback.turn_id, resume.playback.stopped) == (1, True)
    assert heard[0] <= resume.playback.position.ToMilliseconds() <= 800
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert (resumed.turn_id, resumed.started.last_turn_id) == (1, 1)
    assert resumed.played_s == pytest.approx(resume.playback.position.ToNanoseconds() / 1e9)
    lost = events[events.index(resumed) - 1]
    assert isinstance(lost, ConnectionLost)
    assert lost.cause == resumed.cause
    assert resumed.cause.endswith("broke (Socket closed)")
    media_after = [event.turn_id for event in events[events.index(resumed) :] if isinstance(event, Audio | Frame)]
    assert set(media_after) == {2}, "media of the turn that was cut are void"


def test_the_end_of_a_turn_is_told_once_however_often_it_comes() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.send(turn_started(1), *media(1, 2), reply_finished(1, 2), turn_completed(1, "near.", COMPLETED))
        await stream.send(turn_started(2), *media(2, 2), reply_finished(2, 2))
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.start("second", last_turn_id=2)
        await stream.send(turn_completed(1, "near.", COMPLETED), turn_completed(2, "far.", COMPLETED))

    ends = [event for event in hold(in_turn(before, after)) if isinstance(event, TurnCompleted)]
    assert [(end.turn_id, end.heard_text) for end in ends] == [(1, "near."), (2, "far.")]


def test_audio_is_sent_again_from_the_offset_that_the_service_has_and_then_goes_on() -> None:
    sound = np.arange(16_000, dtype="<i2")
    again: list[bytes] = []
    resumed = asyncio.Event()

    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("audio", count=15)
        await stream.send(received(300))
        await stream.until("audio", count=5)
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.start("second", received_s=0.43)
        resumed.set()
        await stream.until_half_close()
        again.extend(request.audio.data for request in stream.received if request.HasField("audio"))

    async def speak(conversation: AsyncConversation) -> None:
        for first in range(0, 12_800, 640):
            await conversation.send_pcm(sound[first : first + 640].tobytes())

    async def go_on(conversation: AsyncConversation, event: ConverseEvent) -> None:
        if isinstance(event, Resumed):
            await conversation.send_pcm(sound[12_800:].tobytes())
            await conversation.end_input()

    hold(in_turn(before, after), speak, go_on)
    assert (np.frombuffer(b"".join(again), "<i2") == sound[round(0.43 * 16_000) :]).all()
    assert len(again) <= 3, "what is sent again is sent in few messages"


def test_what_is_said_while_the_stream_is_down_is_sent_once_it_is_resumed() -> None:
    sent: list[str | None] = []
    broken, spoken = asyncio.Event(), asyncio.Event()

    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("text")
        broken.set()
        await stream.cut()

    async def after(stream: Stream) -> None:
        await spoken.wait()
        await stream.start("second")
        await stream.until_half_close()
        sent.extend(request.WhichOneof("payload") for request in stream.received)

    async def scenario() -> None:
        async def speak(conversation: AsyncConversation) -> None:
            await broken.wait()
            await conversation.begin_utterance()
            await conversation.send_pcm(bytes(64))
            await conversation.end_utterance()
            await conversation.interrupt()
            await conversation.end_input()
            spoken.set()

        async with serving(in_turn(before, after)) as address, AsyncAvatarClient(address) as client:
            async with client.converse() as conversation, asyncio.TaskGroup() as tasks:
                await conversation.send_text("hello")
                tasks.create_task(speak(conversation))
                assert kinds([event async for event in conversation]) == [ConnectionLost, Resumed]
            with pytest.raises(StreamEnded):
                await conversation.send_text("too late")

    asyncio.run(scenario())
    assert sent == ["config", "text", "utterance_started", "audio", "utterance_ended", "interrupt"]


def test_texts_are_sent_again_unless_their_turn_has_begun() -> None:
    requests: list[v1.ConverseRequest] = []

    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("config_update")
        await stream.send(turn_started(1, request_id="q1"), turn_completed(1, "Near.", COMPLETED))
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.start("second")
        await stream.until("config_update")
        requests.extend(stream.received)

    async def ask(conversation: AsyncConversation) -> None:
        await conversation.send_text("How far?", "q1")
        await conversation.send_text("And the sun?")
        await conversation.say("Well.")
        await conversation.update(system_prompt="Be brief.")

    hold(in_turn(before, after), ask)
    assert [request.WhichOneof("payload") for request in requests[1:]] == [
        *("text", "say", "config_update"),
    ]
    assert requests[1].text.text == "And the sun?"
    assert requests[1].text.request_id != requests[2].say.request_id != ""


def test_a_session_whose_stream_grew_too_old_goes_on() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.fail(grpc.StatusCode.ABORTED, failure(Code.CODE_ABORTED, "SESSION_AGE_REACHED", "1 h is over"))

    async def after(stream: Stream) -> None:
        assert (await stream.start("second")).resume_token == "first"

    assert kinds(hold(in_turn(before, after))) == [ConnectionLost, Resumed]


EXPIRED = grpc.StatusCode.UNAUTHENTICATED, failure(Code.CODE_UNAUTHENTICATED, "CREDENTIAL_EXPIRED", "it has expired")


async def expires(stream: Stream) -> None:
    await stream.start("first")
    await stream.fail(*EXPIRED)


def test_a_session_whose_credential_has_ended_goes_on_with_a_newer_one() -> None:
    async def after(stream: Stream) -> None:
        assert (await stream.start("second")).resume_token == "first"

    assert kinds(hold(in_turn(expires, after))) == [ConnectionLost, Resumed]


def test_a_credential_that_is_refused_again_ends_the_conversation() -> None:
    async def refuse(stream: Stream) -> None:
        await stream.until("config")
        await stream.fail(*EXPIRED)

    with pytest.raises(NotAuthenticated):
        hold(in_turn(expires, refuse))


def test_a_place_that_the_broken_stream_still_holds_is_waited_for() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.cut()

    async def refuse(stream: Stream) -> None:
        await stream.until("config")
        status = failure(Code.CODE_RESOURCE_EXHAUSTED, "SESSIONS_EXHAUSTED", "full")
        status.retry_delay.FromMilliseconds(100)
        await stream.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, status)

    async def after(stream: Stream) -> None:
        assert (await stream.start("second")).resume_token == "first"

    assert kinds(hold(in_turn(before, refuse, after))) == [ConnectionLost, Resumed]


def test_each_break_is_resumed_with_the_latest_token() -> None:
    tokens: list[str] = []

    def script(token: str, cuts: bool) -> Script:
        async def follow(stream: Stream) -> None:
            tokens.append((await stream.start(token)).resume_token)
            if cuts:
                await stream.cut()

        return follow

    assert (
        kinds(hold(in_turn(script("a", True), script("b", True), script("c", False)))) == [ConnectionLost, Resumed] * 2
    )
    assert tokens == ["", "a", "b"]


def test_tools_that_were_called_before_the_break_are_left_alone() -> None:
    stopped = asyncio.Event()
    sent: list[str | None] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def before(stream: Stream) -> None:
        await stream.start("first")
        calls = v1.ToolCalls(turn_id=1, calls=[v1.ToolCall(tool_call_id="c", name="hang")])
        await stream.send(ConverseResponse(tool_calls=calls))
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.start("second")
        await stream.until_half_close()
        sent.extend(request.WhichOneof("payload") for request in stream.received)

    async def scenario() -> None:
        tools = {"hang": Tool(hang, "Takes its time.")}
        async with (
            serving(in_turn(before, after)) as address,
            AsyncAvatarClient(address) as client,
            client.converse(tools=tools) as conversation,
        ):
            async for event in conversation:
                if isinstance(event, Resumed):
                    await stopped.wait()
                    await conversation.end_input()

    asyncio.run(scenario())
    assert sent == ["config"], "the service asks for them again where they are needed"


def test_the_sync_client_is_resumed_as_well() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("text")
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.start("second")
        await stream.until("text")
        await stream.send(
            turn_started(1),
            *media(1, 2),
            ConverseResponse(interrupted=Interrupted(turn_id=1)),
            turn_completed(1, "", TurnOutcome.TURN_OUTCOME_INTERRUPTED),
        )

    with server(in_turn(before, after)) as address, AvatarClient(address) as client, client.converse() as conversation:
        conversation.send_text("How far?")
        events = list(conversation)
    assert [type(event) for event in events[:3]] == [ConnectionLost, Resumed, TurnStarted]
    assert isinstance(events[-1], TurnCompleted)
