"""What the doctor says of this machine."""

from pathlib import Path

import pytest

from avatar_service.doctor import machine
from avatar_service.doctor.report import Verdict
from avatar_service.settings import Settings


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.load(env_file=None)


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 10, 9), Verdict.FAILED), ((3, 11, 0), Verdict.OK), ((3, 12, 4), Verdict.OK), ((3, 13, 0), Verdict.FAILED)],
)
def test_python_is_one_that_triton_has_a_backend_for(version: tuple[int, ...], verdict: Verdict) -> None:
    assert machine.python(version).verdict is verdict


def test_every_package_of_the_service_is_installed_as_pinned() -> None:
    assert machine.packages().verdict is Verdict.OK


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "requires", lambda _: ['no-such-thing==1.0; extra == "server"'])
    finding = machine.packages()
    assert (finding.verdict, finding.detail) == (Verdict.FAILED, "missing: no-such-thing")
    assert finding.mend == "pip install 'avatar-service[server]'"


def test_a_package_of_another_version_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "requires", lambda _: ['structlog==1.2.3; extra == "server"', 'x==1; extra == "dev"'])
    finding = machine.packages()
    assert finding.verdict is Verdict.WARNING
    assert "instead of 1.2.3" in finding.detail


def test_it_says_where_settings_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("OPENAI_TIMEOUT", "20")
    (finding,) = machine.settings_found(tmp_path / ".env")
    assert finding.detail == "1 in the environment, no .env here"
    env_file = tmp_path / ".env"
    env_file.write_text("ELEVENLABS_MODEL=m\nUNRELATED=1\n")
    (finding,) = machine.settings_found(env_file)
    assert finding.detail == f"1 in the environment, 1 in {env_file}"


def test_a_name_that_is_almost_one_of_ours_is_pointed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELEVENLABS_VOICEID", "x")
    monkeypatch.setenv("OPENAI_ORG_ID", "x")
    _, finding = machine.settings_found(tmp_path / ".env")
    assert (finding.verdict, finding.detail) == (Verdict.WARNING, "ELEVENLABS_VOICEID is read by nobody")
    assert finding.mend == "did you mean ELEVENLABS_VOICE_ID?"


def test_default_time_outs_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = machine.time_outs(loaded(monkeypatch))
    assert finding.verdict is Verdict.OK
    assert "11 s" in finding.detail  # 2 attempts of 5 s and 1 s between them: a third would begin beyond the budget


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"OPENAI_TIMEOUT": "2"}, "OPENAI_TIMEOUT (2 s)"),
        ({"ELEVENLABS_TIMEOUT": "2"}, "ELEVENLABS_TIMEOUT (2 s)"),
        ({"AVATAR_FIRST_OUTPUT_S": "25", "AVATAR_STAGE_S": "60"}, "waiting for 60 s"),
        ({"AVATAR_STOP_GRACE_S": "60"}, "Kubernetes"),
    ],
)
def test_time_outs_that_do_not_fit_are_pointed_out(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], told: str
) -> None:
    (finding,) = machine.time_outs(loaded(monkeypatch, **settings))
    assert finding.verdict is Verdict.WARNING
    assert told in finding.detail
    assert finding.mend


def test_metrics_that_are_switched_off_need_no_port() -> None:
    assert machine.port("metrics port", "AVATAR_METRICS_LISTEN", "").verdict is Verdict.OK
