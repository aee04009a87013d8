"""Dockerfiles, read as far as their tests need it: instructions by stage, and what .dockerignore lets through."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.unit.deploy.chart import ROOT


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, such as `COPY`, and what follows it."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Of the shell form, or of the JSON form."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands between one `FROM` and the next."""

    instructions: Sequence[Instruction]

    def of(self, name: str) -> list[Instruction]:
        """Its instructions of a name."""
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> Instruction:
        """The one of a name that holds."""
        return self.of(name)[-1]

    @property
    def base(self) -> str:
        """The image that it starts from."""
        return self.of("FROM")[0].words[0]

    @property
    def env(self) -> dict[str, str]:
        """The variables that it sets."""
        pairs = [word.partition("=") for each in self.of("ENV") for word in each.words]
        return {name: value for name, _, value in pairs}


def stages(path: Path) -> list[Stage]:
    """The stages of a Dockerfile."""
    lines = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    found = [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]
    begins = [index for index, each in enumerate(found) if each.name == "FROM"]
    return [Stage(found[begin:end]) for begin, end in zip(begins, [*begins[1:], len(found)], strict=True)]


def sources(stage: Stage) -> list[str]:
    """What a stage copies out of the repository."""
    copies = [each.words for each in stage.of("COPY") if not each.text.startswith("--from=")]
    return [source for words in copies for source in words[:-1]]


def is_sent(source: str) -> bool:
    """Whether .dockerignore lets a path through: the last pattern that it, or a folder above it, matches wins."""
    path, sent = Path(source), True
    above = [str(each) for each in (path, *path.parents)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(fnmatch(each, pattern) for each in above):
            sent = line.startswith("!")
    return sent
