"""Counts every call of the contract by its method and gRPC status, and makes a span of it."""

from __future__ import annotations  # gRPC's classes take type arguments in their stubs alone

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import Counter

from avatar_service import clock, metrics, tracing

Behaviour = Callable[[Any, Any], Awaitable[Any]]
_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class MeterCalls(grpc.aio.ServerInterceptor):
    """Meters the calls of one service; health checks and reflection are none of its."""

    def __init__(self, service: ServiceDescriptor) -> None:
        self._prefix = f"/{service.full_name}/"
        # Not as the handler says: interceptors further in may serve a unary method as a stream.
        self._streams = {method.name: method.server_streaming for method in service.methods}
        for name, streams in self._streams.items():
            if streams:
                metrics.SESSIONS_ACTIVE.labels(name)  # an idle process says 0: an autoscaler takes one without for full

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the method's handler and put the meter around what it does."""
        handler: Any = await continuation(handler_call_details)
        called = str(handler_call_details.method)
        if handler is None or not called.startswith(self._prefix):
            return handler  # type: ignore[no-any-return]  # None says that there is no such method
        streams = self._streams.get(called.rpartition("/")[2], False)
        for kind in _KINDS:
            behaviour = getattr(handler, kind)
            if inspect.iscoroutinefunction(behaviour):
                # RpcMethodHandler is a named tuple in all but its stub.
                return handler._replace(**{kind: _metered(behaviour, called[1:], streams)})  # type: ignore[no-any-return]
        return handler  # type: ignore[no-any-return]  # the generated base's: this server does not serve the method


def _metered(behaviour: Behaviour, name: str, streams: bool) -> Behaviour:
    """`name` is the method's with its service."""
    method = name.rpartition("/")[2]

    async def metered(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        metered_call = _session(method, context) if streams else _unary(method, context)
        with tracing.call(name, context.invocation_metadata() or (), partial(code_of, context)), metered_call:
            return await behaviour(request, context)

    return metered


@contextmanager
def _session(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
    active, began_s = metrics.SESSIONS_ACTIVE.labels(method), clock.now()
    active.inc()
    try:
        with _counted(metrics.SESSIONS, method, context):
            yield
    finally:
        active.dec()
        metrics.SESSION_TIME.labels(method).observe(clock.now() - began_s)


@contextmanager
def _unary(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
    with _counted(metrics.UNARY_CALLS, method, context):
        yield


@contextmanager
def _counted(counter: Counter, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
    code = "INTERNAL"  # unless the block tells otherwise
    try:
        yield
        code = code_of(context)
    except asyncio.CancelledError:
        code = "CANCELLED"
        raise
    except grpc.aio.AbortError:
        code = code_of(context)
        raise
    finally:
        counter.labels(method, code).inc()


def code_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The status that the handler has set, by name; gRPC has it as a number as long as it is OK."""
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else "OK"
