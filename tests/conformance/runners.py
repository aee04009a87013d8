"""The runners of all languages, as commands, and what they say of a script."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.runner import Outcome

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
JAVA = ROOT / "clients/java"
TYPESCRIPT = ROOT / "clients/typescript"
AT_ONCE = 6
"""Scripts that each runner plays at one time: three runners, one service and its vendors share the machine."""
LONGEST = ("stopped_reader", "slow_reader")
"""Scripts that mostly wait; they begin first."""
BUILD_S = 200
RUN_S = 120
QUICK_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""What makes a short run of Java shorter."""
RUNNERS: dict[str, Sequence[str]] = {
    "Python": (sys.executable, "-m", "tests.conformance.runner"),
    "Java": ("java", *QUICK_JVM, f"@{JAVA}/build/classpath", "avatar.conformance.Runner"),
    "TypeScript": ("node", f"{TYPESCRIPT}/dist/conformance.js"),
}


def build(folder: Path) -> None:
    """Bring a client's build up to date. Raises AssertionError with what its script said."""
    built = subprocess.run([folder / "build.sh"], capture_output=True, text=True, timeout=BUILD_S)
    assert built.returncode == 0, f"{folder}/build.sh:\n{built.stdout}{built.stderr}"


@contextmanager
def running(language: str, server: str, scripts: Iterable[Path]) -> Iterator["subprocess.Popen[str]"]:
    """One language's runner with these scripts; killed at the end of the block."""
    command = [*RUNNERS[language], "--at-once", f"{AT_ONCE}", server, *map(str, scripts)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def outcomes_of(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Outcome]]:
    """The exit code and the outcomes by case, once it has ended. Raises AssertionError if a line is none."""
    try:
        output, errors = process.communicate(timeout=RUN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()  # what was not played is missed below
    try:
        outcomes = [Outcome(**json.loads(line)) for line in output.splitlines()]
    except (TypeError, ValueError) as error:
        raise AssertionError(f"a runner prints outcomes alone, not\n{output}\n{errors}") from error
    assert outcomes, errors
    return process.returncode, {outcome.case: outcome for outcome in outcomes}
