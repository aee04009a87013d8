"""What happened in a conversation, turn by turn, with the times at which it reached the client."""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from avatar_client.events import (
    Audio,
    ConverseEvent,
    Frame,
    ReplyText,
    Resumed,
    SpeechStarted,
    SpeechStopped,
    SpokenText,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_client.facts import Code, TurnMetrics, TurnOutcome

RESUME_PATIENCE_S: Final = 3.0
"""How long after a resume the turn that was cut may still be spoken on, and its utterance heard again."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One finished turn.

    `metrics` are the server's `TurnMetrics` by name, without those that were not measured. The `*_ms` were measured
    here, from the moment at which the end of the user's speech (or the text) was sent; None where there was no such
    moment or nothing came. Where the stream broke and the turn speaks the rest of another, `resumes_turn_id`, `reply`
    and `heard` begin with what was heard of that.
    """

    turn_id: int
    transcript: str
    reply: str
    heard: str
    status: Code
    message: str
    outcome: TurnOutcome
    degraded: bool
    metrics: dict[str, int]
    first_audio_ms: float | None
    first_frame_ms: float | None
    audio_s: float
    frame_count: int
    resumes_turn_id: int = 0

    @property
    def failed(self) -> bool:
        """Whether the turn ended with an error; an interrupted or skipped one did not."""
        return self.outcome == "FAILED"

    def to_json(self) -> dict[str, Any]:
        """The turn as a JSON object."""
        return {
            "turn_id": self.turn_id,
            "resumes_turn_id": self.resumes_turn_id,
            "transcript": self.transcript,
            "reply": self.reply,
            "heard": self.heard,
            "status": self.status,
            "message": self.message,
            "outcome": self.outcome,
            "degraded": self.degraded,
            "metrics": self.metrics,
            "client": {
                "first_audio_ms": _rounded(self.first_audio_ms),
                "first_frame_ms": _rounded(self.first_frame_ms),
                "audio_s": round(self.audio_s, 3),
                "frame_count": self.frame_count,
            },
        }


@dataclass(slots=True)
class _OpenTurn:
    question: str = ""
    asked_at: float | None = None
    utterance_ids: list[int] = field(default_factory=list)
    reply: str = ""
    first_audio_at: float | None = None
    first_frame_at: float | None = None
    samples: int = 0
    frames: int = 0
    resumes_turn_id: int = 0
    spoken: list[SpokenText] = field(default_factory=list)
    heard_before: str = ""  # of the turn that this one speaks on
    heard_here: str = ""  # of this one, when its stream broke
    missed: int = 0
    last_index: int = -1

    def add(self, event: ReplyText | SpokenText | Audio | Frame, at: float) -> None:
        match event:
            case ReplyText():
                self.reply += event.text
            case SpokenText():
                self.spoken.append(event)
            case Audio():
                self.first_audio_at = self.first_audio_at or at
                self.samples += event.sample_count
            case Frame():
                self.first_frame_at = self.first_frame_at or at
                self.frames += 1
                self.missed += max(0, event.index - self.last_index - 1)
                self.last_index = event.index


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long the user waited for a turn that goes on, in ms or None, and how many of its frames were left out."""

    first_audio_ms: float | None = None
    first_frame_ms: float | None = None
    missed_frames: int = 0


class TurnLog:
    """Follows the responses of one conversation. Times are seconds of one monotonic clock."""

    def __init__(self, sample_rate_hz: int) -> None:
        """Start with nothing said; `sample_rate_hz` is that of the avatar's voice."""
        self._sample_rate_hz = sample_rate_hz
        self._audio_started_at: float | None = None
        self._texts: dict[str, tuple[str, float]] = {}  # sent, without a turn; by request id
        self._utterances: set[int] = set()  # started, without final transcript
        self._transcripts: dict[int, str] = {}
        self._speech_ended_at: dict[int, float] = {}
        self._turns: dict[int, _OpenTurn] = {}
        self._cut: dict[int, _OpenTurn] = {}  # open when the stream broke, and not yet spoken on
        self._unheard: set[int] = set()  # utterances that were begun when the stream broke
        self._giving_up: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.results: list[TurnResult] = []

    def audio_starts(self, at: float) -> None:
        """Note when the first sample of the user's audio is spoken; the rest follows in real time."""
        self._audio_started_at = at

    def text_sent(self, text: str, at: float, request_id: str = "") -> None:
        """Note that the user's text has been sent under `request_id`."""
        self._texts[request_id] = (text, at)
        self._quiet.clear()

    @property
    def is_answering(self) -> bool:
        """Whether a turn is under way, or a text has just been sent."""
        return bool(self._turns or self._texts or self._cut)

    async def quiet(self) -> None:
        """Wait until no utterance, no turn and no text is unanswered."""
        await self._quiet.wait()

    def question(self, turn_id: int) -> str:
        """What an unfinished turn answers, as far as it is known."""
        turn = self._turns.get(turn_id) or self._cut.get(turn_id)
        if turn is None:
            return ""
        return turn.question or " ".join(filter(None, map(self._transcripts.get, turn.utterance_ids)))

    def waiting(self, turn_id: int) -> Waiting:
        """How long the user waited for an unfinished turn, so far as it is known."""
        turn = self._turns.get(turn_id, _OpenTurn())
        return Waiting(
            _since(turn.asked_at, turn.first_audio_at), _since(turn.asked_at, turn.first_frame_at), turn.missed
        )

    def add(self, event: ConverseEvent, at: float) -> TurnResult | None:
        """Take note of an event that arrived at `at`; returns the turn that it completes, if it does."""
        result = None
        match event:
            case SpeechStarted():
                self._utterances.add(event.utterance_id)
                self._unheard.discard(event.utterance_id)
            case SpeechStopped():
                self._end_speech(event)
            case Transcript(final=True):
                self._utterances.discard(event.utterance_id)
                self._transcripts[event.utterance_id] = event.text
            case TurnStarted():
                self._start(event)
            case ReplyText() | SpokenText() | Audio() | Frame() if turn := self._turns.get(event.turn_id):
                turn.add(event, at)
            case TurnCompleted():
                result = self._complete(event)
            case Resumed():
                self._break_off(event)
        self._tell_quiet()
        return result

    def _tell_quiet(self) -> None:
        if self._utterances or self.is_answering:
            self._quiet.clear()
        else:
            self._quiet.set()

    def _break_off(self, resumed: Resumed) -> None:
        """Note that turns and utterances under way broke off; what goes on of them begins again."""
        if turn := self._turns.get(resumed.turn_id):
            turn.heard_here = "".join(word.text for word in turn.spoken if word.end_offset_s <= resumed.played_s)
        self._cut |= self._turns
        self._unheard |= self._utterances
        self._turns.clear()
        if self._giving_up:
            self._giving_up.cancel()
        self._giving_up = asyncio.get_running_loop().call_later(RESUME_PATIENCE_S, self._give_up)

    def _give_up(self) -> None:
        """What has not begun again was over: it was heard to its end, or nothing was said."""
        self._cut.clear()
        self._utterances -= self._unheard
        self._unheard.clear()
        self._tell_quiet()

    def _end_speech(self, stopped: SpeechStopped) -> None:
        if self._audio_started_at is not None:
            self._speech_ended_at[stopped.utterance_id] = self._audio_started_at + stopped.offset_s

    def _start(self, started: TurnStarted) -> None:
        turn = _OpenTurn(utterance_ids=list(started.utterance_ids), resumes_turn_id=started.resumes_turn_id)
        if cut := self._cut.pop(started.resumes_turn_id, None):
            turn.question, turn.asked_at = cut.question, cut.asked_at
            turn.utterance_ids = cut.utterance_ids
            turn.heard_before = f"{cut.heard_before} {cut.heard_here.strip()}".strip()
            turn.first_audio_at, turn.first_frame_at = cut.first_audio_at, cut.first_frame_at
        if turn.utterance_ids:
            turn.asked_at = self._speech_ended_at.get(turn.utterance_ids[-1])
        if started.request_id in self._texts:
            turn.question, turn.asked_at = self._texts.pop(started.request_id)
        elif started.source == "TEXT" and self._texts:  # a server that does not echo the id answers in order
            turn.question, turn.asked_at = self._texts.pop(next(iter(self._texts)))
        self._turns[started.turn_id] = turn

    def _complete(self, completed: TurnCompleted) -> TurnResult:
        question = self.question(completed.turn_id)
        cut = self._cut.pop(completed.turn_id, _OpenTurn())
        turn = self._turns.pop(completed.turn_id, cut)
        result = TurnResult(
            turn_id=completed.turn_id,
            transcript=question,
            reply=f"{turn.heard_before} {completed.generated_text or turn.reply}".strip(),
            heard=f"{turn.heard_before} {completed.heard_text}".strip(),
            status=completed.status.code,
            message=completed.status.message,
            outcome=completed.outcome,
            degraded=completed.degraded,
            metrics=measured(completed.metrics),
            first_audio_ms=_since(turn.asked_at, turn.first_audio_at),
            first_frame_ms=_since(turn.asked_at, turn.first_frame_at),
            audio_s=turn.samples / self._sample_rate_hz,
            frame_count=turn.frames,
            resumes_turn_id=turn.resumes_turn_id,
        )
        self.results.append(result)
        return result


def measured(metrics: TurnMetrics) -> dict[str, int]:
    """The metrics by name, without those that were not measured."""
    return {name: value for name, value in asdict(metrics).items() if value is not None}


def _since(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1e3


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
