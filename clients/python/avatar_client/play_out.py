"""Play-out: where the listener is in a turn, and which media are due.

`PlayOutClock` follows the audio, which is the master: a turn plays from its first audio on, in real time, waits when it
runs dry, and ends where `reply_finished` says. `PlayOut` holds received media until the clock reaches them and drops
those of interrupted turns. Neither reads a clock by itself: times are seconds of one monotonic clock, given by the
caller.
"""

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

from google.protobuf.duration_pb2 import Duration

from avatar.v1 import AudioChunk, Frame, PlaybackReport

EPSILON_S = 1e-6  # below a sample; absorbs the rounding of clock readings


@dataclass(slots=True)
class _Turn:
    turn_id: int
    received_samples: int = 0
    finished: bool = False


class PlayOutClock:
    """Where play-out stands. Turns play one after another, in the order in which their audio arrives."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Set up for audio of `sample_rate_hz`, with nothing to play."""
        self._rate = sample_rate_hz
        self._turns: deque[_Turn] = deque()  # the first one is being played; the server's lead bounds the rest
        self._position_s = 0.0
        self._now = 0.0
        self._ended: list[PlaybackReport] = []
        self._last_played = 0  # highest turn that was played to its end
        self._last_interrupted = 0

    def is_interrupted(self, turn_id: int) -> bool:
        """Whether media of `turn_id` are to be dropped."""
        return 0 < turn_id <= self._last_interrupted

    def add_audio(self, chunk: AudioChunk, now: float) -> None:
        """Take note of received audio."""
        self._advance(now)
        if not self._turns or self._turns[-1].turn_id != chunk.turn_id:
            self._turns.append(_Turn(chunk.turn_id))
        self._turns[-1].received_samples += chunk.sample_count

    def finish(self, turn_id: int, now: float) -> None:
        """Take note that all audio of a turn has been received."""
        self._advance(now)
        for turn in self._turns:
            if turn.turn_id == turn_id:
                turn.finished = True

    def interrupt(self, turn_id: int, now: float) -> None:
        """Stop `turn_id` and all before it; the next `reports` tell how far it was played."""
        self._advance(now)
        self._last_interrupted = max(self._last_interrupted, turn_id)
        position_s = 0.0
        while self._turns and self._turns[0].turn_id <= turn_id:
            if self._turns[0].turn_id == turn_id:
                position_s = self._position_s
            self._next_turn()
        self._ended.append(_report(turn_id, position_s, stopped=True))

    def played_s(self, turn_id: int, now: float) -> float:
        """Seconds of `turn_id` that have been played: infinite once it has ended, -1 before it begins."""
        self._advance(now)
        if self._turns and self._turns[0].turn_id == turn_id:
            return self._position_s
        return math.inf if turn_id <= max(self._last_played, self._last_interrupted) else -1.0

    def reports(self, now: float) -> list[PlaybackReport]:
        """What to tell the server: turns that ended since the last call, and the one being played."""
        self._advance(now)
        reports, self._ended = self._ended, []
        if self._turns:
            reports.append(_report(self._turns[0].turn_id, self._position_s, stopped=False))
        return reports

    def _advance(self, now: float) -> None:
        """Play on until `now`, through the ends of turns, and wait where audio has not arrived."""
        elapsed, self._now = max(0.0, now - self._now), max(now, self._now)
        while self._turns:
            turn = self._turns[0]
            step = min(elapsed, turn.received_samples / self._rate - self._position_s)
            self._position_s += step
            elapsed -= step
            ran_dry = self._position_s >= turn.received_samples / self._rate - EPSILON_S
            # A later turn's audio ends the one before it, should its `reply_finished` be missing.
            if not ran_dry or not (turn.finished or len(self._turns) > 1):
                return
            self._ended.append(_report(turn.turn_id, self._position_s, stopped=True))
            self._last_played = turn.turn_id
            self._next_turn()

    def _next_turn(self) -> None:
        self._turns.popleft()
        self._position_s = 0.0


class PlayOut:
    """Media that are received but not yet due, in the order of play-out.

    Holds at most what the server sends ahead (its lead) plus what the caller leaves lying.
    """

    def __init__(self, clock: PlayOutClock, frame_rate: Fraction, sample_rate_hz: int) -> None:
        """Hold media for `clock`; chunks and frames follow `sample_rate_hz` and `frame_rate`."""
        self._clock = clock
        self._frame_rate = frame_rate
        self._sample_rate_hz = sample_rate_hz
        self._media: deque[tuple[float, AudioChunk | Frame]] = deque()  # start in its turn in seconds, media
        self._turn_id = 0
        self._samples = 0

    def add(self, media: AudioChunk | Frame) -> None:
        """Hold `media`, unless its turn is interrupted."""
        if self._clock.is_interrupted(media.turn_id):
            return
        if isinstance(media, Frame):
            start_s = 0.0 if media.turn_id == 0 else float(media.index / self._frame_rate)
        else:
            if media.turn_id != self._turn_id:
                self._turn_id, self._samples = media.turn_id, 0
            start_s = self._samples / self._sample_rate_hz
            self._samples += media.sample_count
        self._media.append((start_s, media))

    def take(self, now: float) -> list[AudioChunk | Frame]:
        """Media that are due at `now`, in order; media of interrupted turns are dropped. Idle frames are always due."""
        due: list[AudioChunk | Frame] = []
        while self._media:
            start_s, media = self._media[0]
            interrupted = self._clock.is_interrupted(media.turn_id)
            if not interrupted and media.turn_id and start_s > self._clock.played_s(media.turn_id, now) + EPSILON_S:
                break
            self._media.popleft()
            if not interrupted:
                due.append(media)
        return due

    def drain(self) -> list[AudioChunk | Frame]:
        """All that is left, due or not; media of interrupted turns are dropped."""
        left = [media for _, media in self._media if not self._clock.is_interrupted(media.turn_id)]
        self._media.clear()
        return left


def _report(turn_id: int, position_s: float, *, stopped: bool) -> PlaybackReport:
    position = Duration()
    position.FromNanoseconds(int(position_s * 1e9))
    return PlaybackReport(turn_id=turn_id, position=position, stopped=stopped)
