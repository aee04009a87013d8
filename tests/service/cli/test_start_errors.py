"""What prevents a start is one line that names the way out, and exit code 1."""

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatar_service import log
from avatar_service.cli.main import app
from tests.service.calls import write_avatars


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder without a `.env`, vendors that are set up, free ports, and logging as it was."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ELEVENLABS_API_KEY"):
        monkeypatch.setenv(name, "sk-secret")
    for name in ("AVATAR_LISTEN", "AVATAR_METRICS_LISTEN"):
        monkeypatch.setenv(name, "127.0.0.1:0")
    with log.restored():
        yield


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def failure(*arguments: str) -> str:
    """What a command says on standard error when it ends with exit code 1."""
    with pytest.raises(SystemExit) as ended:
        app(arguments, standalone_mode=False)
    told = ended.value.code
    assert isinstance(told, str)  # Python prints a text, and exits with 1
    assert told.startswith("error: ")
    assert "\n" not in told
    assert "sk-secret" not in told
    return told.removeprefix("error: ")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_that_is_taken_is_told_before_anything_is_started(command: str, taken: str) -> None:
    told = failure(command, "--listen", taken)
    assert told == (f"AVATAR_LISTEN: cannot listen on {taken} (Address already in use); 127.0.0.1:0 takes a free port")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_port_for_metrics_that_is_taken_is_told_with_both_ways_out(
    monkeypatch: pytest.MonkeyPatch, command: str, taken: str
) -> None:
    monkeypatch.setenv("AVATAR_METRICS_LISTEN", taken)
    told = failure(command)
    assert told.startswith(f"AVATAR_METRICS_LISTEN: cannot listen on {taken} (Address already in use)")
    assert "an empty value switches metrics off" in told


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:70000", ":50051", "::1:50051"])
def test_an_address_that_is_none_is_told_with_an_example(listen: str) -> None:
    told = failure("serve", f"--listen={listen}")
    assert told == f"--listen: {listen!r} is not HOST:PORT with a port up to 65535, such as 127.0.0.1:50051"


@pytest.mark.parametrize("command", ["serve", "up"])
def test_an_address_that_others_reach_is_not_open_by_mistake(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    told = failure(command, "--listen", "0.0.0.0:0")
    assert told.startswith("AVATAR_LISTEN: 0.0.0.0:0 can be reached from other machines")
    assert "AVATAR_OPEN_ACCESS=true" in told


def test_a_host_that_is_not_this_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_OPEN_ACCESS", "true")
    told = failure("serve", "--listen", "192.0.2.1:0")  # reserved for documentation
    assert told.startswith("AVATAR_LISTEN: cannot listen on 192.0.2.1:0 (Cannot assign requested address)")


def test_a_default_avatar_that_is_not_there_is_told_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AVATAR_AVATARS", str(write_avatars(tmp_path / "avatars", "ada", "bo")))
    monkeypatch.setenv("AVATAR_DEFAULT_AVATAR", "zed")
    assert failure("serve") == "AVATAR_DEFAULT_AVATAR: no avatar 'zed'; there are ada, bo"


def test_a_broken_bundle_is_told_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = write_avatars(tmp_path / "avatars", "ada")
    (store / "ada/avatar.json").write_text("{")
    monkeypatch.setenv("AVATAR_AVATARS", str(store))
    told = failure("serve")
    assert told.startswith(f"{store}/ada/avatar.json: not an avatar bundle")
    assert told.endswith("prepare it again")


def test_a_triton_that_is_not_there_is_told_with_the_command_that_starts_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_TRITON_ADDRESS", "127.0.0.1:1")
    told = failure("serve")
    assert told == (
        "AVATAR_TRITON_ADDRESS: no Triton with model 'musetalk' at 127.0.0.1:1; `avatar-service triton` starts one"
    )


def test_missing_keys_are_told_with_the_command_that_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert failure("serve").startswith("OPENAI_API_KEY and OPENAI_BASE_URL are both unset")


@pytest.mark.parametrize("command", ["up", "triton"])
def test_a_triton_that_is_not_installed_is_told_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert failure(command) == "Triton's server is not installed; run: pip install 'avatar-service[inference]'"
