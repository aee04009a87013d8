"""The second engines: who is asked where the vendors of transcription, chat and speech have failed."""

from pydantic import Field, SecretStr

from avatar_service.settings.section import Section, named
from avatar_service.settings.types import Key, NameOrEmpty, Url
from avatar_service.settings.vendors import ElevenLabsSettings, OpenAISettings


class SecondOpenAISettings(Section):
    """Where transcription and chat go when the first engine has failed; what is not here is as for the first."""

    api_key: Key = Field(SecretStr(""), validation_alias=named("AVATAR_SECOND_OPENAI_API_KEY"))
    """Key of the account; a second engine is there if a key or a base URL is set."""
    base_url: Url = Field("", validation_alias=named("AVATAR_SECOND_OPENAI_BASE_URL"))
    """Where the API is; empty means OpenAI itself."""
    chat_model: NameOrEmpty = Field("", validation_alias=named("AVATAR_SECOND_OPENAI_CHAT_MODEL"))
    """Chat model; empty takes the one that the first was asked for."""
    transcription_model: NameOrEmpty = Field("", validation_alias=named("AVATAR_SECOND_OPENAI_TRANSCRIPTION_MODEL"))
    """Transcription model; empty takes the one that the first was asked for."""

    @property
    def wanted(self) -> bool:
        """Whether there is a second engine."""
        return bool(self.base_url or self.api_key.get_secret_value())

    def instead_of(self, first: OpenAISettings) -> OpenAISettings:
        """The first engine's settings with this account."""
        return first.model_copy(update={"api_key": self.api_key, "base_url": self.base_url})


class SecondElevenLabsSettings(Section):
    """Where speech comes from when the first engine has failed; what is not here is as for the first."""

    api_key: Key = Field(SecretStr(""), validation_alias=named("AVATAR_SECOND_ELEVENLABS_API_KEY"))
    """Key of the account; a second engine is there if a key or a base URL is set."""
    base_url: Url = Field("", validation_alias=named("AVATAR_SECOND_ELEVENLABS_BASE_URL"))
    """Where the API is; empty means ElevenLabs itself."""
    voice_id: NameOrEmpty = Field("", validation_alias=named("AVATAR_SECOND_ELEVENLABS_VOICE_ID"))
    """Voice; empty takes the one that the first was asked for."""
    model: NameOrEmpty = Field("", validation_alias=named("AVATAR_SECOND_ELEVENLABS_MODEL"))
    """Speech model; empty takes the one that the first was asked for."""

    @property
    def wanted(self) -> bool:
        """Whether there is a second engine."""
        return bool(self.base_url or self.api_key.get_secret_value())

    def instead_of(self, first: ElevenLabsSettings) -> ElevenLabsSettings:
        """The first engine's settings with this account; the format is the first's, so that the rates are the same."""
        return first.model_copy(update={"api_key": self.api_key, "base_url": self.base_url})
