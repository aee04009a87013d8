"""What holds for every file of ours: short enough to be read in one go."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE_LINES = 350
FUNCTION_LINES = 60
FOLDERS = (
    "avatar_service",
    "inference",
    "clients/python",
    "model_repository",
    "tests",
    "benchmarks",
    "tools",
    "deploy",
)
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def long_parts(path: Path) -> list[str]:
    """The file and its functions, as far as they are too long."""
    text = path.read_text()
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    long = [f"{path.relative_to(ROOT)}: {name}: {lines}" for name, lines in lengths.items() if lines > FUNCTION_LINES]
    return long + ([f"{path.relative_to(ROOT)}"] if text.count("\n") > FILE_LINES else [])


def test_files_and_functions_are_short() -> None:
    assert len(SOURCES) > 100
    assert [part for path in SOURCES for part in long_parts(path)] == []
