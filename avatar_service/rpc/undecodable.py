"""Requests that are no message of the contract, told apart from faults of our own.

gRPC ends a call whose request cannot be parsed with INTERNAL. Here such a request reaches the reader as a value, and is
refused like any other mistake of the caller.
"""

from __future__ import annotations  # gRPC's classes take type arguments in their stubs alone

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands in for a request whose bytes could not be parsed; `expected` names the message that they should be."""

    expected: str


class KeepUndecodable(grpc.aio.ServerInterceptor):
    """Makes the deserializers of one service return Undecodable where they would raise.

    Each method takes the message that is named after it, as the contract's style wants.
    """

    def __init__(self, service: str) -> None:
        self._prefix = f"/{service}/"
        self._package = service.rpartition(".")[0]

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the method's handler and wrap its deserializer."""
        handler: Any = await continuation(handler_call_details)
        called = str(handler_call_details.method)
        if handler is None or not called.startswith(self._prefix):
            return handler  # type: ignore[no-any-return]  # None says that there is no such method
        expected = f"{self._package}.{called.removeprefix(self._prefix)}Request"
        # RpcMethodHandler is a named tuple in all but its stub.
        return handler._replace(request_deserializer=_tolerant(handler.request_deserializer, expected))  # type: ignore[no-any-return]


def _tolerant(deserialize: Callable[[bytes], object], expected: str) -> Callable[[bytes], object]:
    def tolerant(data: bytes) -> object:
        try:
            return deserialize(data)
        except DecodeError:
            return Undecodable(expected)

    return tolerant
