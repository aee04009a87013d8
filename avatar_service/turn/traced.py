"""A turn as one span, with its stages below it."""

from collections.abc import Awaitable

from opentelemetry.trace import INVALID_SPAN, Span

from avatar_service import tracing
from avatar_service.events import Failure
from avatar_service.turn.failure import engine_failure
from avatar_service.turn.turn import Turn


async def traced(turn: Turn, stages: Awaitable[None]) -> Failure | None:
    """Run a turn to its end; an engine that fails ends the turn alone, and is returned."""
    given, failure, is_over = turn.user_input, None, False
    about: tracing.Attributes = {tracing.TURN_ID: turn.turn_id, tracing.SOURCE: given.source.value}
    early = given.early.span if given.early else INVALID_SPAN
    with tracing.below(tracing.TURN, about, link=early) as span:
        turn.span = span
        try:
            failure = await engine_failure(stages)
            is_over = True
        finally:
            if span.is_recording():
                _describe(span, turn, failure, is_over)
    return failure


def _describe(span: Span, turn: Turn, failure: Failure | None, is_over: bool) -> None:
    """How the turn went, as its closing event will say."""
    interrupted = turn.timings.has("interrupt_decided")
    completed = turn.completed(interrupted=interrupted, failure=None if interrupted else failure)
    outcome = completed.outcome.value if is_over or interrupted else "abandoned"
    span.set_attributes(
        {
            tracing.TURN_OUTCOME: outcome,
            tracing.DEGRADED_BY: completed.degraded_by,
            tracing.RETRIES: completed.retries,
        }
    )
    for name, seconds in completed.timings.latencies_s(audio_only=completed.audio_only).items():
        span.set_attribute(tracing.LATENCY.format(name), round(1000 * seconds))
    if completed.failure:
        tracing.failed(span, completed.failure.fault or completed.failure.kind.value)
