"""The configuration of a conversation in force, every default filled in, as `session_started` and `config_updated` tell
it."""

from avatar.v1 import (
    ChatConfig,
    ConverseConfig,
    Disclosure,
    EchoHandling,
    Tool,
    ToolConfig,
    TranscriptionConfig,
    TurnTakingConfig,
    TurnTakingMode,
)
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.rpc.config_from_proto import Conversation
from avatar_service.rpc.effective import audio_format, frame_format, pacing, voice_config
from avatar_service.session.config import SessionConfig


def effective_conversation(conversation: Conversation, asked: ConverseConfig) -> ConverseConfig:
    """The whole configuration, but for `resume`, and `history` to save bytes; what is the caller's own is echoed."""
    config, turn = conversation.session, conversation.session.turn
    handlings = EchoHandling.ECHO_HANDLING_CLIENT_CANCELS, EchoHandling.ECHO_HANDLING_SUPPRESS
    return ConverseConfig(
        avatar=config.avatar.name,
        input_audio=audio_format(conversation.input_audio),
        output_audio=audio_format(conversation.output_audio),
        frame_format=None if turn.media.audio_only else frame_format(config.avatar, turn.media),
        audio_only=turn.media.audio_only,
        idle_frames=config.idle_frames,
        pacing=pacing(turn.media),
        turn_taking=_turn_taking(config),
        transcription=_transcription(config),
        chat=_chat(config),
        voice=voice_config(turn.voice),
        system_prompt=turn.system_prompt,
        first_message=asked.first_message.strip(),
        tools=_tools(config),
        idle_timeout=seconds(config.idle_timeout_s),
        end_user_id=asked.end_user_id,
        metadata=asked.metadata,
        disclosure=Disclosure(spoken_text=asked.disclosure.spoken_text) if asked.HasField("disclosure") else None,
        echo_handling=handlings[config.turn_taking.suppress_echo],
    )


def _turn_taking(config: SessionConfig) -> TurnTakingConfig:
    taking, endpointing = config.turn_taking, config.endpointing
    modes = TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC, TurnTakingMode.TURN_TAKING_MODE_MANUAL
    return TurnTakingConfig(
        mode=modes[taking.manual],
        threshold=endpointing.threshold,
        prefix=seconds(endpointing.prefix_s),
        minimum_speech=seconds(endpointing.minimum_speech_s),
        silence=seconds(endpointing.silence_s),
        barge_in=taking.barge_in,
        false_barge_in_wait=seconds(taking.false_barge_in_wait_s),
        longest_silence=seconds(taking.longest_silence_s),
    )


def _transcription(config: SessionConfig) -> TranscriptionConfig:
    options = config.turn.transcription
    return TranscriptionConfig(
        model=options.model,
        language=options.language,
        prompt=options.prompt,
        interim=config.turn_taking.interim,
        early=config.turn_taking.early,
    )


def _chat(config: SessionConfig) -> ChatConfig:
    options = config.turn.chat
    return ChatConfig(
        model=options.model,
        temperature=options.temperature,
        max_output_tokens=options.max_tokens,
        preemptive=config.turn_taking.preemptive,
    )


def _tools(config: SessionConfig) -> ToolConfig:
    tools = (
        Tool(name=tool.name, description=tool.description, parameters_json=tool.parameters_json)
        for tool in config.turn.chat.tools
    )
    return ToolConfig(tools=tools, timeout=seconds(config.tool_timeout_s))
