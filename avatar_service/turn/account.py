"""What is kept of a turn that is over: its counts and times in the metrics, and one line in the log.

The line has the latencies by their names in the contract, in milliseconds, and nothing that was said.
"""

from avatar_service import metrics
from avatar_service.events import TurnCompleted
from avatar_service.log import get_logger
from avatar_service.turn.turn import Turn

log = get_logger(__name__)

STAGES = {"TRANSCRIPTION_FAILED": "transcribe", "CHAT_FAILED": "think", "REPLY_CUT": "think", "SPEECH_FAILED": "speak"}
"""Stages that have failed for good in a turn, by what degraded it."""


def account(turn: Turn, completed: TurnCompleted) -> None:
    """Count a turn that is over and log it; call it once for each."""
    source, outcome = turn.user_input.source.value, completed.outcome.value
    latencies_s = completed.timings.latencies_s(audio_only=completed.audio_only)
    metrics.TURNS.labels(source, outcome).inc()
    if completed.failure:
        metrics.TURN_FAILURES.labels(completed.failure.stage, completed.failure.fault).inc()
    _count_in_a_row(turn, completed)
    for reason in completed.degraded_by:
        metrics.DEGRADED.labels(reason).inc()
    exemplar = metrics.exemplar(turn.span)
    for name, seconds in latencies_s.items():
        metrics.LATENCIES[name].observe(seconds, exemplar)
    for counter, amount in (
        (metrics.FRAMES_SENT, completed.frames_sent),
        (metrics.FRAMES_HELD, completed.frames_held),
        (metrics.FRAMES_SHED, completed.frames_shed),
        (metrics.FRAMES_RENDERED, completed.frames_rendered),
        (metrics.SENT_SPEECH, completed.media_s),
        (metrics.STARVED, completed.starved_s),
        (metrics.TRANSCRIBED_AUDIO, completed.transcribed_s),
        (metrics.TOKENS.labels("prompt"), completed.prompt_tokens),
        (metrics.TOKENS.labels("completion"), completed.completion_tokens),
        (metrics.CHARACTERS, completed.spoken_characters),
    ):
        counter.inc(amount)
    log.info(
        "turn_completed",
        turn_id=turn.turn_id,
        source=source,
        outcome=outcome,
        degraded_by=list(completed.degraded_by),
        failed_stage=completed.failure.stage if completed.failure else None,
        fault=completed.failure.fault if completed.failure else None,
        retries=completed.retries,
        media_s=round(completed.media_s, 3),
        frames_sent=completed.frames_sent,
        frames_held=completed.frames_held,
        frames_shed=completed.frames_shed,
        **{f"{name}_ms": round(1000 * seconds) for name, seconds in latencies_s.items()},
    )


def _count_in_a_row(turn: Turn, completed: TurnCompleted) -> None:
    """Of the stages whose engine was asked, count those that failed in one turn after the other."""
    failed = {STAGES[reason] for reason in completed.degraded_by if reason in STAGES}
    if completed.failure:
        failed.add(completed.failure.stage)
    asked = {
        "transcribe": completed.timings.has("transcribed") and completed.transcribed_s,
        "think": turn.reply.finish_reason,
        "speak": completed.spoken_characters and completed.media_s,
    }
    for stage in failed:
        metrics.FAILURES_IN_A_ROW.labels(stage).inc()
    for stage in {stage for stage, worked in asked.items() if worked} - failed:
        metrics.FAILURES_IN_A_ROW.labels(stage).set(0)
