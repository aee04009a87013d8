"""What processes took of which cores, as Linux counts it."""

import contextlib
import os
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
PRIORITY = -10
"""Nice value of what is measured, where this is allowed: other work on the machine then disturbs it less."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The counters at one moment: core time of two processes in seconds, and that of the server's core in ticks."""

    at_s: float
    server_s: float
    proxy_s: float
    core_idle: int
    core_all: int

    @classmethod
    def now(cls, core: int, server: int, proxy: int | None) -> Self:
        """Read them for this core and these process ids."""
        ticks = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
        user, nice, system, idle, iowait, irq, softirq, steal, *_ = map(int, ticks.split()[1:])
        busy = user + nice + system + irq + softirq + steal
        proxy_s = _core_s(proxy) if proxy else 0.0
        return cls(time.monotonic(), _core_s(server), proxy_s, idle + iowait, busy + idle + iowait)


def busy_share(before: Clock, after: Clock) -> float:
    """For how much of the time between the server's core did anything."""
    return 1.0 - (after.core_idle - before.core_idle) / max(1, after.core_all - before.core_all)


def rss_mb(pid: int) -> float:
    """Memory of a process."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1_000


def pin(pid: int, cores: Set[int]) -> None:
    """Keep all threads of a process on these cores, and those that they start."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def favour(pid: int) -> None:
    """Let the threads of a process come before other work, where this is allowed."""
    # Where Linux groups the processes of a terminal or a session, their niceness counts within the group alone.
    group = Path(f"/proc/{pid}/autogroup")
    with contextlib.suppress(OSError):
        group.write_text(f"{PRIORITY}")
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), PRIORITY)


def _core_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
