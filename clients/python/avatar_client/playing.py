"""Playing a stream's voice through a loudspeaker, in step with the stream's clock."""

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from avatar_client.events import Audio, Event, Interrupted, Resumed
from avatar_client.play_out import PlayOut, PlayOutClock
from avatar_client.sound import Loudspeaker

TICK_S: Final = 0.02
PATIENCE_S: Final = 2.0
AHEAD_S: Final = 0.3
"""Voice is given to the loudspeaker so long before it is heard: what the device holds, and a few missed ticks."""


class Playing:
    """Takes the events of a stream and plays its voice when it is due; an async context manager.

    The clock is told what has left the loudspeaker, so that the service learns what was really heard.
    """

    def __init__(self, clock: PlayOutClock, loudspeaker: Loudspeaker) -> None:
        """Play by `clock`, the stream's own; the loudspeaker belongs to the caller."""
        self._loudspeaker = loudspeaker
        self._clock = clock
        self._turn_id = 0  # of the voice that was given last
        self._turn_start = 0  # samples that were given to the loudspeaker before that turn
        self._play_out = PlayOut(clock)
        self._tasks = asyncio.TaskGroup()
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to play."""
        await self._tasks.__aenter__()
        self._ticking = self._tasks.create_task(self._tick(), name="playing")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Play to the end what has come, or be silent at once if something was raised."""
        if kind is None:
            await self._play_to_end()
        self._loudspeaker.flush()
        if self._ticking:
            self._ticking.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def add(self, event: Event) -> None:
        """Take in an event."""
        self._play_out.add(event)
        if isinstance(event, Interrupted | Resumed):
            self._loudspeaker.flush()

    async def _play_to_end(self) -> None:
        """Wait until all voice has been played; not for ever, should the device have stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._play_out.waiting_s + self._loudspeaker.buffered_s + PATIENCE_S):
                while self._play_out.waiting_s > 0 or self._loudspeaker.buffered_s > 0:
                    await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        while True:
            now = time.monotonic()
            self._tell_clock(now)
            self._loudspeaker.pause(self._clock.is_frozen)
            if not self._clock.is_frozen:
                for audio in self._play_out.take(now, AHEAD_S).audio:
                    self._play(audio)
            await asyncio.sleep(TICK_S)

    def _play(self, audio: Audio) -> None:
        if audio.turn_id != self._turn_id:
            self._turn_id, self._turn_start = audio.turn_id, self._loudspeaker.given_samples
        self._loudspeaker.play(audio.pcm)

    def _tell_clock(self, now: float) -> None:
        heard = self._loudspeaker.heard_samples(now)
        if heard is not None and self._turn_id:
            self._clock.correct(self._turn_id, max(0, heard - self._turn_start) / self._clock.sample_rate_hz, now)
