"""What this server offers, as `GetServerInfo` tells it: only what is served."""

from collections.abc import Iterator
from importlib.metadata import version

from avatar.v1 import GetServerInfoResponse, Model, Stage
from avatar_service.access.identity import caller
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.maker import DEMONSTRATION_TIER
from avatar_service.rpc.effective import conversation_limits, frame_rate
from avatar_service.rpc.media_from_proto import ENCODINGS, FRAME_ENCODINGS
from avatar_service.settings import ElevenLabsSettings, OpenAISettings, Settings

SANDBOX = "sandbox"
"""Name of the stand-in vendors, and the key that they take unless told otherwise: by it they are known."""


FEATURES = (
    "config-update",
    "echo-suppression",
    "idle-frames",
    "interim-transcripts",
    "manual-turns",
    "resume",
    "spoken-disclosure",
    "tools",
)
"""The contract's words for its optional parts that every server of this version has."""
CREATE_AVATAR = "create-avatar"
"""The contract's word for a server on which avatars can be made."""


def server_info(settings: Settings, catalogue: Catalogue, *, makes_avatars: bool = False) -> GetServerInfoResponse:
    """Formats, limits, models and defaults."""
    avatars = catalogue.ready(caller().tenant)
    return GetServerInfoResponse(
        version=version("avatar-service"),
        api_version="avatar.v1",
        input_audio_encodings=ENCODINGS.values(),
        output_audio_encodings=ENCODINGS.values(),
        frame_encodings=FRAME_ENCODINGS.values(),
        frame_rates=[frame_rate(fps) for fps in dict.fromkeys(avatar.fps for avatar in avatars)],
        limits=conversation_limits(settings),
        models=_models(settings, [avatar.tier for avatar in avatars]),
        default_avatar=avatars[0].name,
        features=sorted((*FEATURES, CREATE_AVATAR) if makes_avatars else FEATURES),
        default_voice=f"voices/{settings.elevenlabs.voice_id}",
    )


def vendor_of(settings: OpenAISettings | ElevenLabsSettings) -> str:
    """Who runs the models: the vendor itself, the sandbox, or someone else who speaks the vendor's protocol."""
    name = "openai" if isinstance(settings, OpenAISettings) else "elevenlabs"
    if not settings.base_url:
        return name
    return SANDBOX if settings.api_key.get_secret_value() == SANDBOX else f"{name}-compatible"


def _models(settings: Settings, tiers: list[str]) -> Iterator[Model]:
    openai, elevenlabs = vendor_of(settings.openai), vendor_of(settings.elevenlabs)
    yield Model(stage=Stage.STAGE_LISTEN, name="silero-vad", vendor="avatar-service")
    for stage, name, vendor in (
        (Stage.STAGE_TRANSCRIBE, settings.openai.transcription_model, openai),
        (Stage.STAGE_THINK, settings.openai.chat_model, openai),
        (Stage.STAGE_SPEAK, settings.elevenlabs.model, elevenlabs),
    ):
        yield Model(stage=stage, name=name, vendor=vendor, demonstration=vendor == SANDBOX)
    for tier in dict.fromkeys(tiers):
        yield Model(stage=Stage.STAGE_ANIMATE, name=tier, vendor="triton", demonstration=tier == DEMONSTRATION_TIER)
