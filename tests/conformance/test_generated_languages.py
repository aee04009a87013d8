"""The contract generates code for every language that protoc knows, under the names that docs/clients.md gives."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conformance import runners

PROTOS = runners.ROOT / "protos"
FILES = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
NAMES = {
    "csharp": ("Converse.cs", r"^namespace Avatar\.V1 \{", r"public sealed partial class ConverseRequest "),
    "java": ("avatar/v1/ConverseRequest.java", r"^package avatar\.v1;", r"public final class ConverseRequest "),
    "kotlin": ("avatar/v1/ConverseRequestKt.kt", r"avatar\.v1\.ConverseRequest", r"object ConverseRequestKt "),
    "php": ("Avatar/V1/ConverseRequest.php", r"^namespace Avatar\\V1;", r"^class ConverseRequest extends "),
    "ruby": ("avatar/v1/converse_pb.rb", r"^module Avatar\n  module V1\n", r"    ConverseRequest = "),
    "objc": ("avatar/v1/Converse.pbobjc.h", r"@interface AVXConverseRequest ", r"^typedef GPB_ENUM\(AVXTurnOutcome\)"),
    "cpp": ("avatar/v1/converse.pb.h", r"^namespace avatar \{\nnamespace v1 \{", r"^class ConverseRequest "),
    "pyi": ("avatar/v1/converse_pb2.pyi", r"^class ConverseRequest\(", r"^TURN_OUTCOME_COMPLETED: TurnOutcome$"),
}
"""Of each language a file, and what it must declare."""


def generated(language: str, out: Path) -> None:
    """Generate the code of one language into `out`."""
    command = ["protoc", f"-I{PROTOS}", f"--{language}_out={out}", *FILES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("language", NAMES)
def test_the_code_of_a_language_has_the_names_that_are_promised(language: str, tmp_path: Path) -> None:
    generated(language, tmp_path)
    name, *declared = NAMES[language]
    text = (tmp_path / name).read_text()
    assert [pattern for pattern in declared if not re.search(pattern, text, re.MULTILINE)] == []


def test_php_has_its_descriptors_where_its_loader_is_told_to_look(tmp_path: Path) -> None:
    generated("php", tmp_path)
    assert (tmp_path / "GPBMetadata/Avatar/V1/Converse.php").exists()


def test_the_go_package_is_called_avatarv1() -> None:
    for name in FILES:
        assert 'option go_package = "avatar/v1;avatarv1";' in (PROTOS / name).read_text(), name
