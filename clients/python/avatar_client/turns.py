"""What happened in a conversation, turn by turn, with the times at which it reached the client."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict

from avatar.v1 import Code, ConverseResponse, SpeechStopped, TurnCompleted, TurnOutcome, TurnSource, TurnStarted


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One finished turn.

    `status` is the name of the `Code` without its prefix ("OK", "UNAVAILABLE"), `outcome` likewise ("COMPLETED"),
    `metrics` the server's `TurnMetrics` by field name. The `*_ms` were measured here, from the moment at which the end
    of the user's speech (or the text) was sent; None where there was no such moment or nothing came.
    """

    turn_id: int
    transcript: str
    reply: str
    heard: str
    status: str
    message: str
    outcome: str
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
        self._text = ""
        self._text_sent_at: float | None = None
        self._awaits_text_turn = False
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

    def text_sent(self, text: str, at: float) -> None:
        """Note that the user's text has been sent."""
        self._text, self._text_sent_at, self._awaits_text_turn = text, at, True
        self._quiet.clear()

    async def quiet(self) -> None:
        """Wait until no utterance, no turn and no text is unanswered."""
        await self._quiet.wait()

    def question(self, turn_id: int) -> str:
        """What an unfinished turn answers, as far as it is known."""
        turn = self._turns.get(turn_id)
        if turn is None:
            return ""
        return turn.question or " ".join(filter(None, map(self._transcripts.get, turn.utterance_ids)))

    def add(self, response: ConverseResponse, at: float) -> TurnResult | None:
        """Take note of a response that arrived at `at`; returns the turn that it completes, if it does."""
        result = None
        match response.WhichOneof("payload"):
            case "speech_started":
                self._utterances.add(response.speech_started.utterance_id)
            case "speech_stopped":
                self._end_speech(response.speech_stopped)
            case "transcript" if response.transcript.final:
                self._utterances.discard(response.transcript.utterance_id)
                self._transcripts[response.transcript.utterance_id] = response.transcript.text
            case "turn_started":
                self._start(response.turn_started)
            case "reply_text" if turn := self._turns.get(response.reply_text.turn_id):
                turn.reply += response.reply_text.text
            case "audio" if turn := self._turns.get(response.audio.turn_id):
                turn.first_audio_at = turn.first_audio_at or at
                turn.samples += response.audio.sample_count
            case "frame" if turn := self._turns.get(response.frame.turn_id):
                turn.first_frame_at = turn.first_frame_at or at
                turn.frames += 1
            case "turn_completed":
                result = self._complete(response.turn_completed)
        if self._utterances or self._turns or self._awaits_text_turn:
            self._quiet.clear()
        else:
            self._quiet.set()
        return result

    def _end_speech(self, stopped: SpeechStopped) -> None:
        if self._audio_started_at is not None:
            offset_s = stopped.offset.ToNanoseconds() / 1e9
            self._speech_ended_at[stopped.utterance_id] = self._audio_started_at + offset_s

    def _start(self, started: TurnStarted) -> None:
        turn = _OpenTurn(utterance_ids=list(started.utterance_ids))
        if turn.utterance_ids:
            turn.asked_at = self._speech_ended_at.get(turn.utterance_ids[-1])
        if started.source == TurnSource.TURN_SOURCE_TEXT:
            turn.question, turn.asked_at, self._awaits_text_turn = self._text, self._text_sent_at, False
        self._turns[started.turn_id] = turn

    def _complete(self, completed: TurnCompleted) -> TurnResult:
        question = self.question(completed.turn_id)
        turn = self._turns.pop(completed.turn_id, _OpenTurn())
        result = TurnResult(
            turn_id=completed.turn_id,
            transcript=question,
            reply=completed.generated_text or turn.reply,
            heard=completed.heard_text,
            status=Code.Name(completed.status.code).removeprefix("CODE_"),
            message=completed.status.message,
            outcome=TurnOutcome.Name(completed.outcome).removeprefix("TURN_OUTCOME_"),
            degraded=completed.degraded,
            metrics=_metrics(completed),
            first_audio_ms=_since(turn.asked_at, turn.first_audio_at),
            first_frame_ms=_since(turn.asked_at, turn.first_frame_at),
            audio_s=turn.samples / self._sample_rate_hz,
            frame_count=turn.frames,
        )
        self.results.append(result)
        return result


def _metrics(completed: TurnCompleted) -> dict[str, int]:
    """The server's metrics as integers by field name; what was not measured is absent."""
    # Protobuf's JSON writes int64 as a string.
    values = MessageToDict(
        completed.metrics, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {name: int(value) for name, value in values.items()}


def _since(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else (end - start) * 1e3


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
