"""`avatar-service doctor` as its users run it: with a real sandbox and a real Triton, whole and each part broken."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatar_service.local.triton import TritonServer
from tests.integration.conftest import MadeUpModel
from tests.integration.sandbox_fixture import KEY, RunningSandbox, running_sandbox

RUN_S = 60.0
SECRET = "sk-proj-4711"
FREE = "127.0.0.1:0"
TRIES = 3
"""Runs in which a busy machine may render a frame too slowly, of which the doctor warns."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def environment(sandbox: RunningSandbox, triton: TritonServer, made_up: MadeUpModel) -> dict[str, str]:
    """Settings under which nothing is wrong."""
    return {
        "AVATAR_LISTEN": FREE,
        "AVATAR_METRICS_LISTEN": FREE,
        "AVATAR_AVATARS": str(made_up.avatars),
        "AVATAR_TRITON_ADDRESS": triton.grpc_address,
        "MUSETALK_MODEL_DIR": str(made_up.weights),
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": sandbox.openai_url,
        "ELEVENLABS_API_KEY": KEY,
        "ELEVENLABS_BASE_URL": sandbox.elevenlabs_url,
    }


def doctor(folder: Path, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own, where no `.env` lies unless a test wrote one."""
    return subprocess.run(
        [sys.executable, "-m", "avatar_service", "doctor", *options],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )


def failures(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """Subjects that failed, with detail and mend in one text; the command must have failed as well."""
    done = doctor(folder, environment, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert not report["ok"]
    return {
        found["subject"]: f"{found['detail']} -> {found['mend']}"
        for found in report["checks"]
        if found["verdict"] == "failed"
    }


def test_a_whole_system_is_well_in_lines_for_people(tmp_path: Path, environment: dict[str, str]) -> None:
    for _ in range(TRIES):
        done = doctor(tmp_path, environment, "--deep")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        if "warning" not in {verdict for verdict, _ in lines}:
            break
    assert {verdict for verdict, _ in lines} == {"ok"}, done.stdout
    told = [rest for _, rest in lines]
    for beginning in ("python", "packages", "weights", "settings", "avatars", "rendering", "chat model", "voice"):
        assert any(rest.startswith(beginning) for rest in told), done.stdout
    assert any(rest.startswith("speech request") and "bytes of pcm_24000" in rest for rest in told), done.stdout
    assert any("a frame of 'ada' took" in rest for rest in told), done.stdout


def test_refused_keys_and_unknown_models_and_voices_are_named(tmp_path: Path, environment: dict[str, str]) -> None:
    found = failures(
        tmp_path, environment | {"OPENAI_API_KEY": SECRET, "ELEVENLABS_VOICE_ID": "nobody", "ELEVENLABS_MODEL": "m9"}
    )
    assert found.keys() == {"openai", "voice", "speech model"}
    assert "the key is refused (status 401) -> set OPENAI_API_KEY" in found["openai"]
    assert "'nobody'" in found["voice"]
    assert "'m9'" in found["speech model"]
    assert SECRET not in str(found)


def test_an_absent_triton_missing_weights_and_taken_ports_are_named(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        absent = f"127.0.0.1:{gone.getsockname()[1]}"
        gone.close()
        broken = {
            "AVATAR_TRITON_ADDRESS": absent,
            "MUSETALK_MODEL_DIR": str(tmp_path),
            "AVATAR_LISTEN": address,
            "AVATAR_METRICS_LISTEN": address,
        }
        found = failures(tmp_path, environment | broken)
    assert found.keys() == {"triton", "weights", "port", "metrics port"}
    assert (
        f"no Triton with model 'musetalk' answers at {absent} -> start one with `avatar-service triton`"
        in found["triton"]
    )
    assert f"{tmp_path}/config.json: missing" in found["weights"]
    assert f"AVATAR_LISTEN: cannot listen on {address} (Address already in use)" in found["port"]
    assert f"AVATAR_METRICS_LISTEN: cannot listen on {address}" in found["metrics port"]


def test_an_avatar_that_triton_does_not_have_is_told_from_a_triton_that_fails(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    bundled = {"AVATAR_AVATARS": str(Path(__file__).parents[2] / "inference/assets/avatars")}
    found = failures(tmp_path, environment | bundled)
    assert found.keys() == {"rendering"}
    assert "has no version" in found["rendering"]
    assert "give Triton the same avatars" in found["rendering"]


def test_everything_that_hangs_is_told_within_seconds(tmp_path: Path, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and never answers
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        hanging = {
            "OPENAI_BASE_URL": f"http://{address}",
            "ELEVENLABS_BASE_URL": f"http://{address}",
            "AVATAR_TRITON_ADDRESS": address,
        }
        found = failures(tmp_path, environment | hanging)
    assert found.keys() == {"openai", "elevenlabs", "triton"}
    assert "no answer within 6 s" in found["openai"]
    assert "no answer within 6 s" in found["elevenlabs"]
    assert "no Triton with model 'musetalk'" in found["triton"]


def test_wrong_settings_are_a_finding_and_do_not_hide_the_rest(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / ".env").write_text("AVATAR_MAX_SESIONS=7\n")
    found = failures(tmp_path, environment)
    assert found.keys() == {"settings"}
    assert "did you mean AVATAR_MAX_SESSIONS?" in found["settings"]


def test_without_keys_the_way_out_is_told(tmp_path: Path, environment: dict[str, str]) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("OPENAI_")}
    assert "OPENAI_API_KEY and OPENAI_BASE_URL are both unset" in failures(tmp_path, bare)["vendors"]
