"""The voice and the pictures that are asked for."""

import pytest

from avatar.v1 import FrameFormat, FrameRate, VoiceConfig, VoiceSettings
from avatar_service.engines.base import Voice
from avatar_service.errors import InvalidArgument, Unimplemented
from avatar_service.rpc.media_from_proto import frames_wanted, voice_from
from avatar_service.settings import ElevenLabsSettings, Settings
from tests.scenario import AVATAR

ENVIRONMENT = {
    "AVATAR_ELEVENLABS_VOICE_ID": "adam",
    "AVATAR_ELEVENLABS_MODEL": "eleven_flash_v2_5",
    "AVATAR_ELEVENLABS_STABILITY": "0.2",
    "AVATAR_ELEVENLABS_SIMILARITY_BOOST": "0.9",
    "AVATAR_ELEVENLABS_STYLE": "0.4",
    "AVATAR_ELEVENLABS_USE_SPEAKER_BOOST": "false",
    "AVATAR_ELEVENLABS_SPEED": "1.1",
}


def settings(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> ElevenLabsSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load(env_file=None).elevenlabs


def test_what_is_left_out_is_as_the_server_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = voice_from(VoiceConfig(), "voice", settings(monkeypatch, ENVIRONMENT))
    assert voice == Voice("adam", "eleven_flash_v2_5", 0.2, 0.9, 0.4, use_speaker_boost=False, speed=1.1)


def test_a_server_that_is_not_set_has_the_usual_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = voice_from(VoiceConfig(), "voice", settings(monkeypatch, {}))
    assert voice == Voice("21m00Tcm4TlvDq8ikWAM", "eleven_multilingual_v2", 0.5, 0.75, 0.0, True, 1.0)


def test_what_is_asked_for_comes_before_the_servers_settings_also_where_it_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = VoiceSettings(stability=0.0, similarity_boost=0.5, style=0.0, use_speaker_boost=True, speed=0.75)
    voice = voice_from(VoiceConfig(voice="voices/eve", settings=asked), "voice", settings(monkeypatch, ENVIRONMENT))
    assert voice == Voice("eve", "eleven_flash_v2_5", 0.0, 0.5, 0.0, use_speaker_boost=True, speed=0.75)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (VoiceConfig(voice="voices/eve\n"), "voice.voice"),  # which would end up in the path of a request
        (VoiceConfig(voice="voices/.."), "voice.voice"),
        (VoiceConfig(model="m" * 129), "voice.model"),
    ],
)
def test_a_voice_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, asked: VoiceConfig, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        voice_from(asked, "voice", settings(monkeypatch, {}))
    assert refused.value.field == field


@pytest.mark.parametrize("rate", [FrameRate(numerator=-25, denominator=-1), FrameRate(numerator=24), FrameRate()])
def test_a_frame_rate_is_the_avatars_own(rate: FrameRate) -> None:
    frames_wanted(FrameFormat(frame_rate=FrameRate(numerator=50, denominator=2)), "frame_format", AVATAR)
    with pytest.raises(Unimplemented):
        frames_wanted(FrameFormat(frame_rate=rate), "frame_format", AVATAR)
