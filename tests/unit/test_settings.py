"""All configuration of the service."""

from pathlib import Path

import pytest

from avatar_service.errors import StartupError
from avatar_service.settings import Settings


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load(env_file=None)


def test_the_defaults_need_no_environment() -> None:
    settings = Settings.load(env_file=None)
    assert settings.server.listen == "127.0.0.1:50051"
    assert settings.openai.chat_model == "gpt-4o-mini"
    assert settings.openai.transcription_model == "whisper-1"
    assert settings.elevenlabs.voice_id == "21m00Tcm4TlvDq8ikWAM"
    assert settings.elevenlabs.rate_hz == 24_000
    assert settings.limits.attempts == 3
    assert (settings.limits.connect_s, settings.limits.first_output_s) == (3.0, 5.0)


@pytest.mark.parametrize("name", ["AVATAR_OPENAI_API_KEY", "OPENAI_API_KEY"])
def test_the_names_that_people_know_work_beside_ours(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = load(monkeypatch, **{name: "sk-secret"})
    assert settings.openai.api_key.get_secret_value() == "sk-secret"


def test_our_own_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, AVATAR_ELEVENLABS_VOICE_ID="ours", ELEVENLABS_VOICE_ID="theirs")
    assert settings.elevenlabs.voice_id == "ours"


def test_an_unknown_name_of_ours_is_refused_and_anybody_elses_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, OPENAI_SOMETHING="x")
    with pytest.raises(StartupError, match="AVATAR_LISTN"):
        load(monkeypatch, AVATAR_LISTN="127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVATAR_LISTEN", "50051"),
        ("AVATAR_LISTEN", "127.0.0.1:99999"),
        ("AVATAR_MAX_SESSIONS", "0"),
        ("AVATAR_MAX_SESSIONS", "many"),
        ("AVATAR_STOP_GRACE_S", "-1"),
        ("AVATAR_LOG_LEVEL", "LOUD"),
        ("AVATAR_OPENAI_TEMPERATURE", "3"),
        ("ELEVENLABS_OUTPUT_FORMAT", "wav"),
        ("AVATAR_TRITON_ADDRESS", "nowhere"),
        ("AVATAR_ATTEMPTS", "9"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(StartupError, match=name):
        load(monkeypatch, **{name: value})


def test_a_file_gives_what_the_environment_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("AVATAR_MAX_SESSIONS=7\nOPENAI_API_KEY=from-file\n")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    settings = Settings.load(env_file=env_file)
    assert settings.server.max_sessions == 7
    assert settings.openai.api_key.get_secret_value() == "from-environment"


def test_an_unknown_name_in_the_file_is_refused_too(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("AVATAR_LISTN=127.0.0.1:1\n")
    with pytest.raises(StartupError, match="AVATAR_LISTN"):
        Settings.load(env_file=env_file)


def test_keys_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sk-secret" not in repr(load(monkeypatch, OPENAI_API_KEY="sk-secret", ELEVENLABS_API_KEY="sk-secret"))


@pytest.mark.parametrize("missing", ["OPENAI", "ELEVENLABS"])
def test_a_vendor_without_key_and_address_is_named_with_both(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    other = {"OPENAI": "ELEVENLABS", "ELEVENLABS": "OPENAI"}[missing]
    with pytest.raises(StartupError, match=f"{missing}_API_KEY.*{missing}_BASE_URL"):
        load(monkeypatch, **{f"{other}_API_KEY": "key"}).require_vendors()


def test_a_key_or_an_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, OPENAI_API_KEY="key", ELEVENLABS_BASE_URL="http://127.0.0.1:1").require_vendors()


def test_another_address_to_listen_on_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, AVATAR_MAX_SESSIONS="7").listening_on("127.0.0.1:0")
    assert (settings.server.listen, settings.server.max_sessions) == ("127.0.0.1:0", 7)
    with pytest.raises(StartupError, match="--listen"):
        settings.listening_on("nowhere")
