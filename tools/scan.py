"""Looks for secrets among the files, and for known vulnerabilities among the packages.

python tools/scan.py secrets              fails for what is not in .secrets.baseline
python tools/scan.py secrets --update     writes what is found there into the baseline: look at each first
python tools/scan.py dependencies         fails for a package with a known vulnerability

`dependencies` asks PyPI's advisories by pip-audit, and npm's for each lock file. Where these cannot be reached nothing
is audited; it says so and goes on, and fails if AUDIT_REQUIRED is set. What follows `--` goes to pip-audit.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ".secrets.baseline"
MEDIA = {".wav", ".flac", ".mp3", ".ogg", ".png", ".jpg", ".safetensors", ".onnx", ".binpb"}
"""Not text: what looks random in them is no secret."""
AUDIT_S = 300.0
"""Longest that one audit may take; each package is a request."""
LOCKS = ("tools/node", "clients/typescript")
"""Folders with a package-lock.json."""


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def files() -> list[str]:
    """What is or may be committed below the working directory."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wanted = {name for name in listed.split("\0") if name and Path(name).suffix not in MEDIA}
    return sorted(name for name in wanted - {BASELINE} if Path(name).is_file())


def secrets(update: bool) -> bool:
    """Whether nothing is found that the baseline does not know; `update` lets it know. A known place may move within
    its file. Names of files are relative to the working directory."""
    found = SecretsCollection()
    with default_settings():
        found.scan_files(*files())
        if update:
            told = baseline.format_for_output(found)
            del told["generated_at"]
            Path(BASELINE).write_text(json.dumps(told, indent=2) + "\n")
            say(f"{BASELINE} knows {sum(1 for _ in found)} places now")
            return True
    known = SecretsCollection.load_from_baseline(json.loads(Path(BASELINE).read_text()))
    unknown = sorted((each for _, each in found - known), key=lambda each: (each.filename, each.line_number))
    for each in unknown:
        say(f"{each.filename}:{each.line_number}: {each.type}")
    if unknown:
        say("Take it out, and change it if it was ever real. If it is none: `# pragma: allowlist secret`, or --update.")
    return not unknown


def python_packages(arguments: Sequence[str]) -> list[str] | None:
    """What pip-audit finds; None where it could ask nobody."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *arguments]
    run = _run(command, ROOT)
    report: dict[str, Any] = json.loads(run.stdout) if run and run.stdout.startswith("{") else {}
    asked = [each for each in report.get("dependencies", []) if "vulns" in each]
    if not asked:
        return None
    return [
        f"{each['name']} {each['version']}: {vulnerability['id']}, mended in {', '.join(vulnerability['fix_versions'])}"
        for each in asked
        for vulnerability in each["vulns"]
    ]


def node_packages(folder: Path) -> list[str] | None:
    """What npm finds in a lock file; None where it could ask nobody."""
    run = _run(["npm", "audit", "--json"], folder)
    report: dict[str, Any] = json.loads(run.stdout) if run and run.stdout.startswith("{") else {}
    found = report.get("vulnerabilities")
    return None if found is None else [f"{name}: {each['severity']}" for name, each in found.items()]


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str] | None:
    """The run of an audit; None where there is no such program or it takes too long."""
    try:
        return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=AUDIT_S)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None


def dependencies(arguments: Sequence[str], required: bool) -> bool:
    """Whether no package has a known vulnerability, as far as somebody could be asked; if `required`, all must be."""
    is_clean = True
    for what, found in _audits(arguments):
        if found is None:
            say(f"{what}: NOT AUDITED, the advisories could not be reached")
            is_clean = is_clean and not required
        else:
            say(f"{what}: {len(found)} known vulnerabilities")
            for each in found:
                say(f"  {each}")
            is_clean = is_clean and not found
    return is_clean


def _audits(arguments: Sequence[str]) -> Iterator[tuple[str, list[str] | None]]:
    yield "Python packages", python_packages(arguments)
    for folder in LOCKS:
        if (ROOT / folder / "package-lock.json").is_file():
            yield f"{folder}/package-lock.json", node_packages(ROOT / folder)


def main() -> None:
    """Run one scan; exits with 1 for a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scans = parser.add_subparsers(dest="scan", required=True)
    of_secrets = scans.add_parser("secrets")
    of_secrets.add_argument("--update", action="store_true", help="write the baseline")
    of_secrets.add_argument("--root", type=Path, default=ROOT, help="repository to scan")
    scans.add_parser("dependencies").add_argument("arguments", nargs="*", metavar="-- ARGUMENT")
    given = parser.parse_args()
    if given.scan == "secrets":
        os.chdir(given.root)
        is_clean = secrets(given.update)
    else:
        is_clean = dependencies(given.arguments, bool(os.environ.get("AUDIT_REQUIRED")))
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
