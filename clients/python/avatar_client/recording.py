"""Recording beside an event loop: decoding and encoding run in a thread of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from avatar_client.events import Audio, Event, Frame, Interrupted, Resumed, SegmentCompleted, TurnCompleted
from avatar_client.facts import MediaFormat
from avatar_client.recorder import Recorder

MOST_WAITING: Final = 32  # events given to the thread and not yet written


class AsyncRecorder:
    """A `Recorder` that does not hold up the event loop; an async context manager that finishes the file."""

    def __init__(self, path: Path | str, media: MediaFormat, caption: Callable[[int], str] | None = None) -> None:
        """Open `path`; raises what Recorder raises. `caption` gives the text to show in the pictures of a turn."""
        self._caption = caption
        self._turn_id = 0
        self._recorder = Recorder(path, media)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording")
        self._waiting = asyncio.Semaphore(MOST_WAITING)
        self._failure: BaseException | None = None

    @property
    def duration_s(self) -> float:
        """Length of what is written so far; final once the context has ended."""
        return self._recorder.duration_s

    async def __aenter__(self) -> Self:
        """Return the recorder itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, with what there is, and end the thread."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._recorder.close)
        finally:
            self._thread.shutdown()

    async def add(self, event: Event) -> None:
        """Take in an event; waits while the thread is far behind. Raises what writing an earlier one has raised."""
        if self._failure:
            raise self._failure
        if not isinstance(event, Audio | Frame | Interrupted | Resumed | TurnCompleted | SegmentCompleted):
            return
        if self._caption and isinstance(event, Audio | Frame) and event.turn_id > self._turn_id:
            self._turn_id = event.turn_id
            self._recorder.set_caption(event.turn_id, self._caption(event.turn_id))
        await self._waiting.acquire()
        written = asyncio.get_running_loop().run_in_executor(self._thread, self._recorder.add, event)
        written.add_done_callback(self._note_end)

    def _note_end(self, written: "asyncio.Future[None]") -> None:
        self._waiting.release()
        if not written.cancelled():
            self._failure = self._failure or written.exception()
