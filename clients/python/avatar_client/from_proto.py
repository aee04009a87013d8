"""The contract's messages as this client's plain classes.

A class and its message share their field names, so one rule serves all of them: a `Duration` named `x` becomes seconds
named `x_s`, an enum its word without prefix, a repeated field a tuple, a message its class. What a message does not
hold keeps the class's default.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from avatar import v1
from avatar_client import events, facts

T = TypeVar("T")

CLASSES: dict[type[Message], type[Any]] = {
    getattr(v1, kind.__name__): kind
    for kind in (
        events.AudioReceived,
        events.SpeechStarted,
        events.SpeechStopped,
        events.Transcript,
        events.StateChanged,
        events.TurnStarted,
        events.ReplyText,
        events.SpokenText,
        events.ToolCalls,
        events.ToolCallsCancelled,
        events.ReplyFinished,
        events.Interrupted,
        events.TurnCompleted,
        events.SegmentStarted,
        events.SegmentFinished,
        events.SegmentCompleted,
        events.Notice,
        events.ConfigUpdated,
        events.GoAway,
        events.SessionStarted,
        events.SpeakStarted,
        events.AnimateStarted,
        facts.Limits,
        facts.TurnMetrics,
        facts.Usage,
        facts.ToolCall,
        facts.PreparationReport,
        facts.Avatar,
        facts.VoiceSettings,
        facts.Voice,
        facts.Model,
    )
} | {v1.GetServerInfoResponse: facts.ServerInfo}
"""The class of each message that is converted by rule."""

KEPT = (v1.ConverseConfig, v1.SpeakRequest, v1.AnimateConfig)
"""Messages that stay messages: what a caller may send again as it is."""

Started = v1.SessionStarted | v1.SpeakStarted | v1.AnimateStarted


def event(message: Message) -> events.Event | None:
    """The event that `message`, the payload of a response, stands for; None for one that this client does not know."""
    kind = CLASSES.get(type(message))
    converted: events.Event | None = plain(message, kind) if kind else None
    return converted


def audio(chunk: v1.AudioChunk, pcm: bytes) -> events.Audio:
    """A chunk of the voice, whose data decode to `pcm`."""
    return events.Audio(chunk.turn_id, chunk.index, seconds(chunk.offset), chunk.data, pcm, chunk.sample_count)


def frame(message: v1.Frame) -> events.Frame:
    """A frame."""
    offset_s = seconds(message.offset)
    return events.Frame(message.turn_id, message.index, offset_s, message.data, message.keyframe, message.loop_index)


def plain(message: Message, kind: type[T]) -> T:
    """`message` as an instance of `kind`."""
    readers = _readers(kind, type(message))  # type: ignore[arg-type]  # classes can be hashed
    return kind(**{name: value for name, read in readers if (value := read(message)) is not None})


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.ToNanoseconds() / 1e9


def status(message: v1.Status) -> facts.Status:
    """How something ended."""
    code: Any = enum_name(v1.Code.DESCRIPTOR, message.code)
    return facts.Status(
        code=code,
        message=message.message,
        reason=message.error_info.reason,
        field=message.field,
        retry_delay_s=seconds(message.retry_delay) if message.HasField("retry_delay") else None,
    )


def audio_encoding(number: int) -> facts.AudioEncoding:
    """The word of an `AudioEncoding`; LINEAR16, the contract's default, for an unspecified one."""
    name: Any = enum_name(v1.AudioEncoding.DESCRIPTOR, number)
    encoding: facts.AudioEncoding = "LINEAR16" if name == "UNSPECIFIED" else name
    return encoding


def media_format(started: Started) -> facts.MediaFormat:
    """How the media of a stream are encoded, as its first response says."""
    if isinstance(started, v1.AnimateStarted):
        audio_format = started.config.audio_format
    else:
        audio_format = started.config.output_audio
    frames = started.config.frame_format
    frame_encoding: Any = enum_name(v1.FrameEncoding.DESCRIPTOR, frames.encoding)
    return facts.MediaFormat(
        audio_encoding=audio_encoding(audio_format.encoding),
        frame_encoding="JPEG" if frame_encoding == "UNSPECIFIED" else frame_encoding,
        sample_rate_hz=audio_format.sample_rate_hertz or 24_000,
        frame_rate=_fraction(frames.frame_rate) or Fraction(25),
        width=started.frame_width,
        height=started.frame_height,
    )


def enum_name(enum: EnumDescriptor, number: int) -> str:
    """The word of a value without the enum's prefix; UNSPECIFIED for a value that this client does not know."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(prefix) if value else "UNSPECIFIED"


@cache
def _readers(kind: Any, message: Any) -> tuple[tuple[str, Callable[[Message], Any]], ...]:
    """For each field of `kind`: how its value is read from a message of that type, None standing for the default."""
    return tuple((field.name, _reader(field, message)) for field in dataclasses.fields(kind))


def _reader(field: "dataclasses.Field[Any]", message_type: type[Message]) -> Callable[[Message], Any]:
    """How the value of `field` is read."""
    if field.name == "media":
        read: Callable[[Any], facts.MediaFormat] = media_format
        return read
    by_name = message_type.DESCRIPTOR.fields_by_name
    source = by_name.get(field.name) or by_name[field.name.removesuffix("_s")]
    if source.is_repeated:
        return lambda message: tuple(_value(source, item) for item in getattr(message, source.name))
    if source.has_presence and field.default is not dataclasses.MISSING:
        return lambda message: _value(source, getattr(message, source.name)) if message.HasField(source.name) else None
    return lambda message: _value(source, getattr(message, source.name))


def _value(field: FieldDescriptor, value: Any) -> Any:
    """One value of a field."""
    if field.enum_type:
        return enum_name(field.enum_type, value)
    match value:
        case Duration():
            return seconds(value)
        case Timestamp():
            return value.ToDatetime(tzinfo=UTC)
        case v1.FrameRate():
            return _fraction(value)
        case v1.Status():
            return status(value)
        case Message() if not isinstance(value, KEPT):
            return plain(value, CLASSES[type(value)])
    return value


def _fraction(rate: v1.FrameRate) -> Fraction:
    return Fraction(rate.numerator, rate.denominator or 1)
