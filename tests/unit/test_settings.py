"""All configuration of the service."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from elevenlabs.text_to_speech.types.text_to_speech_stream_with_timestamps_request_output_format import (
    TextToSpeechStreamWithTimestampsRequestOutputFormat,
)

from avatar_service.errors import StartupError
from avatar_service.settings import Settings
from avatar_service.settings.types import split_address


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


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("OPENAI_API_KEY", "sk-proj-1", lambda settings: settings.openai.api_key.get_secret_value()),
        ("AVATAR_OPENAI_API_KEY", "sk-proj-1", lambda settings: settings.openai.api_key.get_secret_value()),
        ("OPENAI_TIMEOUT", "12.5", lambda settings: str(settings.openai.timeout_s)),
        ("ELEVENLABS_API_KEY", "sk_1", lambda settings: settings.elevenlabs.api_key.get_secret_value()),
        ("ELEVENLABS_VOICE_ID", "adam", lambda settings: settings.elevenlabs.voice_id),
        ("ELEVENLABS_MODEL", "eleven_flash_v2_5", lambda settings: settings.elevenlabs.model),
        ("ELEVENLABS_OUTPUT_FORMAT", "pcm_44100", lambda settings: settings.elevenlabs.output_format),
        (
            "AVATAR_REDIS_URL",
            "rediss://:pw@cache:6380/1",
            lambda settings: settings.sessions.redis_url.get_secret_value(),
        ),
    ],
)
def test_the_names_that_people_know_work_beside_ours(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: Callable[[Settings], str]
) -> None:
    assert read(load(monkeypatch, **{name: value})) == value


def test_the_settings_file_that_the_project_began_with_works_as_it_is(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        """# OpenAI Configuration
OPENAI_API_KEY=sk-proj-1
OPENAI_TIMEOUT=30.0

# ElevenLabs Configuration
ELEVENLABS_API_KEY=sk_1
ELEVENLABS_VOICE_ID=21m00Tcm4TlvDq8ikWAM
ELEVENLABS_MODEL=eleven_multilingual_v2
ELEVENLABS_OUTPUT_FORMAT=mp3_44100_128
"""
    )
    settings = Settings.load(env_file=env_file)
    settings.require_vendors()
    assert (settings.elevenlabs.output_format, settings.elevenlabs.rate_hz) == ("mp3_44100_128", 44_100)


@pytest.mark.parametrize(("value", "seed"), [("", None), ("0", 0), ("4294967295", 4_294_967_295)])
def test_a_seed_is_a_number_or_none(monkeypatch: pytest.MonkeyPatch, value: str, seed: int | None) -> None:
    assert load(monkeypatch, AVATAR_ELEVENLABS_SEED=value).elevenlabs.seed == seed


@pytest.mark.parametrize("value", ["-1", "4294967296", "seven", "1.5"])
def test_a_seed_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(StartupError, match=r"AVATAR_ELEVENLABS_SEED: must be [^;]*$"):
        load(monkeypatch, AVATAR_ELEVENLABS_SEED=value)


VENDORS_FORMATS = get_args(get_args(TextToSpeechStreamWithTimestampsRequestOutputFormat)[0])


@pytest.mark.parametrize("name", VENDORS_FORMATS)
def test_every_format_that_the_vendor_lists_is_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = load(monkeypatch, ELEVENLABS_OUTPUT_FORMAT=name).elevenlabs
    assert settings.output_format == name
    assert settings.bytes_per_s >= 4_000


def test_our_own_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, AVATAR_ELEVENLABS_VOICE_ID="ours", ELEVENLABS_VOICE_ID="theirs")
    assert settings.elevenlabs.voice_id == "ours"


def test_an_unknown_name_of_ours_is_refused_and_anybody_elses_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, OPENAI_SOMETHING="x")
    with pytest.raises(StartupError, match="AVATAR_LISTN"):
        load(monkeypatch, AVATAR_LISTN="127.0.0.1:1")


def test_what_the_client_reads_of_the_same_environment_is_let_alone_and_in_the_file_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load(monkeypatch, AVATAR_TOKEN="a.b.c", AVATAR_API_KEY="avk_1")
    (tmp_path / ".env").write_text("AVATAR_API_KEY=keys.jsonl")
    with pytest.raises(StartupError, match="did you mean AVATAR_API_KEYS"):
        Settings.load(tmp_path / ".env")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVATAR_TLS_TENANTS", "spiffe://example.org/shop"),
        ("AVATAR_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("AVATAR_JWKS", "ftp://issuer/jwks"),
        ("AVATAR_JWKS", "https://user:password@issuer/jwks"),
        ("AVATAR_JWT_TENANT_CLAIM", ""),
        ("AVATAR_STORED_PER_TENANT", "0"),
        ("AVATAR_OPEN_ACCESS", "perhaps"),
        ("AVATAR_LISTEN", "50051"),
        ("AVATAR_LISTEN", "127.0.0.1:99999"),
        ("AVATAR_MAX_SESSIONS", "0"),
        ("AVATAR_MAX_SESSIONS", "many"),
        ("AVATAR_STOP_GRACE_S", "-1"),
        ("AVATAR_METRICS_LISTEN", "everywhere"),
        ("OPENAI_BASE_URL", "api.openai.com/v1"),
        ("OPENAI_BASE_URL", "https://user:password@host/v1"),
        ("OPENAI_CHAT_MODEL", ""),
        ("OPENAI_TIMEOUT", "inf"),
        ("ELEVENLABS_VOICE_ID", ""),
        ("AVATAR_LOG_LEVEL", "LOUD"),
        ("AVATAR_OPENAI_TEMPERATURE", "3"),
        ("ELEVENLABS_OUTPUT_FORMAT", "wav"),
        ("AVATAR_TRITON_ADDRESS", "nowhere"),
        ("AVATAR_ATTEMPTS", "9"),
        ("AVATAR_REDIS_URL", "127.0.0.1:6379"),
        ("AVATAR_REDIS_URL", "http://127.0.0.1:6379"),
        ("AVATAR_REDIS_URL", "redis://127.0.0.1:6379?db=1"),
        ("AVATAR_RESUME_S", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%0Ab"),
        ("AVATAR_SESSION_AGE_S", "0"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(StartupError, match=name):
        load(monkeypatch, **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AVATAR_MAX_SESSIONS", "0", "AVATAR_MAX_SESSIONS: must be at least 1; unset, it is 100"),
        ("AVATAR_MAX_SESSIONS", "many", "AVATAR_MAX_SESSIONS: must be a whole number; unset, it is 100"),
        ("AVATAR_ATTEMPTS", "9", "AVATAR_ATTEMPTS: must be at most 5; unset, it is 3"),
        ("AVATAR_REFLECTION", "perhaps", "AVATAR_REFLECTION: must be true or false; unset, it is true"),
        ("AVATAR_LOG_FORMAT", "xml", "AVATAR_LOG_FORMAT: must be 'console' or 'json'; unset, it is console"),
        ("OPENAI_TIMEOUT", "0", "AVATAR_OPENAI_TIMEOUT or OPENAI_TIMEOUT: must be above 0; unset, it is 30"),
        (
            "AVATAR_TRITON_ADDRESS",
            "::1:8001",
            "AVATAR_TRITON_ADDRESS: '::1:8001' is not HOST:PORT with a port up to 65535; unset, it is 127.0.0.1:8001",
        ),
        (
            "AVATAR_MAX_SESSION",
            "7",
            "unknown setting AVATAR_MAX_SESSION; did you mean AVATAR_MAX_SESSIONS? docs/settings.md lists every name",
        ),
    ],
)
def test_an_error_is_one_line_with_name_limit_and_way_out(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    with pytest.raises(StartupError) as raised:
        load(monkeypatch, **{name: value})
    assert str(raised.value) == told


def test_an_ipv6_address_stands_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_address(load(monkeypatch, AVATAR_LISTEN="[::1]:50051").server.listen) == ("::1", 50051)


@pytest.mark.parametrize("key", ["sk proj 1", "sk-proj-1\n", "\u201csk-proj-1\u201d"])
def test_a_key_that_no_header_could_carry_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with pytest.raises(StartupError, match="OPENAI_API_KEY: holds a space, a line break") as raised:
        load(monkeypatch, OPENAI_API_KEY=key)
    assert "proj" not in f"{raised.value!r} {raised.value.__cause__!r}"


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


@pytest.mark.parametrize(
    ("content", "told"), [(b"AVATAR_MAX_SESSIONS=7\n= 8\n", "line 2 is not NAME=VALUE"), (b"A=\xff\xfe", "UTF-8")]
)
def test_a_file_that_cannot_be_understood_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(content)
    with pytest.raises(StartupError, match=rf"\.env: .*{told}"):
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


def test_metrics_can_be_moved_unless_an_address_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    assert settings.server.metrics_listen == "127.0.0.1:9464"
    assert settings.with_metrics_on("127.0.0.1:0", unless_set=True).server.metrics_listen == "127.0.0.1:0"
    chosen = load(monkeypatch, AVATAR_METRICS_LISTEN="").listening_on("127.0.0.1:0")
    assert chosen.with_metrics_on("127.0.0.1:0", unless_set=True).server.metrics_listen == ""


@pytest.mark.parametrize("vendor", ["OPENAI", "ELEVENLABS"])
def test_a_second_engine_that_nobody_could_ask_is_refused(monkeypatch: pytest.MonkeyPatch, vendor: str) -> None:
    first = {"OPENAI_API_KEY": "k", "ELEVENLABS_API_KEY": "k"}
    settings = load(monkeypatch, **first, **{f"AVATAR_SECOND_{vendor}_MODEL".replace("OPENAI_M", "OPENAI_CHAT_M"): "m"})
    with pytest.raises(StartupError, match=f"AVATAR_SECOND_{vendor}_API_KEY and AVATAR_SECOND_{vendor}_BASE_URL"):
        settings.require_vendors()
    settings.without_second_engines().require_vendors()
    load(monkeypatch, **{f"AVATAR_SECOND_{vendor}_API_KEY": "k2"}).require_vendors()


def test_a_second_engine_is_there_if_its_key_or_its_address_is(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, AVATAR_SECOND_OPENAI_BASE_URL="http://gpu-1:8000/v1")
    assert settings.second_openai.wanted
    assert not settings.second_elevenlabs.wanted
    second = settings.second_openai.instead_of(settings.openai)
    assert (second.base_url, second.api_key.get_secret_value()) == ("http://gpu-1:8000/v1", "")
    assert second.timeout_s == settings.openai.timeout_s
    assert load(monkeypatch, AVATAR_SECOND_ELEVENLABS_API_KEY="k").second_elevenlabs.wanted
    assert not settings.without_second_engines().second_openai.wanted
