"""What a session tells its client, as messages of the contract.

The three streaming calls share their messages; each has them as fields of its own response. `Animate` calls a turn a
segment. What a call's response has no field for, such as the state of a conversation in `Speak`, is not told.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import singledispatchmethod
from typing import Any, Generic, TypeVar

from avatar.v1 import (
    AnimateResponse,
    AudioReceived,
    ConfigUpdated,
    ConversationState,
    ConverseResponse,
    GoAway,
    GoAwayReason,
    Interrupted,
    InterruptionReason,
    Notice,
    NoticeReason,
    ReplyFinished,
    ReplyText,
    SegmentFinished,
    SegmentStarted,
    SpeakResponse,
    SpeechStarted,
    SpeechStopped,
    SpokenText,
    Stage,
    StateChanged,
    ToolCall,
    ToolCalls,
    ToolCallsCancelled,
    Transcript,
    TurnSource,
    TurnStarted,
)
from avatar_service import events
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Packet, SpeechChunk
from avatar_service.media.wire_audio import AudioEncoder
from avatar_service.rpc.completed_to_proto import (
    failure_status,
    seconds,
    segment_completed,
    turn_completed,
)

R = TypeVar("R", ConverseResponse, SpeakResponse, AnimateResponse)
Payloads = Iterator[tuple[str, Any]]
"""Fields of a response, and the messages that go into them."""
NANOSECONDS = 1_000_000_000
"""Of a second."""

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
    events.Source.TOOL_RESULTS: TurnSource.TURN_SOURCE_TOOL_RESULTS,
    events.Source.FALSE_BARGE_IN: TurnSource.TURN_SOURCE_FALSE_BARGE_IN,
    events.Source.RESUME: TurnSource.TURN_SOURCE_RESUME,
}
_CAUSES = {
    events.Cause.BARGE_IN: InterruptionReason.INTERRUPTION_REASON_BARGE_IN,
    events.Cause.REQUESTED: InterruptionReason.INTERRUPTION_REASON_REQUESTED,
    events.Cause.REPLACED: InterruptionReason.INTERRUPTION_REASON_REPLACED,
    events.Cause.SERVER: InterruptionReason.INTERRUPTION_REASON_SERVER,
}
_GO_AWAY_REASONS = {
    events.GoAwayReason.DRAINING: GoAwayReason.GO_AWAY_REASON_DRAINING,
    events.GoAwayReason.SESSION_AGE: GoAwayReason.GO_AWAY_REASON_SESSION_AGE,
    events.GoAwayReason.CREDENTIAL_EXPIRING: GoAwayReason.GO_AWAY_REASON_CREDENTIAL_EXPIRING,
}


class ResponseBuilder(Generic[R]):
    """Builds the responses of one call. Its timeline gives media their exact offsets; each turn has its own encoder."""

    def __init__(self, response: type[R], timeline: Timeline, encoder: Callable[[], AudioEncoder]) -> None:
        self._response: type[R] = response
        self._fields = frozenset(response.DESCRIPTOR.fields_by_name)
        self._timeline = timeline
        self._new_encoder = encoder
        self._encoder: AudioEncoder | None = None
        self._encoded_turn = 0

    def build(self, event: events.Event) -> list[R]:
        """The responses that tell an event, in order."""
        if isinstance(event, events.Media):  # fifty a second, so without the way of all others
            return self._media(event.turn_id, event.packet)
        return [self._response(**{field: payload}) for field, payload in self._payloads(event) if field in self._fields]

    @singledispatchmethod
    def _payloads(self, event: object) -> Payloads:
        raise TypeError(f"no response for {type(event).__name__}")

    def _media(self, turn_id: int, packet: Packet) -> list[R]:
        """Filled in in place: to build a frame first and then put it into its response takes three times as long."""
        if isinstance(packet, SpeechChunk):
            return self._voice(turn_id, packet)
        response = self._response()
        frame = response.frame
        frame.turn_id, frame.index = turn_id, packet.index
        frame.offset.seconds, frame.offset.nanos = divmod(self._timeline.offset_ns(packet.index), NANOSECONDS)
        frame.data, frame.keyframe, frame.loop_index = packet.image, packet.keyframe, packet.loop_index
        return [response]

    def _voice(self, turn_id: int, chunk: SpeechChunk) -> list[R]:
        """A chunk of voice in the packets of its encoding, which last equally long and are counted from the turn on."""
        if self._encoder is None or turn_id != self._encoded_turn:
            self._encoder, self._encoded_turn = self._new_encoder(), turn_id
        packets = self._encoder.encode(chunk.pcm)
        count, responses = len(packets), list[R]()
        for index, (data, sample_count) in enumerate(packets, chunk.index * count):
            response = self._response()
            audio = response.audio
            audio.turn_id, audio.index = turn_id, index
            audio.offset.seconds, audio.offset.nanos = divmod(self._timeline.offset_ns(index, count), NANOSECONDS)
            audio.data, audio.sample_count = data, sample_count
            responses.append(response)
        return responses

    @_payloads.register
    def _(self, event: events.AudioReceived) -> Payloads:
        yield "audio_received", AudioReceived(offset=seconds(event.offset_s))

    @_payloads.register
    def _(self, event: events.SpeechStarted) -> Payloads:
        yield "speech_started", SpeechStarted(utterance_id=event.utterance_id, offset=seconds(event.offset_s))

    @_payloads.register
    def _(self, event: events.SpeechStopped) -> Payloads:
        yield "speech_stopped", SpeechStopped(utterance_id=event.utterance_id, offset=seconds(event.offset_s))

    @_payloads.register
    def _(self, event: events.Transcript) -> Payloads:
        transcript = Transcript(
            utterance_id=event.utterance_id,
            text=event.text,
            final=event.final,
            start_offset=seconds(event.start_s),
            end_offset=seconds(event.end_s),
        )
        yield "transcript", transcript

    @_payloads.register
    def _(self, event: events.StateChanged) -> Payloads:
        yield "state_changed", StateChanged(state=_STATES[event.state], turn_id=event.turn_id)

    @_payloads.register
    def _(self, event: events.TurnStarted) -> Payloads:
        if event.source is events.Source.SEGMENT:
            yield "segment_started", SegmentStarted(segment_id=event.turn_id)
            return
        started = TurnStarted(
            turn_id=event.turn_id,
            utterance_ids=event.utterance_ids,
            source=_SOURCES[event.source],
            request_id=event.request_id,
            resumes_turn_id=event.resumes_turn_id,
        )
        yield "turn_started", started

    @_payloads.register
    def _(self, event: events.ReplyText) -> Payloads:
        yield "reply_text", ReplyText(turn_id=event.turn_id, text=event.text)

    @_payloads.register
    def _(self, event: events.SpokenText) -> Payloads:
        spoken = SpokenText(
            turn_id=event.turn_id,
            text=event.text,
            start_offset=seconds(event.start_s),
            end_offset=seconds(event.end_s),
            estimated=event.estimated,
        )
        yield "spoken_text", spoken

    @_payloads.register
    def _(self, event: events.ToolCalls) -> Payloads:
        calls = [ToolCall(**asdict(call)) for call in event.calls]
        yield "tool_calls", ToolCalls(turn_id=event.turn_id, calls=calls)

    @_payloads.register
    def _(self, event: events.ToolCallsCancelled) -> Payloads:
        cancelled = ToolCallsCancelled(turn_id=event.turn_id, tool_call_ids=event.tool_call_ids)
        yield "tool_calls_cancelled", cancelled

    @_payloads.register
    def _(self, event: events.GoAway) -> Payloads:
        reason = _GO_AWAY_REASONS[event.reason]
        go_away = GoAway(time_left=seconds(event.time_left_s), reason=reason, resume_token=event.resume_token)
        yield "go_away", go_away

    @_payloads.register
    def _(self, event: events.ConfigUpdated) -> Payloads:
        yield "config_updated", ConfigUpdated(config=event.config)

    @_payloads.register
    def _(self, event: events.ReplyFinished) -> Payloads:
        duration = seconds(event.media_s)
        yield "reply_finished", ReplyFinished(turn_id=event.turn_id, media_duration=duration)
        yield "segment_finished", SegmentFinished(segment_id=event.turn_id, media_duration=duration)

    @_payloads.register
    def _(self, event: events.Interrupted) -> Payloads:
        interrupted = Interrupted(
            turn_id=event.turn_id,
            played=seconds(event.played_s),
            reason=_CAUSES[event.cause],
            utterance_id=event.utterance_id,
        )
        yield "interrupted", interrupted

    @_payloads.register
    def _(self, event: events.Notice) -> Payloads:
        reason = NoticeReason.Value(f"NOTICE_REASON_{event.reason}")
        notice = Notice(
            reason=reason,
            message=event.message,
            turn_id=event.turn_id,
            utterance_id=event.utterance_id,
            stage=Stage.Value(f"STAGE_{event.stage.upper()}") if event.stage else Stage.STAGE_UNSPECIFIED,
            status=failure_status(event.failure) if event.failure else None,
        )
        yield "notice", notice

    @_payloads.register
    def _(self, event: events.TurnCompleted) -> Payloads:
        yield "turn_completed", turn_completed(event)
        yield "segment_completed", segment_completed(event)
