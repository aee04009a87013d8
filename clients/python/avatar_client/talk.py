"""One whole conversation from a WAV file or a text, for the command line, demonstrations and tests."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from avatar.v1 import AudioEncoding, AudioFormat, ConverseConfig, ConverseResponse
from avatar_client.client import AvatarClient
from avatar_client.conversation import Conversation
from avatar_client.errors import AvatarClientError, TimedOut
from avatar_client.recorder import check_writable
from avatar_client.recording import Recording
from avatar_client.turns import TurnLog, TurnResult
from avatar_client.wav import WavAudio, read_wav, resample

MESSAGE_S = 0.04  # audio a message; the contract advises 20 ms to 100 ms
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 48_000  # that the service takes
RESAMPLED_RATE_HZ = 16_000  # for files outside of these
CLOSING_MARGIN_S = 0.5  # silence sent beyond what ends the user's turn, for the detector's own delay
DEFAULT_SILENCE_S = 0.5
ANSWER_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class TalkResult:
    """A finished conversation: its turns, and what was recorded (`path` is None and `recorded_s` 0 if nothing was)."""

    session_id: str
    turns: list[TurnResult]
    path: Path | None
    recorded_s: float

    @property
    def answered(self) -> bool:
        """Whether the user got a reply and no turn failed."""
        spoken = [turn for turn in self.turns if turn.outcome in ("COMPLETED", "INTERRUPTED")]
        return bool(spoken) and not any(turn.failed for turn in self.turns)


async def talk(
    address: str,
    *,
    wav: Path | WavAudio | None = None,
    text: str = "",
    out: Path | None = None,
    config: ConverseConfig | None = None,
    caption: bool = True,
    timeout_s: float = ANSWER_TIMEOUT_S,
    on_response: Callable[[ConverseResponse], None] | None = None,
    on_turn: Callable[[TurnResult], None] | None = None,
) -> TalkResult:
    """Ask the service at `address` what `wav` or `text` says, play the answer out in real time and record it to `out`.

    `config` may choose the avatar and everything else but the input format. `on_response` sees every response as it
    arrives, `on_turn` every finished turn. Returns when the service has ended the stream well; raises ServiceError if
    it does not, within `timeout_s` after the question, and FileError for an unusable file, before anything is sent.
    """
    if (wav is None) == (not text):
        raise ValueError("talk() takes either wav or text")
    audio = _sendable(read_wav(wav) if isinstance(wav, Path) else wav) if wav else None
    if out:
        check_writable(out)
    request = ConverseConfig()
    request.CopyFrom(config or request)
    if audio:
        if not request.turn_taking.HasField("barge_in"):
            request.turn_taking.barge_in = False  # a recording goes on whatever it hears; it does not mean to interrupt
        encoding = AudioEncoding.AUDIO_ENCODING_LINEAR16
        request.input_audio.CopyFrom(AudioFormat(encoding=encoding, sample_rate_hertz=audio.rate_hz))
    deadline_s = timeout_s + (audio.duration_s if audio else 0.0)
    recording: Recording | None = None
    try:
        async with (
            asyncio.timeout(deadline_s),
            AvatarClient(address) as client,
            client.converse(request) as conversation,
        ):
            log = TurnLog(conversation.started.config.output_audio.sample_rate_hertz or 24_000)
            recording = Recording(conversation, log, out, caption=caption) if out else None
            ask = _send_wav(conversation, audio, log) if audio else _send_text(conversation, text, log)
            await _hold(conversation, log, ask, recording, on_response, on_turn)
    except TimeoutError as error:
        message = f"the conversation did not end within {deadline_s:.0f} s"
        raise TimedOut(grpc.StatusCode.DEADLINE_EXCEEDED, message) from error
    finally:
        if recording:
            await recording.close()
    recorded_s = recording.recorder.duration_s if recording else 0.0
    return TalkResult(conversation.started.session_id, log.results, out if recorded_s else None, recorded_s)


async def _hold(
    conversation: Conversation,
    log: TurnLog,
    ask: Coroutine[None, None, None],
    recording: Recording | None,
    on_response: Callable[[ConverseResponse], None] | None,
    on_turn: Callable[[TurnResult], None] | None,
) -> None:
    """Ask, and take in what comes until the stream ends."""
    if on_response:
        on_response(ConverseResponse(session_started=conversation.started))
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(ask, name="question")]
            if recording:
                helpers.append(tasks.create_task(recording.run(), name="recording"))
            async for response in conversation:
                result = log.add(response, time.monotonic())
                if recording:
                    recording.add(response)
                if on_response:
                    on_response(response)
                if result and on_turn:
                    on_turn(result)
            for helper in helpers:
                helper.cancel()
    except BaseExceptionGroup as group:
        raise _first_error(group) from group
    if recording:
        await recording.finish()


async def _send_wav(conversation: Conversation, audio: WavAudio, log: TurnLog) -> None:
    """Send `audio` as a microphone would, then silence that ends the turn; half-close once it is answered."""
    silence = conversation.started.config.turn_taking.silence
    closing_s = (silence.ToNanoseconds() / 1e9 or DEFAULT_SILENCE_S) + CLOSING_MARGIN_S
    samples = np.concatenate([audio.samples, np.zeros(round(closing_s * audio.rate_hz), np.int16)]).astype("<i2")
    size = round(MESSAGE_S * audio.rate_hz)
    start = time.monotonic()
    log.audio_starts(start)
    try:
        for first in range(0, len(samples), size):
            message = samples[first : first + size]
            # A microphone hands a piece over when its last sample has been spoken.
            spoken_at = start + (first + len(message)) / audio.rate_hz
            await asyncio.sleep(max(0.0, spoken_at - time.monotonic()))
            await conversation.send_audio(message.tobytes())
        # The stream stays open while the answer plays, so that play-out reports reach the service.
        await log.quiet()
        await conversation.end_input()
    except AvatarClientError:
        return  # the stream is over, and iterating over it tells how


async def _send_text(conversation: Conversation, text: str, log: TurnLog) -> None:
    """Send `text` and half-close once it is answered."""
    log.text_sent(text, time.monotonic())
    try:
        await conversation.send_text(text)
        await log.quiet()
        await conversation.end_input()
    except AvatarClientError:
        return  # the stream is over, and iterating over it tells how


def _sendable(audio: WavAudio) -> WavAudio:
    """`audio` at a rate that the service takes: its own if that is one."""
    return audio if LOWEST_RATE_HZ <= audio.rate_hz <= HIGHEST_RATE_HZ else resample(audio, RESAMPLED_RATE_HZ)


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception within a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
