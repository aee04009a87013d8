"""What flows between the stages: immutable, with its rate or its position beside it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of user speech, from a little before its start to a little after its end.

    `pcm` is mono signed 16-bit little-endian at `rate_hz`; offsets are seconds in the received user audio.
    """

    utterance_id: int
    pcm: bytes
    rate_hz: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """The voice of one frame's time, mono signed 16-bit little-endian PCM; `index` counts from the turn's start."""

    index: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One JPEG of the avatar, shown from index/fps of the turn on; `loop_index` is its picture in the avatar's loop."""

    index: int
    image: bytes
    loop_index: int


Packet = SpeechChunk | Frame
