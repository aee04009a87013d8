"""Calls of the service by name, with the generated messages and plain grpcio: what a wire script is played on.

gRPC's blocking calls, each read by a thread: of a call that has ended while responses are unread, `grpc.aio` forgets
the status at the next write, and says INTERNAL.
"""

import asyncio
import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from avatar.v1 import Status
from avatar.v1.avatar_service_pb2 import DESCRIPTOR

DETAILS = "grpc-status-details-bin"
METHODS: dict[str, MethodDescriptor] = dict(DESCRIPTOR.services_by_name["AvatarService"].methods_by_name)


@dataclass(frozen=True, slots=True)
class End:
    """How a call ended."""

    code: str
    message: str
    status: Status
    """What the trailing metadata say; empty where they say nothing."""


class WireCall:
    """One call. Reads ahead of nobody: a response is taken off the connection when it is asked for."""

    def __init__(
        self, channel: grpc.Channel, name: str, metadata: Sequence[tuple[str, str]], deadline_s: float
    ) -> None:
        self._method = METHODS[name]
        self._requests = queue.SimpleQueue[bytes | None]()
        # Every method is called as if it took a stream: on the wire there is no difference.
        make: Any = channel.stream_stream if self._method.server_streaming else channel.stream_unary
        path = f"/{self._method.containing_service.full_name}/{name}"
        call = make(path, response_deserializer=GetMessageClass(self._method.output_type).FromString)
        requests: Iterator[bytes] = iter(self._requests.get, None)
        begin = call if self._method.server_streaming else call.future
        self._call: Any = begin(requests, metadata=metadata, timeout=deadline_s)
        self._answered = False

    @property
    def request(self) -> type[Message]:
        """The class of its requests."""
        return GetMessageClass(self._method.input_type)

    def send(self, data: bytes) -> None:
        """Send one request; what takes one alone is half-closed with it. A stream that has ended takes none."""
        self._requests.put(data)
        if not self._method.client_streaming:
            self.half_close()

    def half_close(self) -> None:
        """Say that nothing more comes."""
        self._requests.put(None)

    def cancel(self) -> None:
        """Cancel the call, if it is open."""
        self._call.cancel()
        self._requests.put(None)

    async def read(self) -> Message | None:
        """The next response, or None at the end of the call, however it ended."""
        response = await asyncio.to_thread(self._read)
        assert response is None or isinstance(response, Message)
        return response

    async def end(self) -> End:
        """How the call ended; waits until it has."""
        return await asyncio.to_thread(self._end)

    def _read(self) -> object:
        try:
            if self._method.server_streaming:
                return next(self._call, None)
            self._answered, answered = True, self._answered
            return None if answered else self._call.result()
        except (grpc.RpcError, grpc.FutureCancelledError):
            return None

    def _end(self) -> End:
        details = dict(self._call.trailing_metadata() or ()).get(DETAILS, b"")
        return End(self._call.code().name, self._call.details(), Status.FromString(details))
