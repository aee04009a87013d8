"""The machine's microphone and loudspeaker, by the library miniaudio (the extra `mic`).

miniaudio finds PulseAudio, PipeWire, ALSA, Core Audio or WASAPI by itself when a device is opened and needs no package
of the system. Its callbacks run in a thread of its own; what they share with the event loop is bounded.
"""

import asyncio
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any, Final, Self, TypeVar

from avatar_client.errors import SoundError

T = TypeVar("T")

PIECE_MS: Final = 40
MOST_WAITING: Final = 50  # pieces of the microphone, 2 s; then the oldest is dropped
MOST_BUFFERED_S: Final = 2.0  # of the loudspeaker; the play-out runs 0.3 s ahead
PERIODS: Final = 3
"""Pieces that the loudspeaker's device holds: it takes one when the oldest has been played."""
DEVICE_S: Final = PERIODS * PIECE_MS / 1000
"""So long after a device took the end of a piece, that has left the loudspeaker."""
MOST_TAKEN: Final = 256  # notes of what a device took, which cover more than DEVICE_S however often it takes

NO_LIBRARY = "this needs the library miniaudio: install it with `pip install 'avatar-service[mic]'`"
NO_DEVICE = "no {device} can be opened ({problem}): connect one, check that the sound server runs, or {instead}"


class Microphone:
    """Pieces of 40 ms of what the microphone hears, 16-bit mono; an async context manager and iterator."""

    def __init__(self, rate_hz: int, backends: Sequence[Any] | None = None) -> None:
        """Prepare for samples at `rate_hz`; `backends` are miniaudio's, None for the first that works."""
        self._rate_hz = rate_hz
        self._backends = backends
        self._device: Any = None
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)

    async def __aenter__(self) -> Self:
        """Open the device. Raises SoundError."""
        miniaudio = _library()
        instead = "ask with --text or --wav"
        self._device = _open(miniaudio, "microphone", instead, lambda: self._capture_device(miniaudio))
        heard = _heard(asyncio.get_running_loop(), self._put)
        next(heard)
        self._device.start(heard)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the device."""
        await asyncio.to_thread(self._device.close)

    def __aiter__(self) -> Self:
        """Iterate over the pieces."""
        return self

    async def __anext__(self) -> bytes:
        """The next piece; there is always one."""
        return await self._pieces.get()

    def _capture_device(self, miniaudio: ModuleType) -> Any:
        return miniaudio.CaptureDevice(
            input_format=miniaudio.SampleFormat.SIGNED16,
            nchannels=1,
            sample_rate=self._rate_hz,
            buffersize_msec=PIECE_MS,
            backends=self._backends,
            app_name="avatar-client",
        )

    def _put(self, piece: bytes) -> None:
        if self._pieces.full():
            self._pieces.get_nowait()
        self._pieces.put_nowait(piece)


class Loudspeaker:
    """Plays 16-bit mono samples; a context manager. Any thread may use it."""

    def __init__(self, rate_hz: int, backends: Sequence[Any] | None = None) -> None:
        """Prepare for samples at `rate_hz`; `backends` are miniaudio's, None for the first that works."""
        self._rate_hz = rate_hz
        self._backends = backends
        self._device: Any = None
        self._buffer = bytearray()
        self._lock = threading.Lock()
        self._paused = False
        self._given = 0  # samples, over the device's life
        self._taken: deque[tuple[float, int]] = deque(maxlen=MOST_TAKEN)  # when, and how many samples in all until then

    @property
    def given_samples(self) -> int:
        """Samples that were given to be played, those that were flushed aside."""
        return self._given

    def heard_samples(self, now: float) -> int | None:
        """Samples that have left the loudspeaker by `now` (`time.monotonic`); None while no device plays."""
        with self._lock:
            if self._device is None:
                return None
            for at, taken in reversed(self._taken):
                if at <= now - DEVICE_S:
                    return min(self._taken[-1][1], taken + int((now - DEVICE_S - at) * self._rate_hz))
            return 0

    @property
    def buffered_s(self) -> float:
        """Voice that waits to be played."""
        return len(self._buffer) / 2 / self._rate_hz

    def __enter__(self) -> Self:
        """Open the device. Raises SoundError."""
        miniaudio = _library()
        self._device = _open(miniaudio, "loudspeaker", "leave --play out", lambda: self._playback_device(miniaudio))
        played = self._played()
        next(played)
        self._device.start(played)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the device."""
        self._device.close()

    def play(self, pcm: bytes) -> None:
        """Play `pcm` after what is already there; beyond 2 s the oldest is left out."""
        with self._lock:
            self._buffer += pcm
            self._given += len(pcm) // 2
            excess = len(self._buffer) - 2 * round(MOST_BUFFERED_S * self._rate_hz)
            if excess > 0:
                del self._buffer[:excess]
                self._given -= excess // 2

    def pause(self, paused: bool) -> None:
        """Be silent and keep what waits, or go on with it."""
        self._paused = paused

    def flush(self) -> None:
        """Be silent at once."""
        with self._lock:
            self._given -= len(self._buffer) // 2
            self._buffer.clear()

    def _playback_device(self, miniaudio: ModuleType) -> Any:
        return miniaudio.PlaybackDevice(
            output_format=miniaudio.SampleFormat.SIGNED16,
            nchannels=1,
            sample_rate=self._rate_hz,
            buffersize_msec=PIECE_MS,
            callback_periods=PERIODS,
            backends=self._backends,
            app_name="avatar-client",
        )

    def _played(self) -> Generator[bytes, int, None]:
        """What the device asks for: so many samples, silence where there are none. Runs in the device's thread."""
        count = yield b""
        while True:
            with self._lock:
                taken = 0 if self._paused else 2 * count
                data = bytes(self._buffer[:taken])
                del self._buffer[:taken]
                self._taken.append((time.monotonic(), self._given - len(self._buffer) // 2))
            count = yield data.ljust(2 * count, b"\0")


def _heard(loop: asyncio.AbstractEventLoop, put: Callable[[bytes], None]) -> Generator[None, bytes, None]:
    """Hand what the device hears to the event loop. Runs in the device's thread."""
    while True:
        piece = yield
        try:
            loop.call_soon_threadsafe(put, bytes(piece))
        except RuntimeError:  # the loop has ended before the device
            return


def _library() -> ModuleType:
    """The library miniaudio. Raises SoundError if it is not installed."""
    try:
        import miniaudio
    except ImportError as error:
        raise SoundError(NO_LIBRARY) from error
    library: ModuleType = miniaudio
    return library


def _open(miniaudio: ModuleType, device: str, instead: str, open_device: Callable[[], T]) -> T:
    """Open a device; raises SoundError with the way out."""
    try:
        with _without_chatter():
            return open_device()
    except miniaudio.MiniaudioError as error:
        problem = str(error.args[0] if error.args else error)
        raise SoundError(NO_DEVICE.format(device=device, problem=problem, instead=instead)) from error


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Silence standard error for a moment: ALSA's library writes a page to it where there is no device."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
