"""The TypeScript client builds, keeps to its rules, and passes its own tests."""

import json
import re
import subprocess

from tests.conformance import runners

FILE_LINES, LINE_LENGTH = 300, 120
SOURCES = [
    path
    for folder in ("src", "examples", "test")
    for path in (runners.TYPESCRIPT / folder).rglob("*.ts")
    if "gen" not in path.parts
]


def test_its_own_tests_pass() -> None:
    tests = subprocess.run(
        ["npm", "test", "--silent"], cwd=runners.TYPESCRIPT, capture_output=True, text=True, timeout=60
    )
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped) (\d+)$", tests.stdout, re.MULTILINE))
    assert tests.returncode == 0, tests.stdout
    assert counts["fail"] == counts["skipped"] == "0"
    assert int(counts["pass"]) == int(counts["tests"]) >= 35


def test_packages_are_pinned_and_the_lock_names_no_registry() -> None:
    package = json.loads((runners.TYPESCRIPT / "package.json").read_text())
    pins = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pins.values()), pins
    lock = json.loads((runners.TYPESCRIPT / "package-lock.json").read_text())
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)


def test_packages_run_on_the_oldest_node_that_is_promised() -> None:
    package = json.loads((runners.TYPESCRIPT / "package.json").read_text())
    lock = json.loads((runners.TYPESCRIPT / "package-lock.json").read_text())
    wanted = {entry.get("engines", {}).get("node", ">=0") for entry in lock["packages"].values()}
    oldest = [tuple(map(int, re.findall(r"\d+", each.split("||")[0]))) for each in wanted]
    promised = tuple(map(int, re.findall(r"\d+", package["engines"]["node"])))
    assert max(oldest) <= promised, wanted


def test_files_and_lines_are_short() -> None:
    assert len(SOURCES) > 15
    lines = {path.name: path.read_text().splitlines() for path in SOURCES}
    assert [name for name, text in lines.items() if len(text) > FILE_LINES] == []
    assert [name for name, text in lines.items() if max(map(len, text)) > LINE_LENGTH] == []
