"""What cannot be resumed says so, at once where that is clear, and otherwise in bounded time."""

import asyncio

import grpc
import pytest

from avatar import v1
from avatar.v1 import Code, ConverseResponse
from avatar_client import (
    AsyncAvatarClient,
    AsyncConversation,
    ConnectionLost,
    NotFound,
    ServiceError,
    StreamEnded,
    TakenOver,
    Unavailable,
)
from tests.unit.client.resuming import hold
from tests.unit.client.scripted_service import (
    Stream,
    failure,
    in_turn,
    serving,
)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (Code.CODE_NOT_FOUND, "SESSION_NOT_FOUND", NotFound),
        (Code.CODE_ABORTED, "SESSION_TAKEN_OVER", TakenOver),
        (Code.CODE_RESOURCE_EXHAUSTED, "READER_TOO_SLOW", ServiceError),
    ],
)
def test_a_session_that_cannot_be_resumed_raises_what_the_service_says(
    code: Code.ValueType, reason: str, kind: type[ServiceError]
) -> None:
    streams: list[Stream] = []

    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.cut()

    async def after(stream: Stream) -> None:
        streams.append(stream)
        await stream.until("config")
        status = getattr(grpc.StatusCode, Code.Name(code).removeprefix("CODE_"))
        await stream.fail(status, failure(code, reason, "no session has this token"))

    with pytest.raises(kind, match="no session has this token") as caught:
        hold(in_turn(before, after))
    assert caught.value.reason == reason
    assert len(streams) == 1, "it is not tried again"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(Code.CODE_INVALID_ARGUMENT, "FIELD_INVALID"), (Code.CODE_ABORTED, "SESSION_TAKEN_OVER")],
)
def test_what_another_stream_cannot_mend_is_raised_at_once(code: Code.ValueType, reason: str) -> None:
    streams: list[Stream] = []

    async def script(stream: Stream) -> None:
        streams.append(stream)
        await stream.start("first")
        status = getattr(grpc.StatusCode, Code.Name(code).removeprefix("CODE_"))
        await stream.fail(status, failure(code, reason, "not like this"))

    with pytest.raises(ServiceError, match="not like this"):
        hold(script)
    assert len(streams) == 1


def test_breaks_without_end_are_given_up_in_time() -> None:
    async def script(stream: Stream) -> None:
        await stream.start("token")
        await stream.cut()

    with pytest.raises(Unavailable, match=r"could not be resumed within 0\.5 s: the connection to .* broke"):
        hold(script, resume_within_s=0.5)


def test_a_service_that_does_not_come_back_is_given_up_in_time() -> None:
    async def scenario() -> None:
        async with (
            AsyncAvatarClient("127.0.0.1:1") as nowhere,
            serving(cut_when_told) as address,
            AsyncAvatarClient(address) as client,
            client.converse(resume_within_s=0.5) as conversation,
        ):
            conversation._open_call = nowhere._stub.Converse
            await conversation.send_text("now")
            with pytest.raises(Unavailable, match=r"resumed within 0\.5 s: no avatar service answers at"):
                async for _ in conversation:
                    pass
            with pytest.raises(StreamEnded):
                await conversation.send_text("too late")

    async def cut_when_told(stream: Stream) -> None:
        await stream.start("first")
        await stream.until("text")
        await stream.cut()

    asyncio.run(scenario())


def test_a_program_that_wants_no_resume_gets_the_error() -> None:
    async def script(stream: Stream) -> None:
        await stream.start("first")
        await stream.cut()

    with pytest.raises(Unavailable, match="broke"):
        hold(script, resume_within_s=0.0)


def test_another_session_in_the_place_of_the_one_that_broke_is_a_fault() -> None:
    async def before(stream: Stream) -> None:
        await stream.start("first")
        await stream.cut()

    async def after(stream: Stream) -> None:
        await stream.until("config")
        await stream.send(ConverseResponse(session_started=v1.SessionStarted(session_id="s-2")))

    with pytest.raises(ServiceError, match="began another session in the place of the one"):
        hold(in_turn(before, after))


def test_a_stream_that_is_closed_while_it_is_being_resumed_ends_at_once() -> None:
    async def script(stream: Stream) -> None:
        if (await stream.until("config")).config.HasField("resume"):
            await asyncio.sleep(60)
        started = v1.SessionStarted(session_id="s-1", resume_token="first")
        await stream.send(ConverseResponse(session_started=started))
        await stream.cut()

    async def read(conversation: AsyncConversation) -> None:
        async for event in conversation:
            assert isinstance(event, ConnectionLost)

    async def scenario() -> None:
        async with serving(script) as address, AsyncAvatarClient(address) as client:
            async with client.converse() as conversation:
                reading = asyncio.create_task(read(conversation))
                while conversation._attempt is None:
                    await asyncio.sleep(0.005)
            with pytest.raises(StreamEnded, match="closed on this side"):
                await reading

    asyncio.run(scenario())
