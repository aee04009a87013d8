"""One request to an engine, as logs, metrics and spans tell it."""

import asyncio
import re
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from avatar_service import clock, metrics, tracing
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.log import get_logger

log = get_logger(__name__)

OPERATIONS = {"transcribe": "transcription", "think": "chat", "speak": "speech"}
"""What OpenTelemetry's conventions for generative models call what a stage asks for: they name chat alone."""
REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
"""What vendors' names of requests look like: anything else could be a text."""


class Attempt:
    """Use as `with`; say `output()` for each output. Ends as `ok`, `timeout`, `unavailable`, `rejected` or `cancelled`.

    Logged at DEBUG: with vendors' streams there is one a sentence. Its span lies below the one that was current when it
    began.
    """

    def __init__(self, stage: str, engine: str, number: int = 1, of: int = 1) -> None:
        self._labels = (stage, engine)
        self._number, self._of = number, of
        self._log = log.bind(stage=stage, engine=engine, attempt=number, attempts=of)
        self._began_s = clock.now()
        self._first_output_s: float | None = None
        self._outputs = 0
        self._bytes = 0
        self._request_id = ""
        self._span: Span = INVALID_SPAN
        self.outcome = ""

    def asks(self, model: str, url: str = "") -> None:
        """What is asked for, and where the vendor is."""
        if self._span.is_recording():
            operation = OPERATIONS.get(self._labels[0], self._labels[0])
            provider = self._labels[1].partition("-")[0]  # a vendor's second engine has a number
            asked = {tracing.OPERATION: operation, tracing.PROVIDER: provider, tracing.MODEL: model}
            self._span.set_attributes(asked | tracing.server(url))

    def used(self, input_tokens: int, output_tokens: int) -> None:
        """The vendor has told what it counts."""
        if self._span.is_recording() and (input_tokens or output_tokens):
            tokens = {tracing.INPUT_TOKENS: input_tokens, tracing.OUTPUT_TOKENS: output_tokens}
            self._span.set_attributes(tokens)

    def identified(self, request_id: str | None) -> None:
        """The vendor has told its own name of the request, to ask it about. What is none is left out."""
        named = REQUEST_ID.fullmatch(request_id or "")
        self._request_id = named[0] if named else ""

    def received(self, size_bytes: int) -> None:
        """So many bytes of outputs have come: text in UTF-8, voice as the vendor encodes it, frames as JPEG."""
        self._bytes += size_bytes

    def output(self) -> None:
        """An output has come."""
        self._outputs += 1
        if self._first_output_s is None:
            self._first_output_s = clock.now() - self._began_s
            metrics.FIRST_OUTPUT.labels(*self._labels).observe(self._first_output_s, metrics.exemplar(self._span))
            if self._span.is_recording():
                self._span.add_event(tracing.FIRST_OUTPUT)

    def current(self) -> AbstractContextManager[None]:
        """What is done in the block lies below its span; not for generators, see tracing.py."""
        return tracing.current(self._span)

    def __enter__(self) -> Self:
        stage, engine = self._labels
        self._span = tracing.started(
            f"{stage} {engine}",
            {
                tracing.STAGE: stage,
                tracing.ENGINE: engine,
                tracing.ATTEMPT: self._number,
                tracing.ATTEMPTS: self._of,
            },
            SpanKind.CLIENT,
        )
        with self.current():
            self._log.debug("attempt_started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.outcome, took_s = _outcome(error), clock.now() - self._began_s
        metrics.ATTEMPTS.labels(*self._labels, self.outcome).inc()
        metrics.REQUEST_TIME.labels(*self._labels).observe(took_s, metrics.exemplar(self._span))
        metrics.RECEIVED_BYTES.labels(*self._labels).inc(self._bytes)
        told: dict[str, Any] = {"duration_ms": _ms(took_s)}
        if self._first_output_s is not None:
            told["first_output_ms"] = _ms(self._first_output_s)
        if isinstance(error, EngineError):
            self.identified(self._request_id or error.request_id)
            told["fault"] = error.fault.value
        if self._request_id:
            told["vendor_request_id"] = self._request_id
        if self._bytes:
            told["bytes"] = self._bytes
        with self.current():
            self._log.debug("attempt_finished", outcome=self.outcome, outputs=self._outputs, **told)
        self._end_span(error)

    def _end_span(self, error: BaseException | None) -> None:
        if self._span.is_recording():
            self._span.set_attributes({tracing.OUTPUTS: self._outputs, tracing.BYTES: self._bytes})
            if self._request_id:
                self._span.set_attribute(tracing.REQUEST_ID, self._request_id)
            if status := _http_status(error):
                self._span.set_attribute(tracing.HTTP_STATUS, status)
        tracing.ended(self._span, error, self.outcome)


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


def _http_status(error: BaseException | None) -> int | None:
    """The status with which a vendor refused, as the errors of its SDK tell it."""
    status = getattr(error.__cause__, "status_code", None) if error else None
    return status if isinstance(status, int) else None


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
