"""Sending on a call without losing what the server says when it ends the call meanwhile."""

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave gRPC's core out

from avatar_client.errors import StreamEnded, from_rpc_error


class RequestSender:
    """Sends requests on one call, one at a time.

    gRPC's own `write` takes a send that fails for the end of the call, with INTERNAL and "Internal error from Core",
    and then drops the status that the server has sent (grpcio 1.85, `grpc/aio/_call.py`). Sending beneath it leaves
    that status to the task that reads the call.
    """

    def __init__(self, call: Any, address: str) -> None:
        """Send on `call` to `address`."""
        self._call = call
        self._address = address

    async def connect(self) -> None:
        """Wait until the call can take requests; raises ServiceError."""
        try:
            await self._call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._address) from error

    async def send(self, request: Message) -> None:
        """Send one request. Raises StreamEnded if the call is over; reading it tells why."""
        if self._call.done():
            raise StreamEnded(f"the stream to {self._address} has ended")
        try:
            await self._call._cython_call.send_serialized_message(request.SerializeToString())
        except cygrpc.InternalError as error:
            raise StreamEnded(f"the stream to {self._address} has ended") from error
        except asyncio.CancelledError:
            self._call.cancel()  # the request may be half sent
            raise

    async def end(self) -> None:
        """Half-close; nothing happens if the call is over."""
        try:
            await self._call.done_writing()
        except (cygrpc.InternalError, asyncio.InvalidStateError, grpc.aio.AioRpcError):
            return  # reading the call tells why it is over
