"""What a turn needs from outside, as Protocols small enough to fake in a page.

Every method that waits raises EngineError alone (and CancelledError); deadlines are the adapter's.
Async iterators are consumed under `aclosing`; closing one early stops the work behind it.
"""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from avatar_service.media.types import SpokenCharacter, ToolCall, Utterance


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation, as the chat model sees it.

    `tool_calls` are what an assistant asked for; a message of the role `tool` answers the call `tool_call_id`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How speech is understood; empty fields leave it to the engine."""

    model: str
    language: str = ""
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function of the client's that the chat model may ask for; `parameters_json` is a JSON Schema, or empty."""

    name: str
    description: str
    parameters_json: str = ""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How the chat model answers."""

    model: str
    max_tokens: int
    temperature: float
    tools: tuple[Tool, ...] = ()
    end_user_id: str = ""
    """Whom the reply is for, a pseudonym that the vendor may trace abuse by; may be empty."""


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of the reply, or its end: the last one carries `finish_reason`, and usage where the vendor tells it.

    `tool_calls` are whole and come once, no later than the finish reason.
    """

    text: str = ""
    finish_reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks, and how; ranges are ElevenLabs' own."""

    voice_id: str
    model: str
    stability: float = 0.5
    similarity_boost: float = 0.75
    style: float = 0.0
    use_speaker_boost: bool = True
    speed: float = 1.0
    language: str = ""


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A voice that can be asked for. Fields for people are empty where the engine does not tell them.

    `settings` are what the voice has by default: a Voice of this id, with an empty model. `language_codes` are BCP-47.
    """

    voice_id: str
    settings: Voice
    display_name: str = ""
    language_codes: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """A few consecutive frames of one session, with the sound that moves their lips.

    `span` is int16 [samples] of 16 kHz mono: left context, the frames' own sound, look-ahead. `span_start` is its
    first sample's position in the turn (negative before it began: those samples are zeros). Per frame: its index
    in the avatar's loop, the sample of `span` at which it begins, and how much of the rendered mouth to show (0..1).
    """

    avatar: str
    span: NDArray[np.int16]
    span_start: int
    frame_indices: tuple[int, ...]
    frame_starts: tuple[int, ...]
    mouth_weights: tuple[float, ...]
    mel_max: float


@dataclass(frozen=True, slots=True)
class RenderedSpan:
    """The frames of a RenderRequest as JPEG, and the running maximum to send with the turn's next one."""

    images: tuple[bytes, ...]
    mel_max: float


@dataclass(frozen=True, slots=True)
class SpeechPiece:
    """A piece of voice, mono 16-bit PCM in whole samples, and the characters whose times came with it.

    Characters come in the order of the text, each once; none at all from an engine without alignment.
    """

    pcm: bytes
    characters: tuple[SpokenCharacter, ...] = ()


Box = tuple[int, int, int, int]
"""Where a face is: x1, y1, x2, y2 in pixels of its picture, x2 and y2 exclusive."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a picture, and how sure the finder is of it, above 0 to 1."""

    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that avatars are prepared with: their tier, and the SHA-256 of the autoencoder."""

    tier: str
    vae_sha256: str


@dataclass(frozen=True, slots=True)
class EncodedFaces:
    """Faces as the model takes them: latents [n, 8, 32, 32], and a mask each as PNG, 8-bit grey of the box's size."""

    latents: NDArray[np.float32]
    masks: tuple[bytes, ...]
    weights: Weights


class VoiceActivityDetector(Protocol):
    """Judges one session's audio, 32 ms at a time; holds that session's state."""

    def probability(self, window: NDArray[np.int16], /) -> Awaitable[float]:
        """How likely `window` (int16 [512], 16 kHz) holds speech, 0 to 1; awaited before the next one is given."""

    def reset(self) -> None:
        """Forget what was heard so far."""


class VoiceActivityEngine(Protocol):
    """Makes detectors; one model, many sessions."""

    def detector(self) -> VoiceActivityDetector:
        """A detector with fresh state."""


class Transcriber(Protocol):
    """Speech to text."""

    async def transcribe(self, utterance: Utterance, options: TranscriptionOptions) -> str:
        """What was said; empty if nothing was."""


class EndOfTurn(Protocol):
    """Judges from words alone whether somebody has finished speaking."""

    def finished(self, text: str, language: str, /) -> bool:
        """Whether `text`, a transcript so far, may be all. `language` is a BCP-47 code, empty if not told; in one that
        it does not know everything may be all."""


class WordsDoNotMatter:
    """An EndOfTurn to which every pause may be the end."""

    def finished(self, text: str, language: str, /) -> bool:
        """Always."""
        del text, language
        return True


class ChatModel(Protocol):
    """Writes the reply."""

    def complete(self, messages: Sequence[Message], options: ChatOptions) -> AsyncGenerator[ChatDelta, None]:
        """Stream the reply to the last user message."""


class SpeechContext(Protocol):
    """One turn's voice: sentences that are said one after the other, in one intonation."""

    def say(self, text: str, previous_text: str) -> AsyncGenerator[SpeechPiece, None]:
        """Stream the voice of `text`; `previous_text` is what was said before it."""


class SpeechSynthesizer(Protocol):
    """Text to speech."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of everything it says, whatever its vendor sends."""

    def speaking(self, voice: Voice) -> AbstractAsyncContextManager[SpeechContext]:
        """A turn's voice, to be left when the turn is over; entering it asks for nothing and does not fail."""

    async def voices(self) -> Sequence[VoiceInfo]:
        """The voices it has, in a fixed order; may be as old as a few minutes."""


class LipSync(Protocol):
    """Moves an avatar's lips."""

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """Render the frames of one request."""


class FacePreparer(Protocol):
    """Prepares pictures of a face for rendering, at most IMAGES_A_CALL a call; a few calls may run at once."""

    async def ready(self) -> bool:
        """Whether it is served."""

    async def weights(self) -> Weights:
        """The weights in use."""

    async def find(self, images: Sequence[bytes]) -> Sequence[FoundFace | None]:
        """The face in each JPEG; None where there is none."""

    async def encode(self, images: Sequence[bytes], boxes: Sequence[Box]) -> EncodedFaces:
        """The face within each JPEG's box, as the model takes it."""


class Connections(Protocol):
    """The connections to the engines' servers."""

    def warm(self) -> None:
        """A turn is near: have connections opened. Returns at once and never fails."""


IMAGES_A_CALL = 8
"""Most pictures of one call of a FacePreparer, as model_repository/README.md has it."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of this process, shared by all sessions."""

    voice_activity: VoiceActivityEngine
    transcriber: Transcriber
    chat: ChatModel
    speech: SpeechSynthesizer
    lip_sync: LipSync
    faces: FacePreparer | None = None
    """None where no avatars are made."""
    connections: Connections | None = None
    """None where none need to be opened."""
    end_of_turn: EndOfTurn = field(default_factory=WordsDoNotMatter)
    attempts: int = 3
    """How often the voice of a sentence is asked for, where it breaks off."""

    def warm(self) -> None:
        """A turn is near: have connections opened that it will need."""
        if self.connections:
            self.connections.warm()
