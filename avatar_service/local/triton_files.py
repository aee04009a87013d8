"""What Triton is started from: the server of the wheel, a backend for this Python, the library that this needs."""

import ctypes
import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

from avatar_service.errors import StartupError


def require_installed() -> None:
    """Raise StartupError unless Triton and the model can be started with this Python."""
    find_wheel()
    libpython_folder()
    inference_root()


def find_wheel() -> Path:
    """The ``tritonserver`` folder of the nvidia-pytriton wheel, found without importing it."""
    spec = importlib.util.find_spec("pytriton")
    folder = Path(spec.origin).parent / "tritonserver" if spec and spec.origin else None
    if folder is None or not (folder / "bin" / "tritonserver").is_file():
        raise StartupError("Triton's server is not installed; run: pip install 'avatar-service[inference]'")
    return folder


def link_backend(wheel: Path, folder: Path) -> Path:
    """A backend directory for this Python, of symlinks: the wheel keeps each version's stub in a folder of its own."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise StartupError(f"Triton has no Python backend for Python {version}; use 3.11 or 3.12")
    backend = folder / "python"
    backend.mkdir(parents=True, mode=0o700)
    for source in (stub, *(wheel / "backends" / "python").glob("*triton_python*")):
        (backend / source.name).symlink_to(source)
    return folder


def libpython_folder() -> str:
    """Where this Python's shared library lies, which the stub needs; empty if the loader finds it by itself."""
    name = (
        sysconfig.get_config_var("INSTSONAME") or f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    )
    for folder in (sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"):
        if folder and (Path(folder) / name).is_file():
            return str(folder)
    try:
        ctypes.CDLL(name)
    except OSError:
        package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        raise StartupError(
            f"{name} is missing, Triton's Python backend needs it; run: apt-get install {package}"
        ) from None
    return ""


def inference_root() -> str:
    """The folder to import ``inference`` from; the service itself never does."""
    spec = importlib.util.find_spec("inference")
    if spec is None or spec.origin is None:
        raise StartupError("the package inference is not installed; run: pip install 'avatar-service[inference]'")
    return str(Path(spec.origin).parents[1])


def search_path(*paths: str | None) -> str:
    """A search path of those that are not empty; an empty entry would mean the working directory."""
    return os.pathsep.join(path for path in paths if path)
