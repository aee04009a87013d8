"""Generate the Python code of the contract: `python protos/generate.py`, or `--check` to compare only.

Needs the `dev` extra (grpcio-tools and mypy-protobuf) and no network. Writes beside the `.proto` files, so that the
import path is the proto path: `*_pb2.py` and `*_pb2.pyi` for every file, `*_pb2_grpc.py` and `*_pb2_grpc.pyi` for the
one with the service, and an `__init__.py` that exports every message, enum and service class by name. The same inputs
and tools give the same bytes.
"""

import argparse
import ast
import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # grpcio-tools ships no types

ROOT = Path(__file__).resolve().parent
PACKAGE = Path("avatar/v1")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi", "__init__.py")


def compile_protos(out: Path) -> None:
    """Run protoc on every proto file into `out`; raise RuntimeError if it fails."""
    # protoc finds its plugins on PATH, and a virtual environment that is not activated is not on it.
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}"
    includes = [ROOT, Path(protoc.__file__).parent / "_proto"]
    # The real base class is concrete: a method that is not overridden answers UNIMPLEMENTED.
    targets = (
        f"python_out={out}",
        f"grpc_python_out={out}",
        f"mypy_out=quiet:{out}",
        f"mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{out}",
    )
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).glob("*.proto"))
    arguments = ["protoc", *(f"-I{path}" for path in includes), *(f"--{target}" for target in targets), *protos]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed; its messages stand above")


def allow_coroutines(out: Path) -> None:
    """Let the types of the service's streaming methods be coroutines too.

    grpc.aio takes a handler of a streaming response either as an async generator, which is all that mypy-protobuf
    declares, or as a coroutine that calls `context.write`.
    """
    for path in (out / PACKAGE).glob("*_pb2_grpc.pyi"):
        iterators = r"-> (_typing\.Union\[_abc\.Iterator\[.+?\], _abc\.AsyncIterator\[.+?\]\]):"
        path.write_text(re.sub(iterators, r"-> \1 | _abc.Awaitable[None]:", path.read_text()))


def drop_empty_services(out: Path) -> None:
    """Delete the service modules that protoc writes for files without a service."""
    for path in (out / PACKAGE).glob("*_pb2_grpc.py"):
        if "class " not in path.read_text():
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


def public_names(stub: Path) -> list[str]:
    """Names of the messages and enums that a `*_pb2.pyi` declares, sorted."""
    classes = (node.name for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ClassDef))
    return sorted(name for name in classes if not name.startswith("_"))


def write_exports(out: Path) -> None:
    """Write `__init__.py`, which exports the names of every module."""
    package = out / PACKAGE
    exports = {stub.stem: public_names(stub) for stub in sorted(package.glob("*_pb2.pyi"))}
    service = "AvatarService"
    exports["avatar_service_pb2_grpc"] = [f"{service}Servicer", f"{service}Stub", f"add_{service}Servicer_to_server"]
    lines = ['"""The contract `avatar.v1`: its messages, enums and service classes. See protos/generate.py."""', ""]
    for module, names in sorted(exports.items()):
        if names:
            imported = "".join(f"    {name},\n" for name in names)
            lines.append(f"from {'.'.join(PACKAGE.parts)}.{module} import (\n{imported})")
    everything = sorted(name for names in exports.values() for name in names)
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in everything), "]", ""]
    (package / "__init__.py").write_text("\n".join(lines))


def generate(out: Path) -> dict[str, bytes]:
    """Generate everything into `out` and return it by file name."""
    compile_protos(out)
    drop_empty_services(out)
    allow_coroutines(out)
    write_exports(out)
    return generated(out)


def generated(root: Path) -> dict[str, bytes]:
    """The generated files under `root` by file name."""
    files = (path for pattern in GENERATED for path in (root / PACKAGE).glob(pattern))
    return {path.name: path.read_bytes() for path in files}


def main() -> int:
    """Write the generated code, or with `--check` name what differs and return 1."""
    parser = argparse.ArgumentParser(description="Generate the Python code of the contract.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the code is not up to date")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as out:
        expected = generate(Path(out))
    actual = generated(ROOT)
    changed = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if check:
        for name in changed:
            sys.stderr.write(f"{PACKAGE / name} is not up to date: run `python protos/generate.py`\n")
        return 1 if changed else 0
    for name in changed:
        path = ROOT / PACKAGE / name
        if name in expected:
            path.write_bytes(expected[name])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
