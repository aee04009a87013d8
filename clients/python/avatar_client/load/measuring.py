"""What is measured: the book of a whole load, and the watch over one session that writes into it.

All moments are those of the client's own clock. A user's question ends with the last sound that was sent of it, or with
the sending of its text.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from avatar_client.clock import now
from avatar_client.errors import AvatarClientError, ServiceError
from avatar_client.facts import MediaFormat
from avatar_client.from_proto import enum_name, seconds
from avatar_client.load.distribution import Distribution
from avatar_client.play_out import PlayOutClock

MOST_POINTS: Final = 20_000
"""Turns whose latencies are kept one by one, for the picture; the oldest go first."""
FILLED_S: Final = 1.0
"""Media of a turn from which on frames come evenly: those before come at once, to fill the lead."""
LONG_GAP: Final = 1.5
"""Frame times above which a gap between two frames counts as long."""
MOST_WATCHED: Final = 8
"""Turns of a session that are remembered, for media that come after their end."""


@dataclass(frozen=True, slots=True)
class Point:
    """A turn's latencies in milliseconds, None where none came; `at_s`: when its frames began, in the load."""

    at_s: float
    first_audio_ms: float | None
    first_frame_ms: float | None


@dataclass(slots=True)
class Book:
    """Everything that a load has shown so far."""

    began_at: float = field(default_factory=now)
    session_start_ms: Distribution = field(default_factory=Distribution)
    first_audio_ms: Distribution = field(default_factory=Distribution)
    first_frame_ms: Distribution = field(default_factory=Distribution)
    frame_gap_ms: Distribution = field(default_factory=Distribution)
    frame_after_audio_ms: Distribution = field(default_factory=Distribution)
    barge_in_ms: Distribution = field(default_factory=Distribution)
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=MOST_POINTS))
    stale_ms: float | None = None
    active: int = 0

    def failed(self, error: AvatarClientError) -> None:
        """Count what ended a session, by gRPC's code and the service's reason."""
        match error:
            case ServiceError():
                self.errors[f"{error.code.name} {error.reason}".strip()] += 1
            case _:
                self.errors[type(error).__name__] += 1


@dataclass(slots=True)
class _Turn:
    """A turn under way. `counts` is unset where the client itself stopped reading."""

    asked_at: float | None
    counts: bool
    first_audio_at: float | None = None
    first_frame_at: float | None = None
    last_frame_at: float = 0.0
    last_index: int = -1
    interrupted_at: float | None = None
    audio_at: dict[int, float] = field(default_factory=dict)


class Watch:
    """Looks at every response of one session as it arrives, those that the client leaves out included."""

    def __init__(self, book: Book, media: MediaFormat, clock: PlayOutClock) -> None:
        """Write into `book`; `clock` says how much of a turn is played."""
        self.book = book
        self.clock = clock
        self.questions: deque[float] = deque(maxlen=MOST_WATCHED)
        """When the questions ended that no turn has taken up yet."""
        self.barged_in_at: float | None = None
        self.reads = True
        self._frame_s = 1 / float(media.frame_rate)
        self._filled = round(FILLED_S / self._frame_s)
        self._turns: dict[int, _Turn] = {}
        self._of_kind = {
            "audio": self._audio,
            "frame": self._frame,
            "turn_started": self._started,
            "interrupted": self._interrupted,
            "turn_completed": self._completed,
            "notice": self._notice,
        }

    def see(self, response: Any) -> None:
        """Take in a response."""
        kind = response.WhichOneof("payload")
        if look := self._of_kind.get(kind):
            look(getattr(response, kind), now())

    def stops_reading(self) -> None:
        """What arrives late from here on does so because the client wants it: it is counted, not timed."""
        self.reads = False
        for turn in self._turns.values():
            turn.counts = False

    def _started(self, started: Any, at: float) -> None:
        self.book.counts["turns_begun"] += 1
        asked_at = self.questions.popleft() if self.questions and not started.resumes_turn_id else None
        self._turns[started.turn_id] = _Turn(asked_at, self.reads)
        if len(self._turns) > MOST_WATCHED:
            del self._turns[next(iter(self._turns))]

    def _audio(self, chunk: Any, at: float) -> None:
        counts = self.book.counts
        counts["media_bytes"] += len(chunk.data)
        counts["audio_chunks"] += 1
        if not (turn := self._media(chunk.turn_id, at)):
            return
        if turn.first_audio_at is None:
            turn.first_audio_at = at
            if turn.asked_at is not None and turn.counts:
                self.book.first_audio_ms.add((at - turn.asked_at) * 1e3)
        turn.audio_at[chunk.index] = at
        if len(turn.audio_at) > 2 * self._filled:
            del turn.audio_at[next(iter(turn.audio_at))]

    def _frame(self, frame: Any, at: float) -> None:
        counts = self.book.counts
        counts["media_bytes"] += len(frame.data)
        if not frame.turn_id:
            counts["idle_frames"] += 1
            return
        counts["frames"] += 1
        if not (turn := self._media(frame.turn_id, at)):
            return
        if turn.first_frame_at is None:
            turn.first_frame_at = at
            self._first_frame(turn, at)
        if turn.counts:
            self._timed(turn, frame, at)
        turn.last_frame_at, turn.last_index = at, frame.index

    def _first_frame(self, turn: _Turn, at: float) -> None:
        if turn.asked_at is None or not turn.counts:
            return
        first_ms = (at - turn.asked_at) * 1e3
        self.book.first_frame_ms.add(first_ms)
        audio_ms = (turn.first_audio_at - turn.asked_at) * 1e3 if turn.first_audio_at is not None else None
        self.book.points.append(Point(at - self.book.began_at, audio_ms, first_ms))

    def _timed(self, turn: _Turn, frame: Any, at: float) -> None:
        book = self.book
        if (audio_at := turn.audio_at.get(frame.index)) is not None:
            book.frame_after_audio_ms.add((at - audio_at) * 1e3)
        if frame.index >= self._filled and turn.last_index >= 0:
            gap_s = at - turn.last_frame_at
            book.frame_gap_ms.add(gap_s * 1e3)
            book.counts["long_gaps"] += gap_s > LONG_GAP * self._frame_s
        played_s = self.clock.played_s(frame.turn_id, at)
        book.counts["late_frames"] += played_s > seconds(frame.offset) + self._frame_s

    def _media(self, turn_id: int, at: float) -> _Turn | None:
        """The turn whose media have come; None, and counted as stale, if it was interrupted before."""
        turn = self._turns.get(turn_id)
        if turn is None or turn.interrupted_at is None:
            return turn
        self.book.counts["stale_media"] += 1
        self.book.stale_ms = max(self.book.stale_ms or 0.0, (at - turn.interrupted_at) * 1e3)
        return None

    def _interrupted(self, interrupted: Any, at: float) -> None:
        if turn := self._turns.get(interrupted.turn_id):
            turn.interrupted_at = at
        if self.barged_in_at is not None and interrupted.utterance_id:
            if self.reads:
                self.book.barge_in_ms.add((at - self.barged_in_at) * 1e3)
            self.barged_in_at = None

    def _completed(self, completed: Any, at: float) -> None:
        book = self.book
        outcome = enum_name(type(completed).DESCRIPTOR.fields_by_name["outcome"].enum_type, completed.outcome)
        book.counts[f"turns_{outcome.lower()}"] += 1
        book.counts["held_frames"] += completed.metrics.held_frame_count
        book.counts["shed_frames"] += completed.metrics.shed_frame_count
        book.counts["starved_ms"] += completed.metrics.starved_ms
        if completed.degraded:
            book.counts["turns_degraded"] += 1
            for reason in completed.degraded_reasons:
                book.degraded[_reason(completed, "degraded_reasons", reason)] += 1

    def _notice(self, notice: Any, at: float) -> None:
        self.book.notices[_reason(notice, "reason", notice.reason)] += 1


def _reason(message: Any, field_name: str, number: int) -> str:
    return enum_name(type(message).DESCRIPTOR.fields_by_name[field_name].enum_type, number)
