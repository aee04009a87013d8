"""Play-out: where the listener is in a turn, and which media are due.

`PlayOutClock` follows the audio, which is the master: a turn plays from its first audio on, in real time, waits when it
runs dry, and ends where `reply_finished` says. A player tells it what has really been heard (`correct`). `PlayOut`
holds received media until the clock reaches them and drops those of interrupted turns. Neither reads a clock by itself:
times are seconds of one monotonic clock, given by the caller.

    play_out = PlayOut(conversation.clock)
    play_out.add(event)                        # each event, as it comes
    due = play_out.take(time.monotonic())      # on each tick of a window or a sound card
"""

import math
import threading
from collections import deque
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import PlaybackReport
from avatar_client.errors import AvatarClientError, ServiceFault
from avatar_client.events import Audio, Event, Frame, Interrupted, Media, Resumed

EPSILON_S = 1e-6  # below a sample; absorbs the rounding of clock readings
MOST_OFFSET_ERROR_S = 1e-3  # an offset is that of the chunk's frame, its first sample lies up to one sample off
MOST_HELD_S = 30.0  # voice that a `PlayOut` holds; the longest lead of the contract is 5 s


@dataclass(slots=True)
class _Turn:
    turn_id: int
    received_samples: int = 0
    finished: bool = False
    chunks: int = 0


class PlayOutFull(AvatarClientError):
    """More media wait to be played than a `PlayOut` holds."""


class PlayOutClock:
    """Where play-out stands. Turns play one after another, in the order in which their audio arrives.

    Any thread may ask: a window asks from its own while the stream's thread takes in what comes.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        """Set up for audio of `sample_rate_hz`, with nothing to play."""
        self.sample_rate_hz = sample_rate_hz
        self._lock = threading.Lock()
        self._turns: deque[_Turn] = deque()  # the first one is being played; the server's lead bounds the rest
        self._position_s = 0.0
        self._now = 0.0
        self._ended: list[PlaybackReport] = []
        self._last_ended: PlaybackReport | None = None
        self._frozen = False
        self._last_played = 0  # highest turn that was played to its end
        self._last_interrupted = 0

    def is_interrupted(self, turn_id: int) -> bool:
        """Whether media of `turn_id` are to be dropped."""
        return 0 < turn_id <= self._last_interrupted

    def add_audio(self, chunk: Audio, now: float) -> None:
        """Take note of received audio. Raises ServiceFault if it does not follow the chunk before it."""
        with self._lock:
            self._advance(now)
            if not self._turns or self._turns[-1].turn_id != chunk.turn_id:
                self._turns.append(_Turn(chunk.turn_id))
            turn = self._turns[-1]
            due_s = turn.received_samples / self.sample_rate_hz
            if turn.chunks and (chunk.index != turn.chunks or abs(chunk.offset_s - due_s) > MOST_OFFSET_ERROR_S):
                raise _gap(chunk, turn.chunks, due_s)
            turn.received_samples += chunk.sample_count
            turn.chunks = chunk.index + 1

    def finish(self, turn_id: int, now: float) -> None:
        """Take note that all audio of a turn has been received."""
        with self._lock:
            self._advance(now)
            for turn in self._turns:
                if turn.turn_id == turn_id:
                    turn.finished = True

    def interrupt(self, turn_id: int, now: float) -> None:
        """Stop `turn_id` and all before it; the next `reports` tell how far it was played."""
        with self._lock:
            self._advance(now)
            self._last_interrupted = max(self._last_interrupted, turn_id)
            position_s = 0.0
            while self._turns and self._turns[0].turn_id <= turn_id:
                if self._turns[0].turn_id == turn_id:
                    position_s = self._position_s
                self._next_turn()
            self._note_end(turn_id, position_s)

    def correct(self, turn_id: int, position_s: float, now: float) -> None:
        """Take note of how much of `turn_id` has been heard, from who plays it; between two notes it plays on."""
        with self._lock:
            self._advance(now)
            if self._turns and self._turns[0].turn_id == turn_id and not self._frozen:
                self._position_s = min(position_s, self._turns[0].received_samples / self.sample_rate_hz)

    @property
    def is_frozen(self) -> bool:
        """Whether nothing is to be played: the service is being told how far play-out came before a break."""
        return self._frozen

    def freeze(self, now: float) -> PlaybackReport | None:
        """Stop here, until `thaw` or `cut`; returns what was played of the last turn, None if nothing was."""
        with self._lock:
            self._advance(now)
            self._frozen = True
            if self._turns:
                return _report(self._turns[0].turn_id, self._position_s, stopped=True)
            return self._last_ended

    def thaw(self, now: float) -> None:
        """Play on after `freeze`."""
        with self._lock:
            self._advance(now)
            self._frozen = False

    def cut(self, last_turn_id: int, now: float) -> None:
        """Begin anew after a resume: what was received of the turns up to `last_turn_id` is void, and not reported."""
        with self._lock:
            self._advance(now)
            self._turns.clear()
            self._ended.clear()
            self._last_ended, self._position_s, self._frozen = None, 0.0, False
            self._last_interrupted = max(self._last_interrupted, last_turn_id)

    def ends_in_s(self, now: float) -> float:
        """Seconds until the turn that is being played ends; infinite while that is not known."""
        with self._lock:
            self._advance(now)
            if not self._turns or not self._turns[0].finished or self._frozen:
                return math.inf
            return self._turns[0].received_samples / self.sample_rate_hz - self._position_s

    def played_s(self, turn_id: int, now: float) -> float:
        """Seconds of `turn_id` that have been played: infinite once it has ended, -1 before it begins."""
        with self._lock:
            self._advance(now)
            if self._turns and self._turns[0].turn_id == turn_id:
                return self._position_s
            return math.inf if turn_id <= max(self._last_played, self._last_interrupted) else -1.0

    def is_playing(self, now: float) -> bool:
        """Whether a turn has begun to play and has not ended."""
        with self._lock:
            self._advance(now)
            return bool(self._turns)

    def reports(self, now: float) -> list[PlaybackReport]:
        """What to tell the server: turns that ended since the last call, and the one being played."""
        with self._lock:
            self._advance(now)
            reports, self._ended = self._ended, []
            if self._turns:
                reports.append(_report(self._turns[0].turn_id, self._position_s, stopped=False))
            return reports

    def _advance(self, now: float) -> None:
        """Play on until `now`, through the ends of turns, and wait where audio has not arrived."""
        elapsed, self._now = max(0.0, now - self._now), max(now, self._now)
        if self._frozen:
            return
        while self._turns:
            turn = self._turns[0]
            step = min(elapsed, turn.received_samples / self.sample_rate_hz - self._position_s)
            self._position_s += step
            elapsed -= step
            ran_dry = self._position_s >= turn.received_samples / self.sample_rate_hz - EPSILON_S
            # A later turn's audio ends the one before it, should its `reply_finished` be missing.
            if not ran_dry or not (turn.finished or len(self._turns) > 1):
                return
            self._note_end(turn.turn_id, self._position_s)
            self._last_played = turn.turn_id
            self._next_turn()

    def _note_end(self, turn_id: int, position_s: float) -> None:
        self._last_ended = _report(turn_id, position_s, stopped=True)
        self._ended.append(self._last_ended)

    def _next_turn(self) -> None:
        self._turns.popleft()
        self._position_s = 0.0


@dataclass(frozen=True, slots=True)
class Due:
    """What the moment has come for.

    `frame` is the picture to show, None to go on showing the one before; `audio` is to be heard, in order.
    `late_frames` counts pictures whose time had passed before they could be shown.
    """

    frame: Frame | None
    audio: tuple[Audio, ...]
    late_frames: int


class PlayOut:
    """Media that are received but not yet due, in the order of play-out."""

    def __init__(self, clock: PlayOutClock) -> None:
        """Hold media for `clock`, which is the stream's own and takes note of its audio and interruptions."""
        self._clock = clock
        self._media: deque[Media] = deque()
        self._held_samples = 0

    @property
    def waiting_s(self) -> float:
        """Voice that is held."""
        return self._held_samples / self._clock.sample_rate_hz

    def add(self, event: Event) -> None:
        """Hold audio and frames, drop what an `Interrupted` stops or a `Resumed` leaves behind, ignore other events.

        Raises PlayOutFull when more than 30 s of voice wait, because nobody takes them or the stream is unpaced.
        """
        match event:
            case Audio() | Frame() if not self._clock.is_interrupted(event.turn_id):
                self._media.append(event)
                self._held_samples += event.sample_count if isinstance(event, Audio) else 0
                if self.waiting_s > MOST_HELD_S:
                    raise PlayOutFull(f"more than {MOST_HELD_S:.0f} s of voice wait to be played: take them in time")
            case Interrupted() | Resumed():
                self._media = deque(media for media in self._media if not self._clock.is_interrupted(media.turn_id))
                self._held_samples = sum(media.sample_count for media in self._media if isinstance(media, Audio))

    def take(self, now: float, ahead_s: float = 0.0) -> Due:
        """What is due at `now`, or within `ahead_s` of it. Idle frames are due once the turn before them is over."""
        frames: list[Frame] = []
        audio: list[Audio] = []
        while self._media and self._is_due(self._media[0], now, ahead_s):
            media = self._media.popleft()
            if isinstance(media, Frame):
                frames.append(media)
            else:
                audio.append(media)
                self._held_samples -= media.sample_count
        return Due(frames[-1] if frames else None, tuple(audio), max(0, len(frames) - 1))

    def _is_due(self, media: Media, now: float, ahead_s: float) -> bool:
        if media.turn_id == 0:
            return not self._clock.is_playing(now)
        return media.offset_s <= self._clock.played_s(media.turn_id, now) + ahead_s + EPSILON_S


def _report(turn_id: int, position_s: float, *, stopped: bool) -> PlaybackReport:
    position = Duration()
    position.FromNanoseconds(int(position_s * 1e9))
    return PlaybackReport(turn_id=turn_id, position=position, stopped=stopped)


def _gap(chunk: Audio, due_index: int, due_s: float) -> ServiceFault:
    message = (
        f"the service sent chunk {chunk.index} of turn {chunk.turn_id} at {chunk.offset_s:.3f} s "
        f"where chunk {due_index} at {due_s:.3f} s was due: its audio has a gap"
    )
    return ServiceFault(grpc.StatusCode.INTERNAL, message)
