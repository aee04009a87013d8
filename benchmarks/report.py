"""The form of a benchmark's result: a table for people, ``out/bench/NAME.json`` for machines."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

OUT = Path("out") / "bench"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, with what it is compared to and what it should reach."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    goal: float | None = None
    better: Literal["higher", "lower"] = "lower"

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def write_report(name: str, figures: Sequence[Figure]) -> Path:
    """Print the figures and write them; returns the file."""
    table = Table("figure", "value", "unit", "baseline", "goal", "holds", title=name)
    for figure in figures:
        sign = "≥" if figure.better == "higher" else "≤"
        table.add_row(
            figure.name,
            f"{figure.value:.2f}",
            figure.unit,
            "" if figure.baseline is None else f"{figure.baseline:.2f}",
            "" if figure.goal is None else f"{sign} {figure.goal:g}",
            {None: "", True: "yes", False: "NO"}[figure.holds],
        )
    Console().print(table)
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    kept = ("name", "value", "unit", "baseline", "goal", "holds")
    values = [{key: getattr(figure, key) for key in kept} for figure in figures]
    path.write_text(
        json.dumps({"name": name, "commit": commit(), "machine": machine(), "figures": values}, indent=1) + "\n"
    )
    return path


def commit() -> str:
    """The commit that was measured, with a mark if files differ from it; empty outside a repository."""
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def machine() -> dict[str, str | int | float]:
    """Where it was measured, and how busy that machine was."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count() or 0,
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
