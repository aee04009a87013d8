"""The configuration that a client asks for, completed with what this server has."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.message import Message as ProtoMessage

from avatar.v1 import AudioEncoding, ConverseConfig, EchoHandling, FrameEncoding, FrameFormat, Role, TurnTakingMode
from avatar_service.avatars.catalogue import Avatar, Catalogue
from avatar_service.engines.base import ChatOptions, Message, TranscriptionOptions, Voice
from avatar_service.errors import InvalidArgument, NotFound
from avatar_service.rpc.checks import at_most, given, given_s, in_range, not_served
from avatar_service.session.config import SessionConfig
from avatar_service.settings import Settings
from avatar_service.stages.endpointing import EndpointingSettings
from avatar_service.turn.turn import TurnSettings

DEFAULT_INPUT_RATE_HZ = 16_000
DEFAULT_LEAD_S = 1.0
DEFAULT_SYSTEM_PROMPT = (
    "You are a friendly assistant who is heard, not read. "
    "Answer in one or two short sentences, without lists or markup."
)
PROMPT_CHARACTERS = 16_000
TRANSCRIPTION_PROMPT_CHARACTERS = 1_000
HISTORY_MESSAGES = 200
HISTORY_CHARACTERS = 32_000
END_USER_ID_CHARACTERS = 128
LABELS, LABEL_NAME_CHARACTERS, LABEL_CHARACTERS = 16, 64, 256
_VOICE = re.compile(r"^(voices/)?[A-Za-z0-9_-]{1,64}$")


@dataclass(frozen=True, slots=True)
class ConfigParser:
    """Knows the server's defaults."""

    settings: Settings
    catalogue: Catalogue

    def parse(self, config: ConverseConfig) -> SessionConfig:
        """The effective configuration. Raises ClientError for a field that is wrong or not served."""
        _refuse_unserved(config)
        input_rate_hz = config.input_audio.sample_rate_hertz or DEFAULT_INPUT_RATE_HZ
        in_range("config.input_audio.sample_rate_hertz", input_rate_hz, 8_000, 48_000, "Hz")
        at_most("config.first_message", config.first_message, self.settings.limits.text_characters)
        _check_labels(config)
        avatar = self.catalogue.get(config.avatar)
        return SessionConfig(
            avatar=avatar,
            turn=self._turn_settings(config, avatar),
            input_rate_hz=input_rate_hz,
            endpointing=self._endpointing(config),
            barge_in=config.turn_taking.barge_in if config.turn_taking.HasField("barge_in") else True,
            history=tuple(self._history(config)),
            first_message=config.first_message.strip(),
        )

    def _turn_settings(self, config: ConverseConfig, avatar: Avatar) -> TurnSettings:
        rate_hz = self.settings.elevenlabs.rate_hz
        if config.output_audio.sample_rate_hertz not in (0, rate_hz):
            raise not_served("config.output_audio.sample_rate_hertz", f"{rate_hz}, the rate of the voice itself")
        _check_frames(config.frame_format, avatar)
        at_most("config.system_prompt", config.system_prompt, PROMPT_CHARACTERS)
        at_most("config.transcription.prompt", config.transcription.prompt, TRANSCRIPTION_PROMPT_CHARACTERS)
        return TurnSettings(
            system_prompt=config.system_prompt or DEFAULT_SYSTEM_PROMPT,
            chat=self._chat(config),
            voice=self._voice(config),
            transcription=TranscriptionOptions(
                model=config.transcription.model or self.settings.openai.transcription_model,
                language=config.transcription.language,
                prompt=config.transcription.prompt,
            ),
            avatar_key=avatar.key,
            loop_length=avatar.loop_length,
            fps=avatar.fps,
            rate_hz=rate_hz,
            lead_s=given_s(config.pacing, "lead", "config.pacing", DEFAULT_LEAD_S, 0.2, 5.0),
        )

    def _chat(self, config: ConverseConfig) -> ChatOptions:
        openai, chat = self.settings.openai, config.chat
        in_range("config.chat.max_output_tokens", chat.max_output_tokens, 0, 4_096)
        return ChatOptions(
            model=chat.model or openai.chat_model,
            max_tokens=chat.max_output_tokens or openai.max_tokens,
            temperature=given(chat, "temperature", "config.chat", openai.temperature, 0.0, 2.0),
        )

    def _voice(self, config: ConverseConfig) -> Voice:
        elevenlabs, asked = self.settings.elevenlabs, config.voice
        settings, path = asked.settings, "config.voice.settings"
        if asked.voice and not _VOICE.match(asked.voice):
            raise InvalidArgument("config.voice.voice", "is no name of a voice; give `voices/{id}` as ListVoices does")
        return Voice(
            voice_id=asked.voice.removeprefix("voices/") or elevenlabs.voice_id,
            model=asked.model or elevenlabs.model,
            stability=given(settings, "stability", path, 0.5, 0.0, 1.0),
            similarity_boost=given(settings, "similarity_boost", path, 0.75, 0.0, 1.0),
            style=given(settings, "style", path, 0.0, 0.0, 1.0),
            use_speaker_boost=settings.use_speaker_boost if settings.HasField("use_speaker_boost") else True,
            speed=given(settings, "speed", path, 1.0, 0.7, 1.2),
            language=asked.language,
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
    linear16 = (AudioEncoding.AUDIO_ENCODING_UNSPECIFIED, AudioEncoding.AUDIO_ENCODING_LINEAR16)
    automatic = (TurnTakingMode.TURN_TAKING_MODE_UNSPECIFIED, TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC)
    client_cancels = (EchoHandling.ECHO_HANDLING_UNSPECIFIED, EchoHandling.ECHO_HANDLING_CLIENT_CANCELS)
    for field, wanted, served, words in (
        ("input_audio.encoding", config.input_audio.encoding, linear16, "LINEAR16"),
        ("output_audio.encoding", config.output_audio.encoding, linear16, "LINEAR16"),
        ("turn_taking.mode", config.turn_taking.mode, automatic, "AUTOMATIC"),
        ("echo_handling", config.echo_handling, client_cancels, "CLIENT_CANCELS"),
        ("transcription.interim", config.transcription.interim, (False,), "final transcripts"),
        ("idle_timeout", config.HasField("idle_timeout"), (False,), "sessions that may be silent for any time"),
        ("audio_only", config.audio_only, (False,), "sessions with video"),
        ("idle_frames", config.idle_frames, (False,), "frames of turns; set it to false"),
        ("tools", _is_set(config.tools), (False,), "conversations without tools"),
        ("disclosure", _is_set(config.disclosure), (False,), "avatars that the caller announces"),
        ("content_policy", _is_set(config.content_policy), (False,), "the vendors' own policies"),
    ):
        if wanted not in served:
            raise not_served(f"config.{field}", words)


def _check_labels(config: ConverseConfig) -> None:
    at_most("config.end_user_id", config.end_user_id, END_USER_ID_CHARACTERS)
    if len(config.metadata) > LABELS:
        raise InvalidArgument("config.metadata", f"has {len(config.metadata)} entries; give at most {LABELS}")
    for name, value in config.metadata.items():
        at_most("config.metadata key", name, LABEL_NAME_CHARACTERS)
        at_most(f"config.metadata[{name}]", value, LABEL_CHARACTERS)


def _is_set(message: ProtoMessage) -> bool:
    return message.ByteSize() > 0


def _check_frames(wanted: FrameFormat, avatar: Avatar) -> None:
    if wanted.encoding not in (FrameEncoding.FRAME_ENCODING_UNSPECIFIED, FrameEncoding.FRAME_ENCODING_JPEG):
        raise not_served("config.frame_format.encoding", "JPEG")
    if wanted.jpeg_quality not in (0, 80):
        raise not_served("config.frame_format.jpeg_quality", "80")
    if wanted.HasField("frame_rate"):
        denominator = wanted.frame_rate.denominator or 1
        if wanted.frame_rate.numerator != avatar.fps * denominator:
            raise not_served("config.frame_format.frame_rate", f"{avatar.fps}, the avatar's own")
    if (wanted.width, wanted.height) not in ((0, 0), (avatar.width, avatar.height)):
        raise not_served("config.frame_format.width", f"{avatar.width} by {avatar.height}, the avatar's own size")
