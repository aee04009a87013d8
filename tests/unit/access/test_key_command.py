"""`avatar-service key`: a key, and its line for the file."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from avatar_service.access.keys import ApiKeys
from avatar_service.cli.main import app


def test_the_key_is_shown_once_and_its_line_makes_it_taken(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["key", "--tenant", "shop", "--id", "shop-1", "--expires", "2099-01-01T00:00:00Z"])
    assert made.exit_code == 0
    key = made.stderr.removeprefix("key: ").strip()
    assert key not in made.stdout
    (tmp_path / "keys.jsonl").write_text(made.stdout)
    identity = ApiKeys(str(tmp_path / "keys.jsonl")).identify(key)
    assert (identity.tenant, identity.subject) == ("shop", "shop-1")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--tenant", "a b", "--id", "x"), "`tenant`"),
        (("--tenant", "shop", "--id", "a/b"), "`id`"),
        (("--tenant", "shop", "--id", "x", "--expires", "tomorrow"), "`expires`"),
    ],
)
def test_what_the_file_could_not_hold_is_refused_without_a_key(options: tuple[str, ...], told: str) -> None:
    made = CliRunner().invoke(app, ["key", *options])
    assert made.exit_code == 1
    assert told in str(made.exception)
    assert "avk_" not in made.output
