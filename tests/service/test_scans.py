"""The scans of `make check` find what is planted, and do not say that all is well where they could ask nobody."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

SCAN = Path(__file__).parents[2] / "tools/scan.py"
SCAN_S = 60.0
KEY = "AKIA" + "Z7QP4MWX2LKV9TRB"
"""Looks like a key of AWS; in two parts, or the scan of this repository would find it here."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one file, and a baseline that knows nothing."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, timeout=SCAN_S)
    (tmp_path / "settings.py").write_text('region = "eu-central-1"\n')
    assert secrets(tmp_path, "--update") == (0, ".secrets.baseline knows 0 places now\n")
    return tmp_path


def secrets(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the scan."""
    command = [sys.executable, str(SCAN), "secrets", "--root", str(root), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=SCAN_S)
    return run.returncode, run.stdout + run.stderr


def test_a_planted_secret_is_found_before_it_is_committed_and_not_shown(repository: Path) -> None:
    assert secrets(repository) == (0, "")
    (repository / "new.py").write_text(f'import os\n\naccess_key = "{KEY}"\n')
    code, told = secrets(repository)
    assert (code, told.splitlines()[0]) == (1, "new.py:3: AWS Access Key")
    assert KEY not in told


def test_what_the_baseline_knows_may_move_and_nothing_may_join_it(repository: Path) -> None:
    (repository / "new.py").write_text(f'access_key = "{KEY}"\n')
    secrets(repository, "--update")
    (repository / "new.py").write_text(f'\n\n\naccess_key = "{KEY}"\n')
    assert secrets(repository) == (0, "")
    other = KEY[:-1] + "C"
    (repository / "new.py").write_text(f'access_key = "{KEY}"\nother_key = "{other}"\n')
    code, told = secrets(repository)
    assert (code, told.splitlines()[0]) == (1, "new.py:2: AWS Access Key")
    baseline = (repository / ".secrets.baseline").read_text()
    assert KEY not in baseline
    assert str(repository) not in baseline


def test_what_git_ignores_is_not_looked_at(repository: Path) -> None:
    (repository / ".gitignore").write_text(".env\n")
    (repository / ".env").write_text(f"AWS={KEY}\n")
    assert secrets(repository) == (0, "")


@asynccontextmanager
async def advisories(*found: str) -> AsyncIterator[str]:
    """A stand-in for OSV, which knows these vulnerabilities of every package; yields its URL."""

    async def query(_: web.Request) -> web.Response:
        affected = [{"package": {"ecosystem": "PyPI", "name": "structlog"}, "ranges": []}]
        known = [{"id": each, "summary": "", "aliases": [], "affected": affected} for each in found]
        return web.Response(
            body=json.dumps({"vulns": known} if known else {}).encode(), content_type="application/json"
        )

    app = web.Application()
    app.router.add_post("/v1/query", query)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1/query"))


async def audited(tmp_path: Path, url: str, **environment: str) -> tuple[int, str]:
    """Exit code of the scan, and what it says of the Python packages, with pip-audit asking at `url`."""
    (tmp_path / "requirements.txt").write_text("structlog==26.1.0\n")
    asks = ("-s", "osv", "--osv-url", url, "--no-deps", "--disable-pip", "-r", str(tmp_path / "requirements.txt"))
    command = (sys.executable, str(SCAN), "dependencies", "--", *asks)
    # Without npm, whose advisories are no part of this.
    inherited = {name: value for name, value in os.environ.items() if name != "AUDIT_REQUIRED"}
    env = {**inherited, "PATH": "", **environment}
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(SCAN_S):
        told, _ = await process.communicate()
    lines = [line for line in told.decode().splitlines() if "package-lock" not in line]
    return process.returncode or 0, "\n".join(lines)


async def test_a_known_vulnerability_fails(tmp_path: Path) -> None:
    async with advisories("PYSEC-2026-1") as url:
        code, told = await audited(tmp_path, url)
    assert (code, told.splitlines()[0]) == (1, "Python packages: 1 known vulnerabilities")
    assert "structlog 26.1.0: PYSEC-2026-1" in told


async def test_packages_without_one_pass(tmp_path: Path) -> None:
    async with advisories() as url:
        assert await audited(tmp_path, url) == (0, "Python packages: 0 known vulnerabilities")


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"AUDIT_REQUIRED": "1"}, 1)])
async def test_where_nobody_can_be_asked_that_is_said_and_fails_if_it_must_not_be(
    tmp_path: Path, environment: dict[str, str], code: int
) -> None:
    told = "Python packages: NOT AUDITED, the advisories could not be reached"
    assert await audited(tmp_path, "http://127.0.0.1:9/v1/query", **environment) == (code, told)
