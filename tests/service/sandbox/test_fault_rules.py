"""How rules of faults are given: over HTTP, by file, and what a sandbox that replays loads."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import typer
from typer.testing import CliRunner

from avatar_service.cli.sandbox import sandbox
from tests.service.sandbox.faulty import CALLS, ask, faulty_sandbox

RULES: list[dict[str, Any]] = [
    {"on": "chat", "fault": "status", "status": 503, "nth": [1]},
    {"on": "chat", "fault": "cut", "first": 2, "header": {"X-Session": "3"}},
]
CHAT = CALLS[3]


async def test_rules_are_replaced_listed_and_removed_over_http() -> None:
    async with faulty_sandbox() as (_, url), aiohttp.ClientSession(f"{url}/sandbox/") as client:
        async with client.post("faults", json=RULES) as answer:
            assert (answer.status, await answer.json()) == (
                200,
                [{**rule, "matched": 0, "injected": 0} for rule in RULES],
            )
        statuses = [(await ask(url, CHAT)).status for _ in range(2)]
        async with client.get("faults") as answer:
            listed = await answer.json()
        async with client.delete("faults") as answer:
            assert (answer.status, await answer.json()) == (200, [])
        async with client.get("faults") as answer:
            assert await answer.json() == []

    assert statuses == [503, 200]
    assert [(rule["matched"], rule["injected"]) for rule in listed] == [(2, 1), (0, 0)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[", "the body must be a JSON list of rules"),
        (b"\xff", "the body must be a JSON list of rules"),
        (b"[" * 100_000, "the body must be a JSON list of rules"),
        (b"{}", "rules must be a JSON list of at most 256 objects"),
        (
            b'[{"on": "chat", "fault": "cut", "after": -1}]',
            "rule 1: after must be a whole number from 0 to 100000, not -1",
        ),
    ],
)
async def test_a_body_without_rules_is_refused_and_changes_nothing(body: bytes, said: str) -> None:
    async with faulty_sandbox(*RULES) as (sandbox, url), aiohttp.ClientSession() as client:
        async with client.post(f"{url}/sandbox/faults", data=body) as answer:
            assert (answer.status, await answer.json()) == (400, {"error": said})
        assert len(sandbox.faults.to_json()) == len(RULES)


async def test_the_same_requests_get_the_same_faults() -> None:
    rules = [{"on": "any", "fault": "status", "status": 500, "probability": 0.4, "seed": 7}]
    seen = []
    for _ in range(2):
        async with faulty_sandbox(*rules) as (_, url):
            seen.append([(await ask(url, call)).status for call in CALLS])

    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


def test_the_command_takes_rules_from_a_file_and_loads_no_model_for_tones(tmp_path: Path) -> None:
    replay, rules = tmp_path / "replay.json", tmp_path / "faults.json"
    script = {"transcript": "Hi.", "tokens": ["Hi."], "first_token_s": 0, "last_token_s": 0, "speech": "tone"}
    replay.write_text(json.dumps(script))
    rules.write_text(json.dumps(RULES))
    # What would load a model fails to import.
    blocked = "import sys; sys.modules.update(dict.fromkeys(('faster_whisper', 'llama_cpp', 'hibari'))); "
    command = blocked + "import typer; from avatar_service.cli.sandbox import sandbox; typer.run(sandbox)"
    options = ("--listen", "127.0.0.1:0", "--replay", str(replay), "--faults", str(rules))
    with subprocess.Popen(
        [sys.executable, "-c", command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("sandbox listening on ").strip()
            assert process.stdout.readline().startswith("sandbox ready")
            request = urllib.request.Request(
                f"{url}{CHAT.path}", CHAT.body, {"Authorization": "Bearer sandbox", "Content-Type": CHAT.content_type}
            )
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=20)
            assert refused.value.code == 503
            refused.value.close()
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert b"Hi." in answer.read()
        finally:
            process.terminate()
            _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_the_command_refuses_a_file_without_rules(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"on": "chat", "fault": "close"}]')

    app = typer.Typer()
    app.command()(sandbox)
    result = CliRunner().invoke(app, ["--faults", str(path)], env={"COLUMNS": "400"})

    assert result.exit_code == 2
    assert "rule 1: fault close makes no sense on chat; it does on speech_socket" in result.output
