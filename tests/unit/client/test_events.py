"""Every message of the contract has its event, with every field and every word; what is unknown is no event."""

import dataclasses
from fractions import Fraction
from typing import Any, get_args

import pytest
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from avatar import v1
from avatar_client import events, facts, from_proto

# Of these the started events tell more plainly: `media` has the sizes of the frames.
TOLD_OTHERWISE = {"frame_width", "frame_height"}

OF_THE_CLIENT_ITSELF = {"ConnectionLost", "Resumed"}

STREAMS: dict[Any, Any] = {
    events.ConverseEvent: v1.ConverseResponse,
    events.SpeakEvent: v1.SpeakResponse,
    events.AnimateEvent: v1.AnimateResponse,
}


@pytest.mark.parametrize("union", STREAMS)
def test_each_response_of_a_stream_is_an_event_of_its_union(union: Any) -> None:
    payloads = {field.message_type.name for field in STREAMS[union].DESCRIPTOR.fields}
    names = {kind.__name__ for kind in get_args(union)}
    assert {name.replace("AudioChunk", "Audio") for name in payloads} == names - OF_THE_CLIENT_ITSELF


@pytest.mark.parametrize("message", from_proto.CLASSES)
def test_no_field_of_the_contract_is_left_out(message: type[Message]) -> None:
    kind = from_proto.CLASSES[message]
    told = {field.name.removesuffix("_s") for field in dataclasses.fields(kind)} - {"media"}
    assert {field.name for field in message.DESCRIPTOR.fields} - TOLD_OTHERWISE == told


@pytest.mark.parametrize("message", from_proto.CLASSES)
def test_an_empty_message_becomes_an_event_with_nothing_in_it(message: type[Message]) -> None:
    assert isinstance(from_proto.plain(message(), from_proto.CLASSES[message]), from_proto.CLASSES[message])


def words(enum: EnumDescriptor) -> set[str]:
    return {from_proto.enum_name(enum, value.number) for value in enum.values}


@pytest.mark.parametrize(
    "name",
    [
        *("AudioEncoding", "FrameEncoding", "AvatarState", "ConversationState", "GoAwayReason", "InterruptionReason"),
        *("Stage", "TurnOutcome", "TurnSource", "NoticeReason", "Code"),
    ],
)
def test_the_words_are_those_of_the_contract(name: str) -> None:
    assert set(get_args(getattr(facts, name))) == words(getattr(v1, name).DESCRIPTOR)


def test_a_completed_turn_is_told_in_plain_values() -> None:
    message = v1.TurnCompleted(
        turn_id=3,
        outcome=v1.TurnOutcome.TURN_OUTCOME_FAILED,
        status=v1.Status(
            code=v1.Code.CODE_UNAVAILABLE, message="gone", error_info=v1.ErrorInfo(reason="SPEECH_FAILED")
        ),
        metrics=v1.TurnMetrics(time_to_first_token_ms=0, sent_frame_count=7),
        degraded=True,
        degraded_reasons=[v1.NoticeReason.NOTICE_REASON_VIDEO_LOST],
    )
    message.status.retry_delay.FromMilliseconds(1500)
    message.usage.sent_audio.FromMilliseconds(40)
    event = from_proto.event(message)
    assert isinstance(event, events.TurnCompleted)
    assert event.status == facts.Status("UNAVAILABLE", "gone", "SPEECH_FAILED", "", 1.5)
    assert (event.turn_id, event.outcome, event.degraded_reasons) == (3, "FAILED", ("VIDEO_LOST",))
    assert (event.metrics.time_to_first_token_ms, event.metrics.time_to_first_audio_ms) == (0, None)
    assert (event.metrics.sent_frame_count, event.usage.sent_audio_s) == (7, 0.04)


def test_a_started_stream_tells_its_media_plainly() -> None:
    config = v1.ConverseConfig(output_audio=v1.AudioFormat(encoding=v1.AudioEncoding.AUDIO_ENCODING_OPUS))
    config.output_audio.sample_rate_hertz = 48_000
    config.frame_format.frame_rate.numerator, config.frame_format.frame_rate.denominator = 30_000, 1001
    event = from_proto.event(v1.SessionStarted(config=config, session_id="s-1", frame_width=512, frame_height=256))
    assert isinstance(event, events.SessionStarted)
    assert event.media == facts.MediaFormat("OPUS", 48_000, "JPEG", Fraction(30_000, 1001), 512, 256)
    assert event.config == config


def test_a_word_that_this_client_does_not_know_is_unspecified() -> None:
    event = from_proto.event(v1.Notice(reason=v1.NoticeReason.ValueType(999), message="something"))
    assert event == events.Notice("UNSPECIFIED", "something")


def test_a_message_that_this_client_does_not_know_is_no_event() -> None:
    assert from_proto.event(v1.ConverseResponse()) is None
