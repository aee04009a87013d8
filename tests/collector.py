"""A collector of spans by OTLP over gRPC, for tests: it takes them and answers, or hangs.

collector = Collector()
async with collecting(collector) as endpoint: ...
collector.spans
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans by OTLP; one that `hangs` answers nothing."""

    hangs: bool = False
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # OpenTelemetry's name
        """One batch."""
        self.requests.append(request)
        self.headers.append(dict(context.invocation_metadata()))
        if self.hangs:
            await asyncio.Event().wait()
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Any]:
        """Those that came, as the protocol has them, in the order of their beginnings."""
        scopes = [scope for each in self.requests for of in each.resource_spans for scope in of.scope_spans]
        return sorted((span for scope in scopes for span in scope.spans), key=lambda span: span.start_time_unix_nano)

    @property
    def names(self) -> list[str]:
        """Of the spans that came."""
        return [span.name for span in self.spans]


@asynccontextmanager
async def collecting(collector: Collector) -> AsyncIterator[str]:
    """Serve it on a free port during the block; yields the endpoint."""
    server = grpc.aio.server()
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server  # untyped
    add(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)
