"""The voice that is asked for."""

import pytest

from avatar.v1 import VoiceConfig, VoiceSettings
from avatar_service.engines.base import Voice
from avatar_service.rpc.media_from_proto import voice_from
from avatar_service.settings import ElevenLabsSettings, Settings

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
