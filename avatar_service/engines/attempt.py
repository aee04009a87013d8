"""One request to an engine, as logs and metrics tell it."""

import asyncio
from types import TracebackType
from typing import Any, Self

from avatar_service import clock, metrics
from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.log import get_logger

log = get_logger(__name__)


class Attempt:
    """Use as `with`; say `output()` for each output. Ends as `ok`, `timeout`, `unavailable`, `rejected` or `cancelled`.

    Logged at DEBUG: with vendors' streams there is one a sentence.
    """

    def __init__(self, stage: str, engine: str, number: int = 1, of: int = 1) -> None:
        self._labels = (stage, engine)
        self._log = log.bind(stage=stage, engine=engine, attempt=number, attempts=of)
        self._began_s = clock.now()
        self._first_output_s: float | None = None
        self._outputs = 0
        self._bytes = 0
        self._request_id = ""
        self.outcome = ""

    def identified(self, request_id: str | None) -> None:
        """The vendor has told its own name of the request, to ask it about."""
        self._request_id = request_id or ""

    def received(self, size_bytes: int) -> None:
        """So many bytes of the answer have come."""
        self._bytes += size_bytes

    def output(self) -> None:
        """An output has come."""
        self._outputs += 1
        if self._first_output_s is None:
            self._first_output_s = clock.now() - self._began_s
            metrics.FIRST_OUTPUT.labels(*self._labels).observe(self._first_output_s)

    def __enter__(self) -> Self:
        self._log.debug("attempt_started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.outcome = _outcome(error)
        metrics.ATTEMPTS.labels(*self._labels, self.outcome).inc()
        times: dict[str, Any] = {"duration_ms": _ms(clock.now() - self._began_s)}
        if self._first_output_s is not None:
            times["first_output_ms"] = _ms(self._first_output_s)
        if self._request_id:
            times["vendor_request_id"] = self._request_id
        if self._bytes:
            times["bytes"] = self._bytes
        self._log.debug("attempt_finished", outcome=self.outcome, outputs=self._outputs, **times)


def _outcome(error: BaseException | None) -> str:
    match error:
        case None:
            return "ok"
        case EngineTimeout():
            return "timeout"
        case EngineUnavailable():
            return "unavailable"
        case EngineRejected():
            return "rejected"
        case asyncio.CancelledError() | GeneratorExit():
            return "cancelled"
        case _:
            return "error"


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
