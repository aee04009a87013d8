"""Playing a stream's voice through a loudspeaker, in step with the stream's clock."""

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from avatar_client.events import Event, Interrupted
from avatar_client.play_out import PlayOut, PlayOutClock
from avatar_client.sound import Loudspeaker

TICK_S: Final = 0.02
PATIENCE_S: Final = 2.0
AHEAD_S: Final = 0.1  # a busy machine may miss a few ticks without a gap in the voice


class Playing:
    """Takes the events of a stream and plays its voice when it is due; an async context manager."""

    def __init__(self, clock: PlayOutClock, loudspeaker: Loudspeaker) -> None:
        """Play by `clock`, the stream's own; the loudspeaker belongs to the caller."""
        self._loudspeaker = loudspeaker
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
        if isinstance(event, Interrupted):
            self._loudspeaker.flush()

    async def _play_to_end(self) -> None:
        """Wait until all voice has been played; not for ever, should the device have stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._play_out.waiting_s + self._loudspeaker.buffered_s + PATIENCE_S):
                while self._play_out.waiting_s > 0 or self._loudspeaker.buffered_s > 0:
                    await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        while True:
            due = self._play_out.take(time.monotonic(), AHEAD_S)
            self._loudspeaker.play(b"".join(audio.pcm for audio in due.audio))
            await asyncio.sleep(TICK_S)
