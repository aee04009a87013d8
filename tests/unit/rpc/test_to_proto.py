"""What a session tells its client, as messages of the contract."""

from fractions import Fraction
from typing import Any, get_args

import pytest

from avatar.v1 import (
    AnimateResponse,
    Code,
    ConversationState,
    ConverseConfig,
    ConverseResponse,
    InterruptionReason,
    NoticeReason,
    SpeakResponse,
    TurnOutcome,
    TurnSource,
)
from avatar_service import events
from avatar_service.events import Cause, Failure, FailureKind, Outcome, Source, State
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, SpeechChunk, ToolCall
from avatar_service.media.wire_audio import AudioEncoder, AudioEncoding
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.rpc.to_proto import ResponseBuilder
from avatar_service.timings import Timings


class One:
    """A builder of one call's responses, for events that are told by one."""

    def __init__(
        self,
        response: Any = ConverseResponse,
        fps: Fraction = Fraction(25),  # fractions are immutable
        encoding: AudioEncoding = AudioEncoding.LINEAR16,
    ) -> None:
        rate_hz = 8_000 if encoding is AudioEncoding.MULAW else 24_000
        self.builder = ResponseBuilder[Any](response, Timeline(rate_hz, fps), lambda: AudioEncoder(encoding, rate_hz))

    def build(self, event: Any) -> Any:
        """The one response."""
        (response,) = self.builder.build(event)
        return response


NTSC = One(fps=Fraction(30_000, 1_001))
PAL = One()


def completed(**changes: Any) -> events.TurnCompleted:
    fields: dict[str, Any] = {
        "turn_id": 3,
        "outcome": Outcome.COMPLETED,
        "generated_text": "Hello.",
        "heard_text": "Hello.",
    }
    return events.TurnCompleted(**(fields | {"timings": Timings()} | changes))


EXAMPLES: list[events.Event] = [
    events.AudioReceived(1.5),
    events.SpeechStarted(1, 0.5),
    events.SpeechStopped(1, 1.5),
    events.Transcript(1, "hello", 0.5, 1.5),
    events.StateChanged(State.LISTENING),
    events.TurnStarted(1, Source.UTTERANCE, (1, 2), ""),
    events.ReplyText(1, "Hello"),
    events.SpokenText(1, "Hello ", 0.0, 0.4, estimated=False),
    events.ToolCalls(1, (ToolCall("c1", "get_weather", "{}"),)),
    events.ToolCallsCancelled(1, ("c1",)),
    events.GoAway(60.0, events.GoAwayReason.SESSION_AGE, "token"),
    events.ConfigUpdated(ConverseConfig(avatar="avatars/ada")),
    events.Media(1, SpeechChunk(0, bytes(1_920))),
    events.ReplyFinished(1, 2.0),
    events.Interrupted(1, 0.5, Cause.BARGE_IN, 2),
    events.Notice("VIDEO_LOST", "The voice goes on.", 1),
    completed(),
]


def test_every_event_has_a_response() -> None:
    assert {type(event) for event in EXAMPLES} == set(get_args(events.Event))
    for event in EXAMPLES:
        assert PAL.build(event).WhichOneof("payload") is not None


def test_something_else_is_a_bug() -> None:
    with pytest.raises(TypeError, match="no response for str"):
        PAL.build("hello")


@pytest.mark.parametrize("builder", [PAL, NTSC])
def test_media_carry_their_exact_positions(builder: One) -> None:
    fps = Fraction(25) if builder is PAL else Fraction(30_000, 1_001)
    for index in (0, 1, 2, 1_000, 15_000):
        audio = builder.build(events.Media(7, SpeechChunk(index, b"ab" * 5))).audio
        frame = builder.build(events.Media(7, Frame(index, b"jpeg", 4))).frame
        assert (audio.turn_id, audio.index, audio.data, audio.sample_count) == (7, index, b"ab" * 5, 5)
        assert (frame.turn_id, frame.index, frame.data, frame.loop_index) == (7, index, b"jpeg", 4)
        assert frame.keyframe
        exact = index * 1_000_000_000 / fps
        assert audio.offset.ToNanoseconds() == frame.offset.ToNanoseconds() == int(exact)


@pytest.mark.parametrize(
    ("kind", "contract", "prefix"),
    [
        (State, ConversationState, "CONVERSATION_STATE_"),
        (Source, TurnSource, "TURN_SOURCE_"),
        (Cause, InterruptionReason, "INTERRUPTION_REASON_"),
        (Outcome, TurnOutcome, "TURN_OUTCOME_"),
    ],
)
def test_every_word_has_the_same_name_in_the_contract(kind: Any, contract: Any, prefix: str) -> None:
    build: Any = {
        State: lambda word: PAL.build(events.StateChanged(word)).state_changed.state,
        Source: lambda word: PAL.build(events.TurnStarted(1, word, (), "")).turn_started.source,
        Cause: lambda word: PAL.build(events.Interrupted(1, 0.0, word)).interrupted.reason,
        Outcome: lambda word: PAL.build(completed(outcome=word)).turn_completed.outcome,
    }[kind]
    for word in set(kind) - {Source.SEGMENT}:  # which only Animate has
        assert contract.Name(build(word)) == f"{prefix}{word.name}"


def test_a_notice_has_the_contracts_own_reason() -> None:
    notice = PAL.build(events.Notice("SPEECH_STARVED", "Slow.", 2)).notice
    assert (notice.reason, notice.turn_id) == (NoticeReason.NOTICE_REASON_SPEECH_STARVED, 2)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FailureKind.TIMEOUT, Code.CODE_DEADLINE_EXCEEDED),
        (FailureKind.UNAVAILABLE, Code.CODE_UNAVAILABLE),
        (FailureKind.REJECTED, Code.CODE_FAILED_PRECONDITION),
    ],
)
@pytest.mark.parametrize(
    ("stage", "reason"),
    [("transcribe", "TRANSCRIPTION_FAILED"), ("think", "CHAT_FAILED"), ("speak", "SPEECH_FAILED")],
)
def test_a_failed_turn_says_why(kind: FailureKind, code: int, stage: str, reason: str) -> None:
    failure = Failure(kind, stage, "It failed.")
    status = PAL.build(completed(outcome=Outcome.FAILED, failure=failure)).turn_completed.status
    assert (status.code, status.message, status.error_info.reason) == (code, "It failed.", reason)


def test_what_degraded_a_turn_is_listed() -> None:
    told = PAL.build(completed(degraded_by=("VIDEO_LOST",))).turn_completed
    assert told.degraded
    assert list(told.degraded_reasons) == [NoticeReason.NOTICE_REASON_VIDEO_LOST]
    assert not PAL.build(completed()).turn_completed.degraded


async def test_metrics_are_milliseconds_between_moments_and_absent_where_nothing_ran() -> None:
    timings = Timings()
    for moment, at_s in (("speech_ended", 10.0), ("first_audio_sent", 10.6504), ("first_frame_sent", 10.7)):
        timings.mark(moment, at_s=at_s)  # type: ignore[arg-type]  # a literal from a tuple
    metrics = PAL.build(completed(timings=timings, frames_sent=5, frames_held=2, starved_s=0.25)).turn_completed.metrics
    assert (metrics.time_to_first_audio_ms, metrics.time_to_first_frame_ms) == (650, 700)
    assert metrics.total_latency_ms == 700
    assert (metrics.sent_frame_count, metrics.held_frame_count, metrics.starved_ms) == (5, 2, 250)
    for absent in ("transcription_time_ms", "llm_response_time_ms", "tts_generation_time_ms", "interruption_time_ms"):
        assert not metrics.HasField(absent)


def test_segments_are_turns_by_their_names_in_animate() -> None:
    animate = One(AnimateResponse)
    assert animate.build(events.TurnStarted(4, Source.SEGMENT, (), "")).segment_started.segment_id == 4
    finished = animate.build(events.ReplyFinished(4, 2.0)).segment_finished
    assert (finished.segment_id, finished.media_duration.ToMilliseconds()) == (4, 2_000)
    done = animate.build(completed(turn_id=4, outcome=Outcome.INTERRUPTED, degraded_by=("VIDEO_LOST",)))
    assert (done.segment_completed.segment_id, done.segment_completed.degraded) == (4, True)
    assert done.segment_completed.status.code == Code.CODE_CANCELLED
    assert animate.build(events.Interrupted(4, 0.5, Cause.REQUESTED)).interrupted.turn_id == 4


@pytest.mark.parametrize(
    ("response", "untold"),
    [
        (SpeakResponse, {"state_changed", "reply_text", "turn_started", "interrupted"}),
        (AnimateResponse, {"state_changed", "reply_text"}),
    ],
)
def test_what_a_call_has_no_field_for_is_not_told(response: Any, untold: set[str]) -> None:
    told = [one.WhichOneof("payload") for event in EXAMPLES for one in One(response).builder.build(event)]
    assert told
    assert not untold & set(told)


def test_a_chunk_is_one_message_in_mulaw() -> None:
    audio = One(encoding=AudioEncoding.MULAW).build(events.Media(1, SpeechChunk(3, bytes(640)))).audio
    assert (audio.index, audio.sample_count, len(audio.data)) == (3, 320, 320)
    assert audio.offset.ToMilliseconds() == 120


@pytest.mark.parametrize(("fps", "packets"), [(25, 2), (50, 1)])
def test_opus_counts_packets_of_20_ms(fps: int, packets: int) -> None:
    builder = One(fps=Fraction(fps), encoding=AudioEncoding.OPUS).builder
    chunk = bytes(2 * 24_000 // fps)
    told = [one.audio for index in range(4) for one in builder.build(events.Media(1, SpeechChunk(index, chunk)))]
    assert [audio.index for audio in told] == list(range(4 * packets))
    assert [audio.offset.ToMilliseconds() for audio in told] == [20 * index for index in range(4 * packets)]
    assert {audio.sample_count for audio in told} == {960}


def test_each_turn_has_an_encoder_of_its_own() -> None:
    made = 0

    def encoder() -> AudioEncoder:
        nonlocal made
        made += 1
        return AudioEncoder(AudioEncoding.OPUS, 24_000)

    builder = ResponseBuilder(ConverseResponse, Timeline(24_000, Fraction(25)), encoder)
    for turn_id in (1, 1, 2, 3, 3):
        builder.build(events.Media(turn_id, SpeechChunk(0, bytes(1_920))))
    assert made == 3


async def test_without_frames_by_request_the_latency_is_that_of_the_voice() -> None:
    timings = Timings()
    for moment, at_s in (("speech_ended", 10.0), ("first_audio_sent", 10.65)):
        timings.mark(moment, at_s=at_s)  # type: ignore[arg-type]  # a literal from a tuple
    metrics = PAL.build(completed(timings=timings, audio_only=True)).turn_completed.metrics
    assert metrics.total_latency_ms == 650


async def test_without_a_frame_there_is_no_latency_of_both() -> None:
    timings = Timings()
    timings.mark("speech_ended")
    timings.mark("first_audio_sent")
    metrics = PAL.build(completed(timings=timings)).turn_completed.metrics
    assert metrics.HasField("time_to_first_audio_ms")
    assert not metrics.HasField("total_latency_ms")


@pytest.mark.parametrize("value", [0.0, 0.04, 1.5, 3600.000000001])
def test_seconds_keep_their_nanoseconds(value: float) -> None:
    assert seconds(value).ToNanoseconds() == round(value * 1e9)
