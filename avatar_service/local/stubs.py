"""The processes in which Triton's Python backend runs models, and their end, which Triton tells nobody of.

Watching processes costs nothing and is certain: a model that is slow, on a machine that is busy, is never taken for a
dead one.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

PROGRAM = "triton_python_backend_stub"


def stubs(server_pid: int, model: str) -> frozenset[int]:
    """The living processes of a model below a server; none where the kernel shows none."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != server_pid:
                continue
            command = (folder / "cmdline").read_bytes().decode(errors="replace")  # a zombie has none
            if PROGRAM in command and f"/{model}/" in command:
                found.add(int(folder.name))
    return frozenset(found)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or nothing but its exit code is left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def one_ended(pids: Iterable[int]) -> None:
    """Wait until any of these processes has ended; for ever where there are none."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.ExitStack() as watching:
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)  # readable when the process has ended
            except ProcessLookupError:
                return
            watching.callback(os.close, descriptor)
            loop.add_reader(descriptor, ended.set)
            watching.callback(loop.remove_reader, descriptor)
        await ended.wait()
