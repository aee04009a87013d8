"""Speaking to the avatar: push to talk marks what is said between two presses of a key; other keys stop and leave."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from avatar import v1
from avatar_client import AsyncAvatarClient
from avatar_client.cli.conversing import Session
from avatar_client.cli.microphone import hold
from avatar_client.sound import Microphone
from avatar_client.turns import TurnLog
from tests.unit.client.scripted_service import Stream, media, serving

PIECE_BYTES = 1_280  # 40 ms at 16 kHz


class Given:
    """What the test gives, one at a time: the next one when that before was dealt with, or nobody takes it any more."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._is_taken = False

    async def take(self) -> Any:
        """The next one; the one before is then dealt with."""
        if self._is_taken:
            self._items.task_done()
        item = await self._items.get()
        self._is_taken = True
        return item

    async def give(self, item: Any, until: "asyncio.Task[None]") -> None:
        """Give one, and wait until it is dealt with, or `until` has ended."""
        self._items.put_nowait(item)
        async with asyncio.TaskGroup() as tasks:
            dealt_with = tasks.create_task(self._items.join())
            await asyncio.wait({dealt_with, until}, return_when=asyncio.FIRST_COMPLETED)
            dealt_with.cancel()


class Voice(Given):
    """Stands for a microphone: hears what the test gives, 40 ms of a letter at a time."""

    def __aiter__(self) -> "Voice":
        return self

    async def __anext__(self) -> bytes:
        return bytes((await self.take()) * PIECE_BYTES)


class Keys(Given):
    """Stands for the keyboard; None is Ctrl-D."""

    async def typed(self) -> AsyncGenerator[str]:
        """What is typed."""
        while (key := await self.take()) is not None:
            yield key


def heard_by_the_service(key: str, is_open: bool = False, answering: bool = False) -> list[v1.ConverseRequest]:
    """What the service gets of "a", a key, "b", the key again, "c", Ctrl-D."""
    streams: list[Stream] = []

    async def script(stream: Stream) -> None:
        streams.append(stream)
        await stream.start()
        if answering:
            await stream.send(v1.ConverseResponse(turn_started=v1.TurnStarted(turn_id=1)), *media(1, 1))
        await stream.until_half_close()

    async def scenario() -> None:
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.converse() as conversation,
        ):
            keys, voice, log = Keys(), Voice(), TurnLog(24_000)
            if answering:
                async for event in conversation:
                    log.add(event, 0.0)
                    if log.is_answering:
                        break
            session = Session(conversation, log, keys.typed(), interactive=True)
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(hold(session, cast(Microphone, voice), is_open=is_open))
                for giver, item in (
                    (voice, b"a"),
                    (keys, key),
                    (voice, b"b"),
                    (keys, key),
                    (voice, b"c"),
                    (keys, None),
                ):
                    await giver.give(item, holding)
                await holding
            await conversation.end_input()
            assert [event async for event in conversation if isinstance(event, Exception)] == []

    asyncio.run(scenario())
    return [request for request in streams[0].received if request.WhichOneof("payload") != "config"]


def letters(requests: list[v1.ConverseRequest]) -> str:
    """What was heard, by letter; a dot for silence."""
    return "".join(chr(request.audio.data[0] or ord(".")) for request in requests if request.HasField("audio"))


def silent_bytes(requests: list[v1.ConverseRequest]) -> int:
    """Silence among what was heard."""
    return sum(len(request.audio.data) for request in requests if request.audio.data.startswith(b"\0"))


CLOSING_BYTES = 2 * round(0.6 * 16_000)  # 0.1 s that end a turn of this server, and 0.5 s to be sure


def kinds(requests: list[v1.ConverseRequest]) -> list[str | None]:
    """What kinds of requests came, those of a kind that follow one another once, reports of play-out aside."""
    names = [request.WhichOneof("payload") for request in requests if not request.HasField("playback_report")]
    return [name for name, before in zip(names, [None, *names], strict=False) if name != before]


@pytest.mark.parametrize("key", [" ", "\n", ""])  # the last is an empty line, of what is no terminal
def test_push_to_talk_sends_what_is_said_between_two_presses_and_marks_it(key: str) -> None:
    requests = heard_by_the_service(key)
    assert kinds(requests) == ["utterance_started", "audio", "utterance_ended"]
    assert (letters(requests), silent_bytes(requests)) == ("b", 0)


def test_an_open_microphone_sends_everything_and_silence_at_the_end() -> None:
    requests = heard_by_the_service(" ", is_open=True)
    assert kinds(requests) == ["audio"]
    assert letters(requests).rstrip(".") == "abc"
    assert silent_bytes(requests) == CLOSING_BYTES


def test_the_avatar_is_stopped_by_its_key_while_it_answers() -> None:
    assert kinds(heard_by_the_service("i", answering=True)) == ["interrupt"]
    assert kinds(heard_by_the_service("i")) == [], "there is nothing to stop"


def test_one_can_leave_in_the_middle_of_a_sentence() -> None:
    assert kinds(heard_by_the_service("q", is_open=True)) == ["audio"]
