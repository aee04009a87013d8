"""What happened in a conversation, turn by turn, with the times at which it reached the client."""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

from avatar_client.events import (
    Audio,
    ConverseEvent,
    Frame,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnCompleted,
    TurnStarted,
)
from avatar_client.facts import Code, TurnMetrics, TurnOutcome


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One finished turn.

    `metrics` are the server's `TurnMetrics` by name, without those that were not measured. The `*_ms` were measured
    here, from the moment at which the end of the user's speech (or the text) was sent; None where there was no such
    moment or nothing came.
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

    @property
    def failed(self) -> bool:
        """Whether the turn ended with an error; an interrupted or skipped one did not."""
        return self.outcome == "FAILED"

    def to_json(self) -> dict[str, Any]:
        """The turn as a JSON object."""
        return {
            "turn_id": self.turn_id,
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
        return bool(self._turns or self._texts)

    async def quiet(self) -> None:
        """Wait until no utterance, no turn and no text is unanswered."""
        await self._quiet.wait()

    def question(self, turn_id: int) -> str:
        """What an unfinished turn answers, as far as it is known."""
        turn = self._turns.get(turn_id)
        if turn is None:
            return ""
        return turn.question or " ".join(filter(None, map(self._transcripts.get, turn.utterance_ids)))

    def add(self, event: ConverseEvent, at: float) -> TurnResult | None:
        """Take note of an event that arrived at `at`; returns the turn that it completes, if it does."""
        result = None
        match event:
            case SpeechStarted():
                self._utterances.add(event.utterance_id)
            case SpeechStopped():
                self._end_speech(event)
            case Transcript(final=True):
                self._utterances.discard(event.utterance_id)
                self._transcripts[event.utterance_id] = event.text
            case TurnStarted():
                self._start(event)
            case ReplyText() if turn := self._turns.get(event.turn_id):
                turn.reply += event.text
            case Audio() if turn := self._turns.get(event.turn_id):
                turn.first_audio_at = turn.first_audio_at or at
                turn.samples += event.sample_count
            case Frame() if turn := self._turns.get(event.turn_id):
                turn.first_frame_at = turn.first_frame_at or at
                turn.frames += 1
            case TurnCompleted():
                result = self._complete(event)
        if self._utterances or self.is_answering:
            self._quiet.clear()
        else:
            self._quiet.set()
        return result

    def _end_speech(self, stopped: SpeechStopped) -> None:
        if self._audio_started_at is not None:
            self._speech_ended_at[stopped.utterance_id] = self._audio_started_at + stopped.offset_s

    def _start(self, started: TurnStarted) -> None:
        turn = _OpenTurn(utterance_ids=list(started.utterance_ids))
        if turn.utterance_ids:
            turn.asked_at = self._speech_ended_at.get(turn.utterance_ids[-1])
        if started.source == "TEXT" and self._texts:
            # A server that does not echo the id answers in order.
            request_id = started.request_id if started.request_id in self._texts else next(iter(self._texts))
            turn.question, turn.asked_at = self._texts.pop(request_id)
        self._turns[started.turn_id] = turn

    def _complete(self, completed: TurnCompleted) -> TurnResult:
        question = self.question(completed.turn_id)
        turn = self._turns.pop(completed.turn_id, _OpenTurn())
        result = TurnResult(
            turn_id=completed.turn_id,
            transcript=question,
            reply=completed.generated_text or turn.reply,
            heard=completed.heard_text,
            status=completed.status.code,
            message=completed.status.message,
            outcome=completed.outcome,
            degraded=completed.degraded,
            metrics=measured(completed.metrics),
            first_audio_ms=_since(turn.asked_at, turn.first_audio_at),
            first_frame_ms=_since(turn.asked_at, turn.first_frame_at),
            audio_s=turn.samples / self._sample_rate_hz,
            frame_count=turn.frames,
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
