"""What a service process holds, seen from outside: memory, descriptors, threads, and its asyncio tasks."""

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.stack import ServiceProcess

SCRAPE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process holds at one moment."""

    rss_mb: float
    descriptors: int
    threads: int
    tasks: int
    sessions: int

    @classmethod
    async def of(cls, service: ServiceProcess) -> Self:
        """What `service` holds now, by the kernel and by its own metrics."""
        process = Path("/proc", str(service.program.pid))
        status = (process / "status").read_text()
        exposed = await asyncio.to_thread(_scraped, f"{service.metrics_url}/metrics")
        return cls(
            rss_mb=int(_found(r"^VmRSS:\s+(\d+)", status)) / 1024,
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(_found(r"^Threads:\s+(\d+)", status)),
            tasks=round(float(_found(r"^avatar_tasks (\S+)", exposed))),
            sessions=round(sum(float(n) for n in re.findall(r"^avatar_sessions_active{.*} (\S+)", exposed, re.M))),
        )


async def settled(service: ServiceProcess, is_settled: Callable[[Usage], bool], within_s: float) -> Usage:
    """What `service` holds once that is as it should be, at the latest after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not is_settled(usage := await Usage.of(service)) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.2)
    return usage


def _scraped(url: str) -> str:
    with urllib.request.urlopen(url, timeout=SCRAPE_WITHIN_S) as response:
        text: str = response.read().decode()
    return text


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, f"no {pattern!r} in:\n{text[:2_000]}"
    return found[1]
