"""A user's microphone: in real time, without end, silence where nothing is said."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from avatar_client.clock import now
from avatar_client.load.questions import RATE_HZ, Question

PIECE_S: Final = 0.04
"""Sound a message; the contract advises 20 ms to 100 ms."""
_PIECE_BYTES: Final = round(2 * PIECE_S * RATE_HZ)
_SILENCE: Final = bytes(_PIECE_BYTES)


class Microphone:
    """Sends sound piece by piece, each when its last sample has been spoken."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send by `send`, 16-bit mono samples at 16 kHz."""
        self._send = send
        self._waiting = b""
        self._began_at = 0.0
        self._pieces = 0

    async def run(self) -> None:
        """Send until cancelled."""
        self._began_at = now()
        while True:
            self._pieces += 1
            await asyncio.sleep(max(0.0, self._began_at + self._pieces * PIECE_S - now()))
            piece, self._waiting = self._waiting[:_PIECE_BYTES], self._waiting[_PIECE_BYTES:]
            await self._send(piece.ljust(_PIECE_BYTES, b"\0") if piece else _SILENCE)

    def say(self, question: Question) -> tuple[float, float]:
        """Speak, from the next piece on; returns the moments at which the speech in it begins and ends.

        What is being said is broken off.
        """
        self._waiting = question.pcm
        starts_at = self._began_at + (self._pieces - 1) * PIECE_S  # of the piece that goes out next
        return starts_at + question.speech_begins_s, starts_at + question.speech_ends_s
