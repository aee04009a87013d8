"""Prints the requirements of an extra, as pyproject.toml pins them, less some of them.

Example: python3 requirements.py pyproject.toml inference --without nvidia-pytriton
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path


def requirements(pyproject: Path, extra: str, without: Sequence[str]) -> list[str]:
    """The base requirements and those of the extra, in the file's order. Raises SystemExit naming what is not there."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    if extra not in extras:
        raise SystemExit(f"{pyproject}: no extra {extra!r}; there are {', '.join(extras)}")
    wanted = {_name(each): each for each in [*project["dependencies"], *extras[extra]]}
    if unknown := set(without) - set(wanted):
        raise SystemExit(f"--without: {extra} does not require {', '.join(sorted(unknown))}")
    return [each for name, each in wanted.items() if name not in without]


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("extra")
    parser.add_argument("--without", action="append", default=[], metavar="PACKAGE")
    given = parser.parse_args()
    sys.stdout.writelines(f"{each}\n" for each in requirements(given.pyproject, given.extra, given.without))
