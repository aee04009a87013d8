"""Speaking to the avatar: push to talk sends what is said between one Enter and the next, then the closing silence."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

from avatar import v1
from avatar_client import AsyncAvatarClient
from avatar_client.cli.conversing import Session
from avatar_client.cli.microphone import hold
from avatar_client.sound import Microphone
from avatar_client.turns import TurnLog
from tests.unit.client.scripted_service import Stream, media, serving

PIECE_BYTES = 1_280  # 40 ms at 16 kHz


class Voice:
    """Stands for a microphone: hears what the test says, when it says it."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def say(self, letter: bytes) -> None:
        """Be heard for 40 ms."""
        self._pieces.put_nowait(letter * PIECE_BYTES)
        while not self._pieces.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    def __aiter__(self) -> "Voice":
        return self

    async def __anext__(self) -> bytes:
        return await self._pieces.get()


class Keys:
    """Stands for the keyboard."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()

    async def enter(self) -> None:
        """Press Enter."""
        self._lines.put_nowait("")
        await asyncio.sleep(0.02)

    def leave(self) -> None:
        """Press Ctrl-D."""
        self._lines.put_nowait(None)

    async def lines(self) -> AsyncIterator[str]:
        """What is typed."""
        while (line := await self._lines.get()) is not None:
            yield line


def heard_by_the_service(headphones: bool, answering: bool = False) -> list[v1.ConverseRequest]:
    """What the service gets of "a", Enter, "b", Enter, "c", Ctrl-D."""
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
            session = Session(conversation, log, keys.lines(), interactive=True)
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(hold(session, cast(Microphone, voice), headphones=headphones))
                await asyncio.sleep(0.02)
                await voice.say(b"a")
                await keys.enter()
                await voice.say(b"b")
                await keys.enter()
                await voice.say(b"c")
                keys.leave()
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


def test_push_to_talk_sends_what_is_said_between_two_presses_and_silence_after_it() -> None:
    requests = heard_by_the_service(headphones=False)
    assert letters(requests).rstrip(".") == "b"
    assert silent_bytes(requests) == CLOSING_BYTES


def test_with_headphones_everything_is_sent_and_silence_at_the_end() -> None:
    requests = heard_by_the_service(headphones=True)
    assert letters(requests).rstrip(".") == "abc"
    assert silent_bytes(requests) == CLOSING_BYTES


def test_beginning_to_speak_stops_the_avatar() -> None:
    kinds = [request.WhichOneof("payload") for request in heard_by_the_service(headphones=False, answering=True)]
    assert [kind for kind in kinds if kind != "playback_report"][:2] == ["interrupt", "audio"]
