"""What `Converse`, `Speak` and `Animate` are asked for in common: avatar, formats, pacing, voice, labels.

Every function takes the path of the field that it reads, for its errors: `config.pacing` in one call, `pacing` in
another.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avatar.v1 import AudioEncoding as WireEncoding
from avatar.v1 import AudioFormat, PacingConfig, VoiceConfig
from avatar.v1 import FrameEncoding as WireFrameEncoding
from avatar.v1 import FrameFormat as WireFrameFormat
from avatar_service.avatars.catalogue import Avatar
from avatar_service.engines.base import Voice
from avatar_service.errors import InvalidArgument, Unimplemented
from avatar_service.media.frame_codec import (
    FRAME_BYTES,
    H264_BITS_PER_SECOND,
    H264_KEYFRAME_INTERVAL_S,
    FrameEncoding,
    FrameFormat,
)
from avatar_service.media.wire_audio import (
    MULAW_RATE_HZ,
    OPUS_BITS_PER_SECOND,
    OPUS_ENCODED_RATES_HZ,
    OPUS_RATE_HZ,
    AudioEncoding,
)
from avatar_service.rpc.chat_from_proto import MODEL_CHARACTERS
from avatar_service.rpc.checks import at_most, given, given_s, in_range, language, not_served
from avatar_service.settings import ElevenLabsSettings

DEFAULT_LEAD_S = 1.0
JPEG_QUALITY = 80
OPUS_FRAME_RATES = (25, 50)
"""Frame rates at which a frame lasts whole packets of 20 ms."""
END_USER_ID_CHARACTERS = 128
LABELS, LABEL_NAME_CHARACTERS, LABEL_CHARACTERS = 16, 64, 256
_VOICE = re.compile(r"(voices/)?[A-Za-z0-9_-]{1,64}")
ENCODINGS: Mapping[AudioEncoding, "WireEncoding.ValueType"] = {
    AudioEncoding.LINEAR16: WireEncoding.AUDIO_ENCODING_LINEAR16,
    AudioEncoding.MULAW: WireEncoding.AUDIO_ENCODING_MULAW,
    AudioEncoding.OPUS: WireEncoding.AUDIO_ENCODING_OPUS,
}
"""Encodings by their names in the contract."""
FRAME_ENCODINGS: Mapping[FrameEncoding, "WireFrameEncoding.ValueType"] = {
    FrameEncoding.JPEG: WireFrameEncoding.FRAME_ENCODING_JPEG,
    FrameEncoding.RAW: WireFrameEncoding.FRAME_ENCODING_RAW,
    FrameEncoding.H264: WireFrameEncoding.FRAME_ENCODING_H264,
}
_ENCODED_WITH = {
    "jpeg_quality": FrameEncoding.JPEG,
    "bits_per_second": FrameEncoding.H264,
    "keyframe_interval": FrameEncoding.H264,
}
"""Fields that one encoding alone has a use for."""
_FIXED_RATES_HZ = {AudioEncoding.MULAW: MULAW_RATE_HZ, AudioEncoding.OPUS: OPUS_RATE_HZ}


@dataclass(frozen=True, slots=True)
class WireAudio:
    """How audio goes over the wire; `bits_per_second` is 0 where the encoding leaves no choice."""

    encoding: AudioEncoding
    rate_hz: int
    bits_per_second: int = 0

    def voice_rate_hz(self, made_hz: int) -> int:
        """The rate at which a voice that is made at `made_hz` is given to the encoder."""
        if self.encoding is not AudioEncoding.OPUS:
            return self.rate_hz
        return made_hz if made_hz in OPUS_ENCODED_RATES_HZ else OPUS_RATE_HZ


def wire_audio(
    asked: AudioFormat, path: str, default_hz: int, served: Sequence[AudioEncoding] = tuple(AudioEncoding)
) -> WireAudio:
    """The audio format that is asked for. Raises ClientError if it is none, or none of those served."""
    wanted = asked.encoding or WireEncoding.AUDIO_ENCODING_LINEAR16
    encoding = next((known for known in served if ENCODINGS[known] == wanted), None)
    if encoding is None:
        raise not_served(f"{path}.encoding", ", ".join(known.name for known in served))
    fixed_hz = _FIXED_RATES_HZ.get(encoding)
    rate_hz = asked.sample_rate_hertz or fixed_hz or default_hz
    if fixed_hz and rate_hz != fixed_hz:
        raise InvalidArgument(f"{path}.sample_rate_hertz", f"is {rate_hz} Hz; {encoding.name} has {fixed_hz} Hz")
    in_range(f"{path}.sample_rate_hertz", rate_hz, 8_000, 48_000, "Hz")
    if asked.bits_per_second:
        raise InvalidArgument(f"{path}.bits_per_second", "is for OPUS output alone; leave it out")
    return WireAudio(encoding, rate_hz)


def output_audio(asked: AudioFormat, path: str, voice_hz: int, avatar: Avatar) -> WireAudio:
    """The format of the avatar's voice; the default rate is that of the voice itself. Raises ClientError."""
    opus = asked.encoding == WireEncoding.AUDIO_ENCODING_OPUS
    plain = AudioFormat(encoding=asked.encoding, sample_rate_hertz=asked.sample_rate_hertz)
    wire = wire_audio(plain if opus else asked, path, voice_hz)
    if not opus:
        return wire
    if avatar.fps not in OPUS_FRAME_RATES:
        raise not_served(f"{path}.encoding", f"OPUS with avatars of 25 or 50 fps; this one has {avatar.fps}")
    bits_per_second = asked.bits_per_second or OPUS_BITS_PER_SECOND
    in_range(f"{path}.bits_per_second", bits_per_second, 6_000, 128_000)
    return WireAudio(wire.encoding, wire.rate_hz, bits_per_second)


def frames_wanted(asked: WireFrameFormat, path: str, avatar: Avatar) -> FrameFormat:
    """How frames are encoded; their size and rate are the avatar's own. Raises ClientError for anything else."""
    _check_picture(asked, path, avatar)
    wanted = asked.encoding or WireFrameEncoding.FRAME_ENCODING_JPEG
    encoding = next((known for known, name in FRAME_ENCODINGS.items() if name == wanted), None)
    if encoding is None:
        raise not_served(f"{path}.encoding", ", ".join(known.name for known in FRAME_ENCODINGS))
    raw_bytes = avatar.width * avatar.height * 3
    if encoding is FrameEncoding.RAW and raw_bytes > FRAME_BYTES:
        size = f"RAW frames of {avatar.width} x {avatar.height} pixels have {raw_bytes:,} bytes"
        raise Unimplemented(f"{path}.encoding", f"{size}, above {FRAME_BYTES:,}; ask for JPEG or H264")
    for field, _ in asked.ListFields():
        user = _ENCODED_WITH.get(field.name, encoding)
        if user is not encoding:
            raise InvalidArgument(f"{path}.{field.name}", f"is for {user.name} alone; leave it out")
    bits_per_second = asked.bits_per_second or H264_BITS_PER_SECOND
    in_range(f"{path}.bits_per_second", bits_per_second, 100_000, 20_000_000)
    interval_s = given_s(asked, "keyframe_interval", path, H264_KEYFRAME_INTERVAL_S, 0.2, 10.0)
    return FrameFormat(encoding, bits_per_second, interval_s)


def _check_picture(asked: WireFrameFormat, path: str, avatar: Avatar) -> None:
    if asked.jpeg_quality not in (0, JPEG_QUALITY):
        raise not_served(f"{path}.jpeg_quality", f"{JPEG_QUALITY}")
    if asked.HasField("frame_rate"):
        denominator = asked.frame_rate.denominator or 1
        if denominator < 0 or asked.frame_rate.numerator != avatar.fps * denominator:
            raise not_served(f"{path}.frame_rate", f"{avatar.fps}, the avatar's own")
    if (asked.width, asked.height) not in ((0, 0), (avatar.width, avatar.height)):
        raise not_served(f"{path}.width", f"{avatar.width} by {avatar.height}, the avatar's own size")


def lead_s(asked: PacingConfig, path: str) -> float:
    """How far media may be ahead of play-out. Raises InvalidArgument if it is out of range."""
    return given_s(asked, "lead", path, DEFAULT_LEAD_S, 0.2, 5.0)


def voice_from(asked: VoiceConfig, path: str, defaults: ElevenLabsSettings) -> Voice:
    """The voice that is asked for, completed with the server's. Raises InvalidArgument."""
    settings, settings_path = asked.settings, f"{path}.settings"
    if asked.voice and not _VOICE.fullmatch(asked.voice):
        raise InvalidArgument(f"{path}.voice", "is no name of a voice; give `voices/{id}` as ListVoices does")
    at_most(f"{path}.model", asked.model, MODEL_CHARACTERS)
    return Voice(
        voice_id=asked.voice.removeprefix("voices/") or defaults.voice_id,
        model=asked.model or defaults.model,
        stability=given(settings, "stability", settings_path, defaults.stability, 0.0, 1.0),
        similarity_boost=given(settings, "similarity_boost", settings_path, defaults.similarity_boost, 0.0, 1.0),
        style=given(settings, "style", settings_path, defaults.style, 0.0, 1.0),
        use_speaker_boost=(
            settings.use_speaker_boost if settings.HasField("use_speaker_boost") else defaults.use_speaker_boost
        ),
        speed=given(settings, "speed", settings_path, defaults.speed, 0.7, 1.2),
        language=language(f"{path}.language", asked.language),
    )


def check_labels(end_user_id: str, metadata: Mapping[str, str], prefix: str) -> None:
    """Raise InvalidArgument if the caller's own labels are too many or too long; `prefix` is empty or ends in a dot."""
    at_most(f"{prefix}end_user_id", end_user_id, END_USER_ID_CHARACTERS)
    if len(metadata) > LABELS:
        raise InvalidArgument(f"{prefix}metadata", f"has {len(metadata)} entries; give at most {LABELS}")
    for name, value in metadata.items():
        if len(name) > LABEL_NAME_CHARACTERS:
            raise InvalidArgument(
                f"{prefix}metadata", f"has a name of {len(name)} characters; give at most {LABEL_NAME_CHARACTERS}"
            )
        at_most(f"{prefix}metadata[{name}]", value, LABEL_CHARACTERS)
