"""The configuration of a conversation, completed with what this server has."""

from dataclasses import dataclass

from avatar.v1 import ConverseConfig
from avatar_service.access.identity import caller
from avatar_service.avatars.catalogue import Avatar, Catalogue
from avatar_service.engines.base import TranscriptionOptions
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.chat_from_proto import MODEL_CHARACTERS, chat_from, history_from, system_prompt_from
from avatar_service.rpc.checks import at_most, given_s, language, not_served
from avatar_service.rpc.media_from_proto import (
    WireAudio,
    check_labels,
    frames_wanted,
    lead_s,
    output_audio,
    voice_from,
    wire_audio,
)
from avatar_service.rpc.tools_from_proto import tool_timeout_s
from avatar_service.rpc.turn_taking_from_proto import endpointing_from, turn_taking_from
from avatar_service.session.config import SessionConfig
from avatar_service.settings import Settings
from avatar_service.stages.spans import SpanPolicy
from avatar_service.turn.turn import MediaSettings, TurnSettings

DEFAULT_INPUT_RATE_HZ = 16_000
DEFAULT_IDLE_TIMEOUT_S = 300.0
TRANSCRIPTION_PROMPT_CHARACTERS = 1_000
DISCLOSURE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a `Converse` stream was asked for: its session, and how audio goes over the wire."""

    session: SessionConfig
    input_audio: WireAudio
    output_audio: WireAudio


@dataclass(frozen=True, slots=True)
class ConfigParser:
    """Knows the server's defaults; `voice_hz` is the rate at which speech is made."""

    settings: Settings
    catalogue: Catalogue
    voice_hz: int

    def parse(self, config: ConverseConfig, root: str = "config", avatar: Avatar | None = None) -> Conversation:
        """The effective configuration; with `avatar` that one, which the catalogue may have lost meanwhile.

        Raises ClientError for a field that is wrong or not served, by its path from `root`.
        """
        _refuse_unserved(config, root)
        check_labels(config.end_user_id, config.metadata, f"{root}.")
        avatar = avatar or self.catalogue.get(config.avatar, f"{root}.avatar", caller().tenant)
        heard = wire_audio(config.input_audio, f"{root}.input_audio", DEFAULT_INPUT_RATE_HZ)
        voice = output_audio(config.output_audio, f"{root}.output_audio", self.voice_hz, avatar)
        session = SessionConfig(
            avatar=avatar,
            turn=self._turn_settings(config, root, self._media(config, root, avatar, voice)),
            input_rate_hz=heard.rate_hz,
            endpointing=endpointing_from(config, root, self.settings.limits.utterance_s),
            turn_taking=turn_taking_from(config, root),
            history=tuple(history_from(config, root, self.settings.limits.text_characters)),
            first_message=self._opening(config, root),
            idle_frames=config.idle_frames and not config.audio_only,
            idle_timeout_s=given_s(config, "idle_timeout", root, DEFAULT_IDLE_TIMEOUT_S, 10.0, 3_600.0),
            tool_timeout_s=tool_timeout_s(config.tools, f"{root}.tools"),
        )
        return Conversation(session, heard, voice)

    def _media(self, config: ConverseConfig, root: str, avatar: Avatar, voice: WireAudio) -> MediaSettings:
        if config.pacing.unpaced:
            raise InvalidArgument(
                f"{root}.pacing.unpaced", "a conversation is held in real time; leave it out, or call Speak or Animate"
            )
        return MediaSettings(
            avatar_key=avatar.key,
            loop_length=avatar.loop_length,
            fps=avatar.fps,
            rate_hz=voice.voice_rate_hz(self.voice_hz),
            lead_s=lead_s(config.pacing, f"{root}.pacing"),
            audio_only=config.audio_only,
            codec_delay_s=voice.encoding.delay_s,
            spans=SpanPolicy.chosen(self.settings.lip_sync),
            frames=frames_wanted(config.frame_format, f"{root}.frame_format", avatar),
        )

    def _turn_settings(self, config: ConverseConfig, root: str, media: MediaSettings) -> TurnSettings:
        return TurnSettings(
            system_prompt=system_prompt_from(config, root),
            chat=chat_from(config, root, self.settings.openai),
            voice=voice_from(config.voice, f"{root}.voice", self.settings.elevenlabs),
            transcription=self._transcription(config, f"{root}.transcription"),
            media=media,
            apology=self.settings.sessions.apology,
        )

    def _transcription(self, config: ConverseConfig, path: str) -> TranscriptionOptions:
        asked = config.transcription
        at_most(f"{path}.model", asked.model, MODEL_CHARACTERS)
        at_most(f"{path}.prompt", asked.prompt, TRANSCRIPTION_PROMPT_CHARACTERS)
        return TranscriptionOptions(
            model=asked.model or self.settings.openai.transcription_model,
            language=language(f"{path}.language", asked.language),
            prompt=asked.prompt,
        )

    def _opening(self, config: ConverseConfig, root: str) -> str:
        """What the avatar says at once: who it is, then the first message, in one turn."""
        disclosure, limit = config.disclosure.spoken_text, self.settings.limits.text_characters
        at_most(f"{root}.disclosure.spoken_text", disclosure, DISCLOSURE_CHARACTERS)
        opening = " ".join(filter(None, (disclosure.strip(), config.first_message.strip())))
        if disclosure and len(opening) > limit:
            raise InvalidArgument(
                f"{root}.first_message",
                f"has {len(opening):,} characters with disclosure.spoken_text before it; give at most {limit:,}",
                reason="TEXT_TOO_LONG",
            )
        at_most(f"{root}.first_message", config.first_message, limit)
        return opening


def _refuse_unserved(config: ConverseConfig, root: str) -> None:
    """Raise Unimplemented for whatever is asked for beyond what this server does."""
    for field, is_wanted, words in (
        ("disclosure.visible_text", bool(config.disclosure.visible_text), "spoken_text"),
        ("content_policy", config.HasField("content_policy"), "the vendors' own policies"),
    ):
        if is_wanted:
            raise not_served(f"{root}.{field}", words)
