"""Asking the way a person does: a recording in real time, or a text, and then waiting for the answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from avatar_client.audio_file import AudioFile
from avatar_client.conversation import AsyncConversation
from avatar_client.errors import ServiceError, StreamEnded
from avatar_client.turns import TurnLog

CLOSING_MARGIN_S = 0.5  # silence sent beyond what ends the user's turn, for the detector's own delay
DEFAULT_SILENCE_S = 0.5


async def send_file(
    conversation: AsyncConversation, audio: AudioFile, log: TurnLog, deadline: asyncio.Timeout | None = None
) -> None:
    """Send `audio` as a microphone would, then silence that ends the turn; half-close once it is answered.

    Each piece sent moves `deadline`, as far ahead as it was at first. Raises FileError where the file is damaged.
    """
    loop = asyncio.get_running_loop()
    patience_s = (deadline.when() or 0.0) - loop.time() if deadline else 0.0
    rate_hz = input_rate_hz(conversation)
    position_s, start = 0.0, time.monotonic()
    log.audio_starts(start)
    try:
        async for pcm in _pieces(audio.pieces(rate_hz, closing_s=closing_s(conversation))):
            position_s += len(pcm) / 2 / rate_hz
            # A microphone hands a piece over when its last sample has been spoken.
            await asyncio.sleep(max(0.0, start + position_s - time.monotonic()))
            await conversation.send_pcm(pcm)
            if deadline and not deadline.expired():
                deadline.reschedule(loop.time() + patience_s)
        # The stream stays open while the answer plays, so that play-out reports reach the service.
        await log.quiet()
        await conversation.end_input()
    except (ServiceError, StreamEnded):
        return  # the stream is over, and iterating over it tells how


async def send_text(conversation: AsyncConversation, text: str, log: TurnLog) -> None:
    """Send `text` and half-close once it is answered."""
    log.text_sent(text, time.monotonic())
    try:
        await conversation.send_text(text)
        await log.quiet()
        await conversation.end_input()
    except (ServiceError, StreamEnded):
        return  # the stream is over, and iterating over it tells how


def input_rate_hz(conversation: AsyncConversation) -> int:
    """Samples a second that `send_pcm` takes."""
    return conversation.started.config.input_audio.sample_rate_hertz or 16_000


def closing_s(conversation: AsyncConversation) -> float:
    """Silence that surely ends the user's turn."""
    silence = conversation.started.config.turn_taking.silence
    return (silence.ToNanoseconds() / 1e9 or DEFAULT_SILENCE_S) + CLOSING_MARGIN_S


async def _pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a file, decoded in a thread."""

    def take() -> bytes | None:
        return next(pieces, None)

    while (pcm := await asyncio.to_thread(take)) is not None:
        yield pcm
