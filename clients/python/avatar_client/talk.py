"""One whole conversation from an audio file or a text, for the command line, demonstrations and tests."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc

from avatar.v1 import ConverseConfig
from avatar_client.asking import send_file, send_text
from avatar_client.audio_file import AudioFile
from avatar_client.client import AsyncAvatarClient
from avatar_client.configs import audio_format
from avatar_client.conversation import AsyncConversation
from avatar_client.errors import TimedOut
from avatar_client.events import ConverseEvent
from avatar_client.facts import AudioEncoding
from avatar_client.mp4 import check_writable
from avatar_client.playing import Playing
from avatar_client.recording import AsyncRecorder
from avatar_client.sound import Loudspeaker
from avatar_client.turns import TurnLog, TurnResult
from avatar_client.wire_audio import wire_rate_hz

ANSWER_TIMEOUT_S = 120.0

Beside: TypeAlias = Callable[[AsyncConversation, TurnLog], Coroutine[Any, Any, None]]
"""What runs beside a conversation."""


class Sink(Protocol):
    """Something that takes the events of a stream, as a recorder does."""

    async def add(self, event: ConverseEvent) -> None:
        """Take in an event."""
        ...


@dataclass(frozen=True, slots=True)
class TalkResult:
    """A finished conversation: its turns, and what was recorded (`path` is None and `recorded_s` 0 if nothing was).

    `cut_off`: the service ended it while something was unanswered.
    """

    session_id: str
    turns: list[TurnResult]
    path: Path | None
    recorded_s: float
    cut_off: bool = False

    @property
    def answered(self) -> bool:
        """Whether the user got a reply and no turn failed."""
        spoken = [turn for turn in self.turns if turn.outcome in ("COMPLETED", "INTERRUPTED")]
        return bool(spoken) and not any(turn.failed for turn in self.turns)


async def talk(
    address: str,
    *,
    wav: Path | AudioFile | None = None,
    text: str = "",
    out: Path | None = None,
    play: bool = False,
    config: ConverseConfig | None = None,
    input_encoding: AudioEncoding = "LINEAR16",
    caption: bool = True,
    timeout_s: float = ANSWER_TIMEOUT_S,
    on_event: Callable[[ConverseEvent], None] | None = None,
    on_turn: Callable[[TurnResult], None] | None = None,
    beside: Beside | None = None,
    client: AsyncAvatarClient | None = None,
) -> TalkResult:
    """Ask the service at `address` what the audio file `wav` or `text` says, and follow the answer.

    The answer is recorded to `out`, and heard if `play` is set. `config` may choose the avatar and everything else but
    the input format. `on_event` sees every event as it arrives, `on_turn` every finished turn; `beside` runs as long as
    the conversation does, and may send to it. `client`, not opened, is used in place of one for `address`, with what it
    shows of the caller. Returns when the service has ended the stream well; raises ServiceError
    if it does not, within `timeout_s` after the question, FileError for an unusable file, before anything is sent, and
    SoundError if there is no loudspeaker.
    """
    if (wav is None) == (not text):
        raise ValueError("talk() takes either wav or text")
    audio = AudioFile(wav) if isinstance(wav, Path) else wav
    if out:
        check_writable(out)
    request = _request(config, audio, input_encoding)
    recorder: AsyncRecorder | None = None
    try:
        async with AsyncExitStack() as stack:
            deadline = await stack.enter_async_context(asyncio.timeout(timeout_s))
            opened = await stack.enter_async_context(client or AsyncAvatarClient(address))
            conversation = await stack.enter_async_context(opened.converse(request))
            log = TurnLog(conversation.media.sample_rate_hz)
            sinks: list[Sink] = []
            if out:
                recorder = AsyncRecorder(out, conversation.media, log.question if caption else None)
                sinks.append(await stack.enter_async_context(recorder))
            if play:
                loudspeaker = stack.enter_context(Loudspeaker(conversation.media.sample_rate_hz))
                sinks.append(await stack.enter_async_context(Playing(conversation.clock, loudspeaker)))
            ask = send_file(conversation, audio, log, deadline) if audio else send_text(conversation, text, log)
            running = [ask, beside(conversation, log)] if beside else [ask]
            await follow(conversation, log, running, sinks, on_event, on_turn)
    except TimeoutError as error:
        message = f"the conversation did not end within {timeout_s:.0f} s after the question"
        raise TimedOut(grpc.StatusCode.DEADLINE_EXCEEDED, message) from error
    recorded_s = recorder.duration_s if recorder else 0.0
    path = out if recorded_s else None
    return TalkResult(conversation.started.session_id, log.results, path, recorded_s, log.is_answering)


async def follow(
    conversation: AsyncConversation,
    log: TurnLog,
    running: Sequence[Coroutine[Any, Any, None]],
    sinks: Sequence[Sink],
    on_event: Callable[[ConverseEvent], None] | None = None,
    on_turn: Callable[[TurnResult], None] | None = None,
) -> None:
    """Run what asks beside the conversation, and take in what comes until the stream ends; the former then ends too."""
    if on_event:
        on_event(conversation.started)
    try:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(ask, name="asking") for ask in running]
            async for event in conversation:
                result = log.add(event, time.monotonic())
                for sink in sinks:
                    await sink.add(event)
                if on_event:
                    on_event(event)
                if result and on_turn:
                    on_turn(result)
            for task in asking:
                task.cancel()
    except BaseExceptionGroup as group:
        raise _first_error(group) from group


def _request(config: ConverseConfig | None, audio: AudioFile | None, encoding: AudioEncoding) -> ConverseConfig:
    """`config` for a question that `audio` asks, or a text."""
    request = ConverseConfig()
    request.CopyFrom(config or request)
    if audio:
        if not request.turn_taking.HasField("barge_in"):
            request.turn_taking.barge_in = False  # a recording goes on whatever it hears; it does not mean to interrupt
        request.input_audio.CopyFrom(audio_format(encoding, wire_rate_hz(encoding, audio.rate_hz)))
    return request


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception within a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
