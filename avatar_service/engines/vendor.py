"""Who an engine asks: the vendor's names in logs and in advice, and the settings that choose what is asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from avatar_service.errors import Fault


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor, or a server in its place, as one engine is configured for it.

    `engine` is its name in logs and metrics; `key`, `base_url` and the `choices` of each stage are names of settings.
    """

    engine: str
    name: str
    key: str
    base_url: str
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, address: str) -> Self:
        """The same where `address` is the configured one; empty means the vendor's own."""
        return replace(self, name=f"The server at {self.base_url}") if address else self

    def advice(self, stage: str, fault: Fault) -> str:
        """A sentence about the way out of a refusal that any client may read; empty if there is none."""
        match fault:
            case Fault.AUTHENTICATION:
                return f"{self.name} does not take the key in {self.key}."
            case Fault.PERMISSION:
                return f"{self.name} does not allow this to the key in {self.key}: look at its rights and its plan."
            case Fault.QUOTA:
                return f"{self.name} says that the quota of the key in {self.key} is used up."
            case Fault.NOT_FOUND:
                return f"{self.name} does not have what was asked for: look at {self._chosen(stage)}."
            case Fault.BAD_REQUEST:
                return f"{self.name} refuses what was asked for: look at {self._chosen(stage)}."
            case Fault.FILTERED:
                return f"{self.name} does not answer this: its rules of content forbid it."
        return ""

    def _chosen(self, stage: str) -> str:
        """What may be wrong with a request of `stage`."""
        settings = " and ".join((*self.choices.get(stage, ()), self.base_url))
        return f"what the session asks for, and {settings}"


OPENAI = Vendor(
    engine="openai",
    name="OpenAI",
    key="OPENAI_API_KEY",
    base_url="OPENAI_BASE_URL",
    choices={"transcribe": ("OPENAI_TRANSCRIPTION_MODEL",), "think": ("OPENAI_CHAT_MODEL",)},
)
ELEVENLABS = Vendor(
    engine="elevenlabs",
    name="ElevenLabs",
    key="ELEVENLABS_API_KEY",
    base_url="ELEVENLABS_BASE_URL",
    choices={"speak": ("ELEVENLABS_VOICE_ID", "ELEVENLABS_MODEL")},
)
SECOND_OPENAI = Vendor(
    engine="openai-2",
    name="The second OpenAI",
    key="AVATAR_SECOND_OPENAI_API_KEY",
    base_url="AVATAR_SECOND_OPENAI_BASE_URL",
    choices={
        "transcribe": ("AVATAR_SECOND_OPENAI_TRANSCRIPTION_MODEL",),
        "think": ("AVATAR_SECOND_OPENAI_CHAT_MODEL",),
    },
)
SECOND_ELEVENLABS = Vendor(
    engine="elevenlabs-2",
    name="The second ElevenLabs",
    key="AVATAR_SECOND_ELEVENLABS_API_KEY",
    base_url="AVATAR_SECOND_ELEVENLABS_BASE_URL",
    choices={"speak": ("AVATAR_SECOND_ELEVENLABS_VOICE_ID", "AVATAR_SECOND_ELEVENLABS_MODEL")},
)
