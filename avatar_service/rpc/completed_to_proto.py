"""How a turn went, as messages of the contract: its status, what it took and what it used."""

from google.protobuf.duration_pb2 import Duration

from avatar.v1 import (
    Code,
    ErrorInfo,
    NoticeReason,
    SegmentCompleted,
    Status,
    TurnCompleted,
    TurnMetrics,
    TurnOutcome,
    Usage,
)
from avatar_service import events
from avatar_service.rpc.status import DOMAIN, FAILED_STAGES, FAILURE_CODES

_OUTCOMES = {
    events.Outcome.COMPLETED: TurnOutcome.TURN_OUTCOME_COMPLETED,
    events.Outcome.INTERRUPTED: TurnOutcome.TURN_OUTCOME_INTERRUPTED,
    events.Outcome.SKIPPED: TurnOutcome.TURN_OUTCOME_SKIPPED,
    events.Outcome.FAILED: TurnOutcome.TURN_OUTCOME_FAILED,
    events.Outcome.AWAITING_TOOLS: TurnOutcome.TURN_OUTCOME_AWAITING_TOOLS,
}


def seconds(value: float) -> Duration:
    """A Duration of so many seconds, to the nanosecond."""
    return nanoseconds(round(value * 1e9))


def nanoseconds(value: int) -> Duration:
    """A Duration of so many nanoseconds."""
    duration = Duration()
    duration.FromNanoseconds(value)
    return duration


def turn_completed(event: events.TurnCompleted) -> TurnCompleted:
    """The end of a turn."""
    return TurnCompleted(
        turn_id=event.turn_id,
        outcome=_OUTCOMES[event.outcome],
        status=_turn_status(event),
        metrics=_metrics(event),
        usage=_usage(event),
        generated_text=event.generated_text,
        heard_text=event.heard_text,
        heard_estimated=event.heard_estimated,
        degraded=bool(event.degraded_by),
        degraded_reasons=[NoticeReason.Value(f"NOTICE_REASON_{reason}") for reason in event.degraded_by],
    )


def segment_completed(event: events.TurnCompleted) -> SegmentCompleted:
    """The end of a segment of `Animate`."""
    return SegmentCompleted(
        segment_id=event.turn_id,
        status=_turn_status(event),
        metrics=_metrics(event),
        usage=_usage(event),
        degraded=bool(event.degraded_by),
    )


def failure_status(failure: events.Failure) -> Status:
    """An engine's failure."""
    facts = {"stage": failure.stage, "engine": failure.engine, "fault": failure.fault}
    info = ErrorInfo(
        reason=FAILED_STAGES[failure.stage],
        domain=DOMAIN,
        metadata={name: fact for name, fact in facts.items() if fact},
    )
    return Status(code=FAILURE_CODES[failure.kind], message=failure.message, error_info=info)


def _turn_status(event: events.TurnCompleted) -> Status:
    if event.failure:
        return failure_status(event.failure)
    interrupted = event.outcome is events.Outcome.INTERRUPTED
    return Status(code=Code.CODE_CANCELLED if interrupted else Code.CODE_OK)


def _metrics(event: events.TurnCompleted) -> TurnMetrics:
    latencies_s = event.timings.latencies_s(audio_only=event.audio_only)
    return TurnMetrics(
        **{f"{name}_ms": round(1000 * seconds) for name, seconds in latencies_s.items()},
        sent_frame_count=event.frames_sent,
        held_frame_count=event.frames_held,
        shed_frame_count=event.frames_shed,
        starved_ms=round(1000 * event.starved_s),
        retry_count=event.retries,
    )


def _usage(event: events.TurnCompleted) -> Usage:
    return Usage(
        transcribed_audio=seconds(event.transcribed_s),
        prompt_token_count=event.prompt_tokens,
        completion_token_count=event.completion_tokens,
        speech_character_count=event.spoken_characters,
        sent_audio=seconds(event.media_s),
        rendered_frame_count=event.frames_rendered,
    )
