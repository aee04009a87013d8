"""The vendors of transcription, chat and speech."""

from typing import Literal

from pydantic import Field, SecretStr

from avatar_service.settings.section import Section, named
from avatar_service.settings.types import Key, Name, Seconds, SeedOrEmpty, Url


class OpenAISettings(Section):
    """Speech to text and chat, at OpenAI or anything that speaks its protocol."""

    api_key: Key = Field(SecretStr(""), validation_alias=named("AVATAR_OPENAI_API_KEY", "OPENAI_API_KEY"))
    """Key of the account; needed unless a base URL is set."""
    base_url: Url = Field("", validation_alias=named("AVATAR_OPENAI_BASE_URL", "OPENAI_BASE_URL"))
    """Where the API is; empty means OpenAI itself."""
    chat_model: Name = Field("gpt-4o-mini", validation_alias=named("AVATAR_OPENAI_CHAT_MODEL", "OPENAI_CHAT_MODEL"))
    """Chat model; OpenAI retires gpt-4o-mini on 2027-01-14."""
    transcription_model: Name = Field(
        "whisper-1", validation_alias=named("AVATAR_OPENAI_TRANSCRIPTION_MODEL", "OPENAI_TRANSCRIPTION_MODEL")
    )
    """Transcription model; OpenAI retires whisper-1 on 2027-02-26."""
    max_tokens: int = Field(150, ge=1, le=4096, validation_alias=named("AVATAR_OPENAI_MAX_TOKENS"))
    """Longest reply, in tokens."""
    temperature: float = Field(0.7, ge=0, le=2, validation_alias=named("AVATAR_OPENAI_TEMPERATURE"))
    """How freely the model chooses its words."""
    timeout_s: Seconds = Field(30.0, validation_alias=named("AVATAR_OPENAI_TIMEOUT", "OPENAI_TIMEOUT"))
    """Longest single wait on the vendor's connection, in seconds; the limits below are usually shorter."""


class ElevenLabsSettings(Section):
    """Text to speech, at ElevenLabs or anything that speaks its protocol."""

    api_key: Key = Field(SecretStr(""), validation_alias=named("AVATAR_ELEVENLABS_API_KEY", "ELEVENLABS_API_KEY"))
    """Key of the account; needed unless a base URL is set."""
    base_url: Url = Field("", validation_alias=named("AVATAR_ELEVENLABS_BASE_URL", "ELEVENLABS_BASE_URL"))
    """Where the API is; empty means ElevenLabs itself."""
    voice_id: Name = Field(
        "21m00Tcm4TlvDq8ikWAM", validation_alias=named("AVATAR_ELEVENLABS_VOICE_ID", "ELEVENLABS_VOICE_ID")
    )
    """Voice of a session that names none; the default is Rachel."""
    model: Name = Field("eleven_multilingual_v2", validation_alias=named("AVATAR_ELEVENLABS_MODEL", "ELEVENLABS_MODEL"))
    """Speech model."""
    stability: float = Field(0.5, ge=0, le=1, validation_alias=named("AVATAR_ELEVENLABS_STABILITY"))
    """How even a voice is; lower is livelier."""
    similarity_boost: float = Field(0.75, ge=0, le=1, validation_alias=named("AVATAR_ELEVENLABS_SIMILARITY_BOOST"))
    """How close a voice stays to the recordings that it was made from."""
    style: float = Field(0.0, ge=0, le=1, validation_alias=named("AVATAR_ELEVENLABS_STYLE"))
    """How far the manner of those recordings is overdone; above 0 it costs time."""
    use_speaker_boost: bool = Field(True, validation_alias=named("AVATAR_ELEVENLABS_USE_SPEAKER_BOOST"))
    """Whether the likeness to the speaker is raised further; it costs some time."""
    speed: float = Field(1.0, ge=0.7, le=1.2, validation_alias=named("AVATAR_ELEVENLABS_SPEED"))
    """Pace of a voice; 1 is its own."""
    seed: SeedOrEmpty = Field(None, validation_alias=named("AVATAR_ELEVENLABS_SEED"))
    """Number by which the vendor says the same text in the same way, as well as it can."""
    output_format: str = Field(
        "pcm_24000",
        pattern=r"^(pcm_(8000|16000|22050|24000|32000|44100|48000)|[ua]law_8000"
        r"|mp3_(22050_32|24000_48|44100_(32|64|96|128|192))|opus_48000_(32|64|96|128|192))$",
        validation_alias=named("AVATAR_ELEVENLABS_OUTPUT_FORMAT", "ELEVENLABS_OUTPUT_FORMAT"),
    )
    """Format of the voice as the vendor sends it; the service decodes it, so clients need not know."""
    transport: Literal["http", "websocket"] = Field("http", validation_alias=named("AVATAR_ELEVENLABS_TRANSPORT"))
    """Whether each sentence is a request of its own, or a turn's sentences follow each other on a WebSocket."""
    timeout_s: Seconds = Field(30.0, validation_alias=named("AVATAR_ELEVENLABS_TIMEOUT", "ELEVENLABS_TIMEOUT"))
    """Longest single wait on the vendor's connection, in seconds; the limits below are usually shorter."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of the voice, as the output format's name tells it."""
        return int(self.output_format.split("_")[1])

    @property
    def codec(self) -> str:
        """One of "pcm", "ulaw", "alaw", "mp3" or "opus"."""
        return self.output_format.split("_")[0]

    @property
    def bytes_per_s(self) -> int:
        """How many bytes the vendor sends for a second of voice."""
        if self.codec in ("mp3", "opus"):
            return int(self.output_format.split("_")[2]) * 1000 // 8
        return self.rate_hz * (2 if self.codec == "pcm" else 1)
