"""Checks and what they find. All run at once, each within a deadline: one that hangs costs seconds, hides nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went; a warning lets the service run."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was looked at, how it is, and how to mend it where it is not well."""

    subject: str
    verdict: Verdict
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Looks at one thing within `deadline_s`; `mend` is told if it takes longer. `look` may find several things."""

    subject: str
    look: Callable[[], Awaitable[Sequence[Finding]]]
    deadline_s: float
    mend: str


def ok(subject: str, detail: str) -> Finding:
    """Nothing to mend."""
    return Finding(subject, Verdict.OK, detail)


def warning(subject: str, detail: str, mend: str) -> Finding:
    """Runs, but should be looked at."""
    return Finding(subject, Verdict.WARNING, detail, mend)


def failed(subject: str, detail: str, mend: str) -> Finding:
    """Does not work."""
    return Finding(subject, Verdict.FAILED, detail, mend)


async def examine(checks: Sequence[Check]) -> list[Finding]:
    """Run all checks side by side; their findings come in the order of the checks."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_examine(check)) for check in checks]
    return [finding for task in running for finding in task.result()]


async def _examine(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.deadline_s):
            return await check.look()
    except TimeoutError:
        return [failed(check.subject, f"no answer within {check.deadline_s:g} s", check.mend)]
    except Exception as error:
        # A check must not hide the others; what it quotes may be a vendor's, so only its type is told.
        return [failed(check.subject, f"could not be checked ({type(error).__name__})", check.mend)]
