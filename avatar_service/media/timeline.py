"""The clock of a turn's media. Audio is the master; frame index and the rational frame rate are the truth."""

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Timeline:
    """Frames of `fps` a second beside mono audio of `rate_hz`.

    Frame i is shown from i/fps on. Speech chunk k holds samples floor(k*rate/fps) to floor((k+1)*rate/fps),
    so chunk k sounds exactly while frame k shows, at any rational fps, without drift.
    """

    rate_hz: int
    fps: Fraction
    _frames: int = field(init=False, repr=False, compare=False)
    _seconds: int = field(init=False, repr=False, compare=False)
    """So many frames last so many whole seconds: reckoned with these, which takes a fifth of a Fraction's time."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_frames", self.fps.numerator)
        object.__setattr__(self, "_seconds", self.fps.denominator)

    def first_sample(self, index: int) -> int:
        """Sample at which chunk or frame `index` begins."""
        return index * self.rate_hz * self._seconds // self._frames

    def chunk_samples(self, index: int) -> int:
        """Number of samples in chunk `index`."""
        return self.first_sample(index + 1) - self.first_sample(index)

    def offset_s(self, index: int) -> float:
        """Seconds from the turn's first sample to frame `index`."""
        return index * self._seconds / self._frames

    def offset_ns(self, index: int, parts: int = 1) -> int:
        """The same in nanoseconds, floored, as it goes on the wire; of frames in so many `parts`, that of a part."""
        return index * 1_000_000_000 * self._seconds // (self._frames * parts)

    def frames_before(self, sample: int) -> int:
        """How many frames end at or before a sample."""
        return max(0, -(-(sample + 1) * self._frames // (self.rate_hz * self._seconds)) - 1)

    def frames_covering(self, samples: int) -> int:
        """How many frames last at least as long as so many samples."""
        return -(-samples * self._frames // (self.rate_hz * self._seconds))

    def chunks_in(self, milliseconds: int) -> int:
        """How many whole chunks cover at least `milliseconds`."""
        return -(-milliseconds * self._frames // (1000 * self._seconds))


class ChunkCutter:
    """Cuts PCM that arrives in pieces of any size into chunks of exactly one frame's time.

    Output depends on the concatenated input only, never on how it was split.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._pending = bytearray()
        self._index = 0
        self._size = 2 * timeline.chunk_samples(0)
        """Bytes of the next chunk."""

    def push(self, pcm: bytes) -> list[tuple[int, bytes]]:
        """Add PCM (16-bit mono; a piece may split a sample); return the complete chunks with their indices."""
        self._pending += pcm
        chunks: list[tuple[int, bytes]] = []
        begin, held = 0, len(self._pending)
        while held - begin >= self._size:
            end = begin + self._size
            chunks.append((self._index, bytes(self._pending[begin:end])))
            begin = end
            self._index += 1
            self._size = 2 * self._timeline.chunk_samples(self._index)
        del self._pending[:begin]
        return chunks

    def finish(self, chunks: int) -> list[tuple[int, bytes]]:
        """Return what is missing of the first `chunks` chunks, padded with silence.

        The caller counts in samples of the voice; those of a copy at another rate, which are rounded to whole ones,
        may end one later than the last frame, and that one is dropped.
        """
        missing = 2 * (self._timeline.first_sample(chunks) - self._timeline.first_sample(self._index))
        last = self.push(bytes(max(0, missing - len(self._pending))))
        self._pending.clear()
        return last
