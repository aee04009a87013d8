"""Requests that are no message of the contract, told apart from faults of our own.

gRPC ends a call whose request cannot be parsed with INTERNAL. Here such a request reaches the reader as a value, and is
refused like any other mistake of the caller.
"""

from __future__ import annotations  # gRPC's classes take type arguments in their stubs alone

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError


class Undecodable:
    """Stands in for a request whose bytes could not be parsed."""


class KeepUndecodable(grpc.aio.ServerInterceptor):
    """Makes every method's deserializer return Undecodable where it would raise."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the method's handler and wrap its deserializer."""
        handler: Any = await continuation(handler_call_details)
        if handler is None or not (handler.request_streaming and handler.response_streaming):
            return handler  # type: ignore[no-any-return]  # None says that there is no such method
        # RpcMethodHandler is a named tuple in all but its stub.
        return handler._replace(request_deserializer=_tolerant(handler.request_deserializer))  # type: ignore[no-any-return]


def _tolerant(deserialize: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def tolerant(data: bytes) -> object:
        try:
            return deserialize(data)
        except DecodeError:
            return Undecodable()

    return tolerant
