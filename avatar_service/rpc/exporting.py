"""Spans to a collector, by OTLP over gRPC.

They wait in a queue of bounded length and are sent from a thread of the exporter's own: a collector that is slow or
gone costs spans, never a turn. What else OpenTelemetry lets an operator choose (certificates, sampling, sizes of queue
and batch, attributes of the resource) its SDK reads from the process environment by the names of its specification.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from avatar_service import tracing
from avatar_service.errors import StartupError
from avatar_service.log import get_logger
from avatar_service.settings import TracingSettings
from avatar_service.settings.types import split_headers

log = get_logger(__name__)

FLUSH_S = 2.0
"""Longest wait at the end for the spans that are not sent yet."""


@asynccontextmanager
async def exported(settings: TracingSettings) -> AsyncIterator[None]:
    """Send the spans of the block to the collector of the settings; without one, make none. Raises StartupError."""
    if not settings.endpoint:
        yield
        return
    exporter, provider = _exporting(settings)
    log.info("spans_exported", endpoint=settings.endpoint)
    try:
        with tracing.recorded(provider):
            yield
    finally:
        await _finish(provider, exporter)


class _Exporter(OTLPSpanExporter):
    """Can be told twice to end."""

    _has_ended = False

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Give up what is being sent."""
        if not self._has_ended:
            self._has_ended = True
            super().shutdown(timeout_millis)


def _exporting(settings: TracingSettings) -> tuple[_Exporter, TracerProvider]:
    """What sends spans, and what makes those that it sends."""
    headers = split_headers(settings.headers.get_secret_value())
    resource = Resource.create({SERVICE_NAME: settings.service_name, SERVICE_VERSION: version("avatar-service")})
    try:
        exporter = _Exporter(endpoint=settings.endpoint, headers=headers)
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=settings.batch))
    except Exception as error:  # of the variables that the SDK reads itself, which it checks here
        raise StartupError(f"OTEL_*: spans cannot be exported as these say ({error})") from error
    return exporter, provider


async def _finish(provider: TracerProvider, exporter: _Exporter) -> None:
    """Send what waits, within FLUSH_S."""
    stopping = asyncio.get_running_loop().run_in_executor(None, provider.shutdown)
    await asyncio.wait([stopping], timeout=FLUSH_S)
    if not stopping.done():
        log.warning("spans_lost", within_s=FLUSH_S)
        exporter.shutdown()  # whatever still waits for the collector returns at once
    await stopping
