"""Messages that clients could send: every option of the contract that this server serves, in any combination."""

import random
from typing import Final

from google.protobuf.duration_pb2 import Duration

from avatar import v1

TEXTS: Final = (
    "What is a tide?",
    "Yes.",
    "Well, no. Not at all. And then? I wonder.",
    "\u202egnirts\u202c \U0001f600 e\u0301 \ufdd0",
    "e" + "\u0301" * 500,
    "<break time='100s'/>{{x}} ${x} %s %n \x00\x07",
    "?!.,;:...",
    "\u4f60\u597d\u3002\u518d\u89c1\u3002",
    "nothing ends this " * 40,
    "1,234.56 Dr. e.g. 3.14. ",
)
OPUS_PACKET: Final = b"\xf8\xff\xfe"
"""20 ms of silence."""
USER_AUDIO: Final = (bytes(640), bytes(3_200), bytes(32_000), OPUS_PACKET, bytes(2), b"\x11\x22" * 1_600)
"""Silence, an Opus packet, noise."""
TOOL: Final = v1.Tool(name="look", description="Looks.", parameters_json='{"type": "object"}')


def conversation(chance: random.Random) -> v1.ConverseRequest:
    """A configuration."""
    config = v1.ConverseConfig(audio_only=chance.random() < 0.4)
    if chance.random() < 0.3:
        config.idle_frames = True
    if chance.random() < 0.4:
        config.turn_taking.mode = v1.TurnTakingMode.TURN_TAKING_MODE_MANUAL
    if chance.random() < 0.3:
        config.input_audio.encoding = chance.choice((2, 3))  # type: ignore[assignment]  # the numbers are known
    if chance.random() < 0.3:
        config.output_audio.encoding = chance.choice((1, 2, 3))  # type: ignore[assignment]
    if chance.random() < 0.3:
        config.frame_format.encoding = chance.choice((1, 2, 3))  # type: ignore[assignment]
    if chance.random() < 0.3:
        config.first_message = chance.choice(TEXTS)
    _set_engines(config, chance)
    config.pacing.lead.CopyFrom(_of_ms(chance.choice((200, 1_000, 5_000))))
    return v1.ConverseRequest(config=config)


def _set_engines(config: v1.ConverseConfig, chance: random.Random) -> None:
    if chance.random() < 0.3:
        _set_turn_taking(config.turn_taking, chance)
    if chance.random() < 0.3:
        config.tools.tools.append(TOOL)
    if chance.random() < 0.2:
        config.history.add(role=v1.Role.ROLE_USER, text=chance.choice(TEXTS))
    if chance.random() < 0.2:
        config.voice.settings.speed = chance.choice((0.7, 1.2))
    if chance.random() < 0.2:
        config.chat.preemptive = True
    if chance.random() < 0.2:
        config.transcription.interim = True


def _set_turn_taking(config: v1.TurnTakingConfig, chance: random.Random) -> None:
    config.threshold = chance.choice((0.05, 0.5, 0.95))
    config.prefix.CopyFrom(_of_ms(chance.choice((0, 2_000))))
    config.minimum_speech.CopyFrom(_of_ms(chance.choice((0, 250, 2_000))))
    config.silence.CopyFrom(_of_ms(chance.choice((100, 5_000))))
    config.false_barge_in_wait.CopyFrom(_of_ms(chance.choice((0, 10_000))))
    config.longest_silence.CopyFrom(_of_ms(chance.choice((0, 5_000))))
    config.barge_in = chance.random() < 0.7


def of_conversation(chance: random.Random) -> v1.ConverseRequest:
    """Any other message of a conversation."""
    request_id = chance.choice(("", "q1", "q2"))
    match chance.randrange(15):
        case 0 | 1 | 2 | 3:
            return v1.ConverseRequest(audio=v1.UserAudio(data=chance.choice(USER_AUDIO)))
        case 4 | 5:
            return v1.ConverseRequest(text=v1.UserText(text=chance.choice(TEXTS), request_id=request_id))
        case 6 | 7:
            interrupts, omitted = chance.random() < 0.3, chance.random() < 0.3
            say = v1.Say(text=chance.choice(TEXTS), interrupt=interrupts, omit_from_history=omitted)
            return v1.ConverseRequest(say=say)
        case 8:
            return v1.ConverseRequest(utterance_started=v1.UtteranceStarted())
        case 9:
            return v1.ConverseRequest(utterance_ended=v1.UtteranceEnded())
        case 10:
            return v1.ConverseRequest(interrupt=interrupt(chance))
        case 11 | 12:
            return v1.ConverseRequest(playback_report=report(chance))
        case 13:
            return v1.ConverseRequest(config_update=_update(chance))
        case _:
            result = v1.ToolResult(tool_call_id=chance.choice(("call_1", "call_2")), output=chance.choice(TEXTS))
            return v1.ConverseRequest(tool_results=v1.ToolResults(results=[result]))


def fits(config: v1.ConverseRequest, message: v1.ConverseRequest) -> bool:
    """Whether a session with this configuration takes the message at any time."""
    payload = message.WhichOneof("payload") or ""
    if payload.startswith("utterance"):
        return config.config.turn_taking.mode == v1.TurnTakingMode.TURN_TAKING_MODE_MANUAL
    is_opus = config.config.input_audio.encoding == v1.AudioEncoding.AUDIO_ENCODING_OPUS
    return payload != "audio" or (message.audio.data == OPUS_PACKET) == is_opus


def _update(chance: random.Random) -> v1.ConfigUpdate:
    update = v1.ConfigUpdate()
    match chance.randrange(5):
        case 0:
            update.system_prompt = chance.choice(("", *TEXTS))
        case 1:
            _set_turn_taking(update.turn_taking, chance)
        case 2:
            update.tools.SetInParent()
        case 3:
            update.voice.settings.stability = chance.random()
        case _:
            update.chat.temperature = 2 * chance.random()
    return update


def animation(chance: random.Random) -> v1.AnimateRequest:
    """A configuration."""
    config = v1.AnimateConfig()
    config.pacing.unpaced = chance.random() < 0.3
    if chance.random() < 0.3:
        config.idle_frames = True
    if chance.random() < 0.3:
        config.frame_format.encoding = chance.choice((1, 2, 3))  # type: ignore[assignment]
    if chance.random() < 0.4:
        config.audio_format.sample_rate_hertz = chance.choice((8_000, 16_000, 22_050, 48_000))
    return v1.AnimateRequest(config=config)


def of_animation(chance: random.Random) -> v1.AnimateRequest:
    """Any other message of an animation."""
    match chance.randrange(6):
        case 0 | 1 | 2:
            return v1.AnimateRequest(audio=v1.SegmentAudio(data=chance.randbytes(chance.choice((640, 1_920, 9_600)))))
        case 3:
            return v1.AnimateRequest(segment_ended=v1.SegmentEnded())
        case 4:
            return v1.AnimateRequest(interrupt=interrupt(chance))
        case _:
            return v1.AnimateRequest(playback_report=report(chance))


def interrupt(chance: random.Random) -> v1.Interrupt:
    """Of a turn that there is, or none."""
    return v1.Interrupt(turn_id=chance.choice((0, 1, 2, 9, -1)))


def report(chance: random.Random) -> v1.PlaybackReport:
    """Of a turn that there is, or none, played to some position."""
    position = _of_ms(chance.choice((0, 1, 200, 1_000, 86_400_000)))
    return v1.PlaybackReport(
        turn_id=chance.choice((0, 1, 2, 3, 1 << 40)), position=position, stopped=chance.random() < 0.3
    )


def _of_ms(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration
