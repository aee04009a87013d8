"""The configurations of the calls, from plain arguments."""

from collections.abc import Mapping
from typing import TypeVar, get_args

from avatar.v1 import (
    AnimateConfig,
    AudioEncoding,
    AudioFormat,
    ConverseConfig,
    PacingConfig,
    SpeakRequest,
    TurnTakingMode,
)
from avatar_client import facts
from avatar_client.tools import Tool, tool_config
from avatar_client.wire_audio import wire_rate_hz

Config = TypeVar("Config", ConverseConfig, SpeakRequest, AnimateConfig)


def converse_config(
    config: ConverseConfig | None,
    *,
    avatar: str,
    voice: str,
    system_prompt: str,
    input_encoding: facts.AudioEncoding | None,
    output_encoding: facts.AudioEncoding | None,
    idle_frames: bool = False,
    manual_turns: bool = False,
    tools: Mapping[str, Tool] | None = None,
) -> ConverseConfig:
    """`config`, or the server's defaults, with what else is given."""
    request = _copy(config or ConverseConfig(), avatar)
    if voice:
        request.voice.voice = resource_name("voices", voice)
    request.system_prompt = system_prompt or request.system_prompt
    if input_encoding:
        request.input_audio.CopyFrom(audio_format(input_encoding, request.input_audio.sample_rate_hertz))
    if output_encoding:
        request.output_audio.CopyFrom(audio_format(output_encoding, request.output_audio.sample_rate_hertz))
    if idle_frames:
        request.idle_frames = True
    if manual_turns:
        request.turn_taking.mode = TurnTakingMode.TURN_TAKING_MODE_MANUAL
    if tools:
        request.tools.CopyFrom(tool_config(tools, request.tools))
    return request


def speak_request(
    text: str,
    config: SpeakRequest | None,
    *,
    avatar: str,
    voice: str,
    output_encoding: facts.AudioEncoding | None,
    audio_only: bool,
    unpaced: bool,
) -> SpeakRequest:
    """`config`, or the server's defaults, with `text` and what else is given."""
    request = _copy(config or SpeakRequest(), avatar)
    request.text = text
    if voice:
        request.voice.voice = resource_name("voices", voice)
    request.audio_only = audio_only or request.audio_only
    if output_encoding:
        request.output_audio.CopyFrom(audio_format(output_encoding, request.output_audio.sample_rate_hertz))
    if unpaced:
        request.pacing.MergeFrom(PacingConfig(unpaced=True))
    return request


def animate_config(
    config: AnimateConfig | None,
    *,
    avatar: str,
    sample_rate_hz: int,
    encoding: facts.AudioEncoding | None,
    unpaced: bool,
    whole: bool,
) -> AnimateConfig:
    """`config`, or the server's defaults, with what else is given; `whole`: one segment, without idle frames."""
    request = _copy(config or AnimateConfig(), avatar)
    if encoding or sample_rate_hz:
        rate_hz = sample_rate_hz or request.audio_format.sample_rate_hertz
        request.audio_format.CopyFrom(audio_format(encoding or "LINEAR16", rate_hz))
    if whole and not request.HasField("idle_frames"):
        request.idle_frames = False
    if unpaced:
        request.pacing.MergeFrom(PacingConfig(unpaced=True))
    return request


def audio_format(encoding: facts.AudioEncoding, rate_hz: int = 0) -> AudioFormat:
    """The contract's format of `encoding`; MULAW and OPUS have a rate of their own, 0 is LINEAR16's default.

    Raises ValueError for another encoding.
    """
    if encoding not in get_args(facts.AudioEncoding):
        raise ValueError(f"{encoding!r} is no encoding of audio: give {', '.join(get_args(facts.AudioEncoding)[1:])}")
    rate_hz = wire_rate_hz(encoding, rate_hz) if encoding in ("MULAW", "OPUS") else rate_hz
    return AudioFormat(encoding=AudioEncoding.Value(f"AUDIO_ENCODING_{encoding}"), sample_rate_hertz=rate_hz)


def resource_name(collection: str, name: str) -> str:
    """`name` as the contract writes it: `avatars/ada` for `ada`; an empty one stays empty."""
    return name if not name or "/" in name else f"{collection}/{name}"


def _copy(config: Config, avatar: str) -> Config:
    copy = type(config)()
    copy.CopyFrom(config)
    copy.avatar = resource_name("avatars", avatar) or copy.avatar
    return copy
