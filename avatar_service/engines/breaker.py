"""Leaving an engine alone that fails again and again, so that whoever needs it need not wait to find that out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from avatar_service import clock, metrics
from avatar_service.errors import EngineError, EngineUnavailable, Fault
from avatar_service.log import get_logger
from avatar_service.settings import LimitSettings

log = get_logger(__name__)


class Breaker:
    """Counts failures in a row that another attempt might mend. Closed, it admits every attempt. Open, it admits none
    for `breaker_s`, then one at a time, until one answers.
    """

    def __init__(self, stage: str, engine: str) -> None:
        self._stage, self._engine = stage, engine
        self._failures = 0
        self._open_until_s: float | None = None
        self._tried = False
        """Whether an attempt is under way that was admitted although it is open."""
        self._tell()

    @property
    def is_open(self) -> bool:
        """Whether attempts are turned away, or one is to show whether they need be."""
        return self._open_until_s is not None

    @contextmanager
    def attempt(self, limits: LimitSettings) -> Iterator[None]:
        """An attempt, judged by how the block ends. Raises EngineUnavailable, with the block not begun, if it is not
        admitted. A refusal and a cancel say nothing of the engine.
        """
        trial = self._admit()
        try:
            yield
        except EngineError as error:
            if error.retryable:
                self._failed(limits, trial)
            raise
        else:
            self._failures = 0
            self._tell()
        finally:
            if trial:
                self._tried = False

    def answered(self) -> None:
        """The first output of an attempt has come."""
        if self.is_open:
            self._open_until_s, self._failures = None, 0
            self._tell()
            log.info("breaker_closed", stage=self._stage, engine=self._engine)

    def _admit(self) -> bool:
        """Whether the attempt is to show that the engine works again."""
        if self._open_until_s is None:
            return False
        left_s = self._open_until_s - clock.now()
        if left_s > 0 or self._tried:
            message = f"left alone after {self._failures} failures in a row"
            raise EngineUnavailable(
                self._stage, self._engine, message, Fault.OVERLOADED, retry_after_s=max(0.0, left_s)
            )
        self._tried = True
        return True

    def _failed(self, limits: LimitSettings, trial: bool) -> None:
        self._failures += 1
        if trial or (not self.is_open and self._failures >= limits.breaker_failures):
            self._open_until_s = clock.now() + limits.breaker_s
            told = {"stage": self._stage, "engine": self._engine, "failures": self._failures}
            log.warning("breaker_opened", **told, open_s=limits.breaker_s)
        self._tell()

    def _tell(self) -> None:
        metrics.CONSECUTIVE_FAILURES.labels(self._stage, self._engine).set(self._failures)
        metrics.CIRCUIT_OPEN.labels(self._stage, self._engine).set(self.is_open)


_breakers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], Breaker]] = WeakKeyDictionary()
"""Moments mean something on one loop only, so each loop has its own; a process has one loop."""


def breaker(stage: str, engine: str) -> Breaker:
    """The one of this engine in this stage, shared by all sessions."""
    of_loop = _breakers.setdefault(asyncio.get_running_loop(), {})
    if (stage, engine) not in of_loop:
        of_loop[stage, engine] = Breaker(stage, engine)
    return of_loop[stage, engine]
