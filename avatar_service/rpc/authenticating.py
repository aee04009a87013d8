"""Who calls, found out before anything of the call is read.

gRPC takes the message of a unary call off the wire before it runs the method. So every method is served here as a
stream, whose first message is read when its code asks for it; on the wire there is no difference. What stands before it
is the credential: without a good one the call ends, and not one byte of the client's has been looked at.
"""

from __future__ import annotations  # gRPC's classes take type arguments in their stubs alone

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from avatar_service.access.credentials import Arrived, Credentials
from avatar_service.access.identity import ANYBODY, Call, called_by, serving_call
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.status import rpc_errors
from avatar_service.rpc.tls import ServedConnections

EXEMPT = "/grpc.health.v1.Health/"
"""What needs no credential: probes and balancers have none."""

Context = grpc.aio.ServicerContext[Any, Any]


class Authenticate(grpc.aio.ServerInterceptor):
    """Asks every call for its credential; inside of a method `caller()` tells whose call it is."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._connections = ServedConnections()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the method's handler and put the credential before it."""
        handler: Any = await continuation(handler_call_details)
        called = str(handler_call_details.method)
        if handler is None:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._guarded(handler, called), handler.request_deserializer, handler.response_serializer
        )

    def _guarded(self, handler: Any, called: str) -> Callable[[AsyncIterator[Any], Context], Awaitable[None]]:
        method = called.rpartition("/")[2]

        async def guarded(requests: AsyncIterator[Any], context: Context) -> None:
            arrived = self._arrived(context)
            with serving_call(Call(method, arrived.peer)):
                identity = ANYBODY
                if not called.startswith(EXEMPT):
                    async with rpc_errors(context):
                        identity = await self._credentials.identify(arrived)
                with called_by(identity):
                    await _serve(handler, requests, context)

        return guarded

    def _arrived(self, context: Context) -> Arrived:
        proven: Any = context.auth_context()  # typed as if its values were one each
        if b"ssl" in proven.get("transport_security_type", ()):
            self._connections.note(context.peer())
        names = (*proven.get("peer_uri", ()), *proven.get("peer_dns", ()))
        metadata: Any = context.invocation_metadata() or ()
        return Arrived(metadata, context.peer(), tuple(name.decode("utf-8", "replace") for name in names))


async def _serve(handler: Any, requests: AsyncIterator[Any], context: Context) -> None:
    """Run a method of whichever kind as the stream that it is served as."""
    kinds = handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream
    behaviour = next(kind for kind in kinds if kind)
    given = requests if handler.request_streaming else await _only(context)
    if inspect.isasyncgenfunction(behaviour):
        async for response in behaviour(given, context):
            await context.write(response)
    elif inspect.iscoroutinefunction(behaviour):
        response = await behaviour(given, context)
        if not handler.response_streaming:
            await context.write(response)
    else:  # the generated base's: this server does not serve the method
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not serve the method")


async def _only(context: Context) -> Any:
    """The one message of a call that has one."""
    async with rpc_errors(context):
        request = await context.read()
        if request is grpc.aio.EOF:
            raise InvalidArgument("request", "is missing; this method takes one message", reason="MESSAGE_EMPTY")
        return request
