"""What flows between the stages: immutable, with its rate or its position beside it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of user speech, from a little before its start to a little after its end.

    `pcm` is mono signed 16-bit little-endian at `rate_hz`. The voice in it lies from `start_s` to `end_s` of all the
    received user audio.
    """

    utterance_id: int
    pcm: bytes
    rate_hz: int
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Length of the audio, the silence around the voice included."""
        return len(self.pcm) / (2 * self.rate_hz)


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """The voice of one frame's time, mono signed 16-bit little-endian PCM; `index` counts from the turn's start."""

    index: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the avatar, shown from index/fps of the turn on; `loop_index` is its picture in the avatar's loop.

    A JPEG, until it is encoded for the wire. `keyframe` if it can be decoded without those before it.
    """

    index: int
    image: bytes
    loop_index: int
    keyframe: bool = True


@dataclass(frozen=True, slots=True)
class SpokenCharacter:
    """A character of a text and when it is heard, in seconds from the first sample of that text's voice."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The chat model asks for a function of the client's; the arguments are JSON as the model wrote it."""

    tool_call_id: str
    name: str
    arguments_json: str


Packet = SpeechChunk | Frame
