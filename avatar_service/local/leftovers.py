"""Traces of Triton servers: shared memory regions and folders of symlinks, by the names that we give them."""

import contextlib
import shutil
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "avatar-triton-"
"""How all of these names begin; the pid of the server's owner follows."""


def remove_leftovers() -> None:
    """Remove what runs of processes that are gone have left."""
    names = {path.name for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())) for path in folder.glob(f"{PREFIX}*")}
    for name in names:
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            remove(f"{PREFIX}{pid}-")


def remove(prefix: str) -> None:
    """Remove our shared memory regions and symlink folders whose names begin so."""
    for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        for path in folder.glob(f"{prefix}*"):
            with contextlib.suppress(OSError):  # another user's, or gone meanwhile
                shutil.rmtree(path) if path.is_dir() else path.unlink()
