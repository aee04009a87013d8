"""The configuration of a conversation, completed with what this server has."""

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import Message as ProtoMessage

from avatar.v1 import ConverseConfig, EchoHandling, Role, TurnTakingMode
from avatar_service.avatars.catalogue import Avatar, Catalogue
from avatar_service.engines.base import ChatOptions, Message, TranscriptionOptions
from avatar_service.errors import InvalidArgument, NotFound
from avatar_service.rpc.checks import at_most, given, given_s, in_range, not_served
from avatar_service.rpc.media_from_proto import (
    WireAudio,
    check_frames,
    check_labels,
    lead_s,
    output_audio,
    voice_from,
    wire_audio,
)
from avatar_service.session.config import SessionConfig, TurnTakingSettings
from avatar_service.settings import Settings
from avatar_service.stages.endpointing import EndpointingSettings
from avatar_service.stages.spans import SpanPolicy
from avatar_service.turn.turn import MediaSettings, TurnSettings

DEFAULT_INPUT_RATE_HZ = 16_000
DEFAULT_SYSTEM_PROMPT = (
    "You are a friendly assistant who is heard, not read. "
    "Answer in one or two short sentences, without lists or markup."
)
PROMPT_CHARACTERS = 16_000
TRANSCRIPTION_PROMPT_CHARACTERS = 1_000
HISTORY_MESSAGES = 200
HISTORY_CHARACTERS = 32_000


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

    def parse(self, config: ConverseConfig) -> Conversation:
        """The effective configuration. Raises ClientError for a field that is wrong or not served."""
        _refuse_unserved(config)
        at_most("config.first_message", config.first_message, self.settings.limits.text_characters)
        check_labels(config.end_user_id, config.metadata, "config.")
        avatar = self.catalogue.get(config.avatar, "config.avatar")
        check_frames(config.frame_format, "config.frame_format", avatar)
        heard = wire_audio(config.input_audio, "config.input_audio", DEFAULT_INPUT_RATE_HZ)
        voice = output_audio(config.output_audio, "config.output_audio", self.voice_hz, avatar)
        session = SessionConfig(
            avatar=avatar,
            turn=self._turn_settings(config, self._media(config, avatar, voice)),
            input_rate_hz=heard.rate_hz,
            endpointing=self._endpointing(config),
            turn_taking=TurnTakingSettings(
                barge_in=config.turn_taking.barge_in if config.turn_taking.HasField("barge_in") else True
            ),
            history=tuple(self._history(config)),
            first_message=config.first_message.strip(),
        )
        return Conversation(session, heard, voice)

    def _media(self, config: ConverseConfig, avatar: Avatar, voice: WireAudio) -> MediaSettings:
        if config.pacing.unpaced:
            raise InvalidArgument(
                "config.pacing.unpaced", "a conversation is held in real time; leave it out, or call Speak or Animate"
            )
        return MediaSettings(
            avatar_key=avatar.key,
            loop_length=avatar.loop_length,
            fps=avatar.fps,
            rate_hz=voice.voice_rate_hz(self.voice_hz),
            lead_s=lead_s(config.pacing, "config.pacing"),
            audio_only=config.audio_only,
            codec_delay_s=voice.encoding.delay_s,
            spans=SpanPolicy.chosen(self.settings.lip_sync),
        )

    def _turn_settings(self, config: ConverseConfig, media: MediaSettings) -> TurnSettings:
        at_most("config.system_prompt", config.system_prompt, PROMPT_CHARACTERS)
        at_most("config.transcription.prompt", config.transcription.prompt, TRANSCRIPTION_PROMPT_CHARACTERS)
        return TurnSettings(
            system_prompt=config.system_prompt or DEFAULT_SYSTEM_PROMPT,
            chat=self._chat(config),
            voice=voice_from(config.voice, "config.voice", self.settings.elevenlabs),
            transcription=TranscriptionOptions(
                model=config.transcription.model or self.settings.openai.transcription_model,
                language=config.transcription.language,
                prompt=config.transcription.prompt,
            ),
            media=media,
        )

    def _chat(self, config: ConverseConfig) -> ChatOptions:
        openai, chat = self.settings.openai, config.chat
        in_range("config.chat.max_output_tokens", chat.max_output_tokens, 0, 4_096)
        return ChatOptions(
            model=chat.model or openai.chat_model,
            max_tokens=chat.max_output_tokens or openai.max_tokens,
            temperature=given(chat, "temperature", "config.chat", openai.temperature, 0.0, 2.0),
        )

    def _endpointing(self, config: ConverseConfig) -> EndpointingSettings:
        asked, defaults, path = config.turn_taking, EndpointingSettings(), "config.turn_taking"
        return EndpointingSettings(
            threshold=given(asked, "threshold", path, defaults.threshold, 0.05, 0.95),
            prefix_s=given_s(asked, "prefix", path, defaults.prefix_s, 0.0, 2.0),
            minimum_speech_s=given_s(asked, "minimum_speech", path, defaults.minimum_speech_s, 0.0, 2.0),
            silence_s=given_s(asked, "silence", path, defaults.silence_s, 0.1, 5.0),
            longest_s=self.settings.limits.utterance_s,
        )

    def _history(self, config: ConverseConfig) -> Iterator[Message]:
        if len(config.history) > HISTORY_MESSAGES:
            raise InvalidArgument(
                "config.history", f"has {len(config.history)} messages; give the last {HISTORY_MESSAGES} at most"
            )
        if sum(len(message.text) for message in config.history) > HISTORY_CHARACTERS:
            raise InvalidArgument(
                "config.history", f"is longer than {HISTORY_CHARACTERS:,} characters; give less of it"
            )
        for index, message in enumerate(config.history):
            at_most(f"config.history[{index}].text", message.text, self.settings.limits.text_characters)
            if not message.text.strip():
                raise InvalidArgument(f"config.history[{index}].text", "is empty; leave the message out")
            if message.role == Role.ROLE_USER:
                yield Message("user", message.text)
            elif message.role == Role.ROLE_ASSISTANT:
                yield Message("assistant", message.text)
            else:
                raise InvalidArgument(f"config.history[{index}].role", "is not set; give ROLE_USER or ROLE_ASSISTANT")


def _refuse_unserved(config: ConverseConfig) -> None:
    """Raise Unimplemented for whatever is asked for beyond what this server does."""
    if config.HasField("resume"):
        raise NotFound("config.resume.resume_token", "no such session; begin a new one", reason="SESSION_NOT_FOUND")
    automatic = (TurnTakingMode.TURN_TAKING_MODE_UNSPECIFIED, TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC)
    client_cancels = (EchoHandling.ECHO_HANDLING_UNSPECIFIED, EchoHandling.ECHO_HANDLING_CLIENT_CANCELS)
    for field, wanted, served, words in (
        ("turn_taking.mode", config.turn_taking.mode, automatic, "AUTOMATIC"),
        ("echo_handling", config.echo_handling, client_cancels, "CLIENT_CANCELS"),
        ("transcription.interim", config.transcription.interim, (False,), "final transcripts"),
        ("idle_timeout", config.HasField("idle_timeout"), (False,), "sessions that may be silent for any time"),
        ("idle_frames", config.idle_frames, (False,), "frames of turns; set it to false"),
        ("tools", _is_set(config.tools), (False,), "conversations without tools"),
        ("disclosure", _is_set(config.disclosure), (False,), "avatars that the caller announces"),
        ("content_policy", _is_set(config.content_policy), (False,), "the vendors' own policies"),
    ):
        if wanted not in served:
            raise not_served(f"config.{field}", words)


def _is_set(message: ProtoMessage) -> bool:
    return message.ByteSize() > 0
