"""The documents name what exists: every setting with its default, every file and heading that a link points to."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from avatar_service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "docs/settings.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_EVENT = re.compile(r"\blog\.(?:debug|info|warning|error|exception)\(\s*\"(\w+)\"")
_NAME = re.compile(r"\bAVATAR_[A-Z0-9_]*[A-Z0-9]\b")


def fields() -> Iterator[tuple[list[str], FieldInfo]]:
    """Every setting: its names, its field."""
    sections: dict[str, type[BaseSettings]] = get_type_hints(Settings)
    for section in sections.values():
        for field in section.model_fields.values():
            yield [str(name) for name in field.validation_alias.choices], field  # type: ignore[union-attr]  # all have


def shown(default: object) -> str:
    """A default as the table shows it."""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, Path):
        default = default.relative_to(ROOT)
    if isinstance(default, bool):
        default = str(default).lower()
    return "*empty*" if default in ("", None) else f"`{default}`"


@pytest.mark.parametrize(("names", "field"), [pytest.param(names, field, id=names[0]) for names, field in fields()])
def test_settings_page_has_every_setting_with_its_names_and_default(names: list[str], field: FieldInfo) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:]] for line in SETTINGS.read_text().splitlines()]
    (row,) = [row for row in rows if row and row[0] == f"`{names[0]}`"]
    assert row[1:3] == [", ".join(f"`{name}`" for name in names[1:]), shown(field.default)]


def test_settings_page_names_nothing_that_is_no_setting() -> None:
    known = {name for names, _ in fields() for name in names}
    assert set(_NAME.findall(SETTINGS.read_text())) - known == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_project_points_to_something(document: Path) -> None:
    targets = [target for target in _LINK.findall(document.read_text()) if "://" not in target]
    broken = [target for target in targets if not _exists(document, target)]
    assert broken == []


def test_a_link_to_a_missing_file_or_heading_is_found() -> None:
    assert _exists(SETTINGS, "latency.md#limits-of-the-channels")
    assert not _exists(SETTINGS, "latency.md#no-such-heading")
    assert not _exists(SETTINGS, "no-such-file.md")


def _exists(document: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = document.parent / name if name else document
    return path.exists() and (not anchor or anchor in _anchors(path))


def _anchors(path: Path) -> set[str]:
    """The headings of a document as GitHub turns them into anchors."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(path.read_text())
    }


def test_the_readme_s_first_client_is_the_example_that_the_tests_run() -> None:
    _, _, example = (ROOT / "clients/python/examples/first_client.py").read_text().partition('"""\n\n')
    assert f"```python\n{example}```" in (ROOT / "README.md").read_text()


def logged_events() -> Iterator[str]:
    """Every event that the service logs, less what the sandbox, a server of its own, tells."""
    for path in (ROOT / "avatar_service").rglob("*.py"):
        if "sandbox" not in path.parts:
            yield from _EVENT.findall(path.read_text())


def test_operations_page_has_every_event_of_the_log() -> None:
    told = set(re.findall(r"`(\w+)`", (ROOT / "docs/operations.md").read_text()))
    events = set(logged_events())
    assert len(events) > 40
    assert sorted(events - told) == []
