"""The report of the wire scripts: case by language."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.conformance.runner import Outcome, about


def write_report(
    folder: Path, scripts: Mapping[str, Path], outcomes: Mapping[str, Mapping[str, Outcome]], broken: Sequence[str]
) -> None:
    """Write conformance.json and conformance.md: what each language made of each case, and that `broken` ones fail."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = {
        case: {language: asdict(played[case]) for language, played in outcomes.items() if case in played}
        for case in sorted(scripts)
    }
    (folder / "conformance.json").write_text(json.dumps(cases, indent=1) + "\n")
    lines = ["# Conformance: wire scripts by language", "", "| case | what | " + " | ".join(outcomes) + " |"]
    lines.append("|---|---|" + "---|" * len(outcomes))
    for case, script in sorted(scripts.items()):
        cells = " | ".join(_cell(played.get(case)) for played in outcomes.values())
        lines.append(f"| {case} | {about(script)} | {cells} |")

    lines.append(_total("passed", outcomes, list(scripts), passed=True))
    lines.append(_total("broken on purpose, failed", outcomes, broken, passed=False))
    (folder / "conformance.md").write_text("\n".join(lines) + "\n")


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not played"
    return f"pass, {outcome.ms} ms" if outcome.passed else f"**FAIL**: {outcome.failure}"


def _total(name: str, outcomes: Mapping[str, Mapping[str, Outcome]], cases: Sequence[str], *, passed: bool) -> str:
    counts = [sum(case in played and played[case].passed is passed for case in cases) for played in outcomes.values()]
    return f"| **{name}** | | " + " | ".join(f"{count} of {len(cases)}" for count in counts) + " |"
