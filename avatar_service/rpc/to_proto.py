"""What a session tells its client, as messages of the contract."""

from functools import singledispatchmethod

from google.protobuf.duration_pb2 import Duration

from avatar.v1 import (
    AudioChunk,
    AudioReceived,
    Code,
    ConversationState,
    ConverseResponse,
    ErrorInfo,
    Frame,
    Interrupted,
    InterruptionReason,
    Notice,
    NoticeReason,
    ReplyFinished,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    StateChanged,
    Status,
    Transcript,
    TurnCompleted,
    TurnMetrics,
    TurnOutcome,
    TurnSource,
    TurnStarted,
    Usage,
)
from avatar_service import events
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.rpc.status import DOMAIN

_STATES = {
    events.State.IDLE: ConversationState.CONVERSATION_STATE_IDLE,
    events.State.LISTENING: ConversationState.CONVERSATION_STATE_LISTENING,
    events.State.THINKING: ConversationState.CONVERSATION_STATE_THINKING,
    events.State.SPEAKING: ConversationState.CONVERSATION_STATE_SPEAKING,
}
_SOURCES = {
    events.Source.UTTERANCE: TurnSource.TURN_SOURCE_UTTERANCE,
    events.Source.TEXT: TurnSource.TURN_SOURCE_TEXT,
    events.Source.SAY: TurnSource.TURN_SOURCE_SAY,
    events.Source.FIRST_MESSAGE: TurnSource.TURN_SOURCE_FIRST_MESSAGE,
}
_CAUSES = {
    events.Cause.BARGE_IN: InterruptionReason.INTERRUPTION_REASON_BARGE_IN,
    events.Cause.REQUESTED: InterruptionReason.INTERRUPTION_REASON_REQUESTED,
    events.Cause.REPLACED: InterruptionReason.INTERRUPTION_REASON_REPLACED,
}
_OUTCOMES = {
    events.Outcome.COMPLETED: TurnOutcome.TURN_OUTCOME_COMPLETED,
    events.Outcome.INTERRUPTED: TurnOutcome.TURN_OUTCOME_INTERRUPTED,
    events.Outcome.SKIPPED: TurnOutcome.TURN_OUTCOME_SKIPPED,
    events.Outcome.FAILED: TurnOutcome.TURN_OUTCOME_FAILED,
}
_FAILURES = {
    events.FailureKind.TIMEOUT: Code.CODE_DEADLINE_EXCEEDED,
    events.FailureKind.UNAVAILABLE: Code.CODE_UNAVAILABLE,
    events.FailureKind.REJECTED: Code.CODE_FAILED_PRECONDITION,
}
_FAILED_STAGES = {"transcribe": "TRANSCRIPTION_FAILED", "think": "CHAT_FAILED", "speak": "SPEECH_FAILED"}


def seconds(value: float) -> Duration:
    """A Duration of so many seconds, to the nanosecond."""
    duration = Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


def _nanoseconds(value: int) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(value)
    return duration


class ResponseBuilder:
    """Builds the responses of one session; its timeline gives media their exact offsets."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    @singledispatchmethod
    def build(self, event: object) -> ConverseResponse:
        """The response that tells an event."""
        raise TypeError(f"no response for {type(event).__name__}")

    @build.register
    def _(self, event: events.Media) -> ConverseResponse:
        packet = event.packet
        offset = _nanoseconds(self._timeline.offset_ns(packet.index))
        if isinstance(packet, SpeechChunk):
            samples = len(packet.pcm) // 2
            return ConverseResponse(
                audio=AudioChunk(
                    turn_id=event.turn_id, index=packet.index, offset=offset, data=packet.pcm, sample_count=samples
                )
            )
        return ConverseResponse(
            frame=Frame(
                turn_id=event.turn_id,
                index=packet.index,
                offset=offset,
                data=packet.image,
                keyframe=True,
                loop_index=packet.loop_index,
            )
        )

    @build.register
    def _(self, event: events.AudioReceived) -> ConverseResponse:
        return ConverseResponse(audio_received=AudioReceived(offset=seconds(event.offset_s)))

    @build.register
    def _(self, event: events.SpeechStarted) -> ConverseResponse:
        started = SpeechStarted(utterance_id=event.utterance_id, offset=seconds(event.offset_s))
        return ConverseResponse(speech_started=started)

    @build.register
    def _(self, event: events.SpeechStopped) -> ConverseResponse:
        stopped = SpeechStopped(utterance_id=event.utterance_id, offset=seconds(event.offset_s))
        return ConverseResponse(speech_stopped=stopped)

    @build.register
    def _(self, event: events.Transcript) -> ConverseResponse:
        return ConverseResponse(
            transcript=Transcript(
                utterance_id=event.utterance_id,
                text=event.text,
                final=True,
                start_offset=seconds(event.start_s),
                end_offset=seconds(event.end_s),
            )
        )

    @build.register
    def _(self, event: events.StateChanged) -> ConverseResponse:
        return ConverseResponse(state_changed=StateChanged(state=_STATES[event.state], turn_id=event.turn_id))

    @build.register
    def _(self, event: events.TurnStarted) -> ConverseResponse:
        return ConverseResponse(
            turn_started=TurnStarted(
                turn_id=event.turn_id,
                utterance_ids=event.utterance_ids,
                source=_SOURCES[event.source],
                request_id=event.request_id,
            )
        )

    @build.register
    def _(self, event: events.ReplyText) -> ConverseResponse:
        return ConverseResponse(reply_text=ReplyText(turn_id=event.turn_id, text=event.text))

    @build.register
    def _(self, event: events.ReplyFinished) -> ConverseResponse:
        return ConverseResponse(
            reply_finished=ReplyFinished(turn_id=event.turn_id, media_duration=seconds(event.media_s))
        )

    @build.register
    def _(self, event: events.Interrupted) -> ConverseResponse:
        return ConverseResponse(
            interrupted=Interrupted(
                turn_id=event.turn_id,
                played=seconds(event.played_s),
                reason=_CAUSES[event.cause],
                utterance_id=event.utterance_id,
            )
        )

    @build.register
    def _(self, event: events.Notice) -> ConverseResponse:
        reason = NoticeReason.Value(f"NOTICE_REASON_{event.reason}")
        return ConverseResponse(notice=Notice(reason=reason, message=event.message, turn_id=event.turn_id))

    @build.register
    def _(self, event: events.TurnCompleted) -> ConverseResponse:
        return ConverseResponse(
            turn_completed=TurnCompleted(
                turn_id=event.turn_id,
                outcome=_OUTCOMES[event.outcome],
                status=_turn_status(event),
                metrics=_metrics(event),
                usage=_usage(event),
                generated_text=event.generated_text,
                heard_text=event.heard_text,
                heard_estimated=True,
                degraded=bool(event.degraded_by),
                degraded_reasons=[NoticeReason.Value(f"NOTICE_REASON_{reason}") for reason in event.degraded_by],
            )
        )


def _turn_status(event: events.TurnCompleted) -> Status:
    if event.failure:
        info = ErrorInfo(reason=_FAILED_STAGES[event.failure.stage], domain=DOMAIN)
        return Status(code=_FAILURES[event.failure.kind], message=event.failure.message, error_info=info)
    interrupted = event.outcome is events.Outcome.INTERRUPTED
    return Status(code=Code.CODE_CANCELLED if interrupted else Code.CODE_OK)


def _metrics(event: events.TurnCompleted) -> TurnMetrics:
    between_s = event.timings.between_s
    first_audio, first_frame = (
        _ms(between_s("speech_ended", "first_audio_sent")),
        _ms(between_s("speech_ended", "first_frame_sent")),
    )
    return TurnMetrics(
        transcription_time_ms=_ms(between_s("transcription_started", "transcribed")),
        llm_response_time_ms=_ms(between_s("chat_started", "reply_written")),
        tts_generation_time_ms=_ms(event.timings.speech_s or None),
        total_latency_ms=max(first_audio, first_frame) if first_audio is not None and first_frame is not None else None,
        time_to_first_token_ms=_ms(between_s("chat_started", "first_token")),
        time_to_first_audio_ms=first_audio,
        time_to_first_frame_ms=first_frame,
        endpointing_time_ms=_ms(between_s("speech_ended", "turn_started")),
        time_to_first_speech_byte_ms=_ms(between_s("speech_started", "first_speech")),
        first_render_time_ms=_ms(between_s("render_started", "first_frame_rendered")),
        sent_frame_count=event.frames_sent,
        held_frame_count=event.frames_held,
        starved_ms=round(1000 * event.starved_s),
        interruption_time_ms=_ms(between_s("interrupt_decided", "interrupted")),
    )


def _ms(value_s: float | None) -> int | None:
    return None if value_s is None else round(1000 * value_s)


def _usage(event: events.TurnCompleted) -> Usage:
    return Usage(
        transcribed_audio=seconds(event.transcribed_s),
        prompt_token_count=event.prompt_tokens,
        completion_token_count=event.completion_tokens,
        speech_character_count=event.spoken_characters,
        sent_audio=seconds(event.media_s),
        rendered_frame_count=event.frames_rendered,
    )
