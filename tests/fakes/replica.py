"""A replica of the service that fails when it is told to, for tests of what stands before it.

It speaks the contract over a real socket and does nothing: a stream says which replica has it and stays open.
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from avatar.v1 import (
    AvatarServiceServicer,
    ConverseRequest,
    ConverseResponse,
    DeleteAvatarRequest,
    ListAvatarsRequest,
    ListAvatarsResponse,
    SessionStarted,
    add_AvatarServiceServicer_to_server,
)
from avatar.v1.avatar_service_pb2 import DESCRIPTOR

SERVICE: str = DESCRIPTOR.services_by_name["AvatarService"].full_name
Context = grpc.aio.ServicerContext[Any, Any]


class Replica(AvatarServiceServicer):
    """Serves on a free port while it is entered. `fails` has what the next calls of a method end with, one each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self.calls: Counter[str] = Counter()
        self.fails: dict[str, list[grpc.StatusCode]] = {}
        self._checks = health.aio.HealthServicer()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        add_AvatarServiceServicer_to_server(self, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._checks, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self.be(healthy=True)
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0)

    async def be(self, *, healthy: bool) -> None:
        """Say that it takes calls, or that it takes no more."""
        states = health_pb2.HealthCheckResponse
        await self._checks.set(SERVICE, states.SERVING if healthy else states.NOT_SERVING)

    async def Converse(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[ConverseRequest], context: Context
    ) -> None:
        """Say who has the stream, at first and for each message, until the client ends it."""
        await self._called("Converse", context)
        async for _ in request_iterator:
            await context.write(ConverseResponse(session_started=SessionStarted(session_id=self.name)))

    async def ListAvatars(  # noqa: N802  # the contract's name
        self, request: ListAvatarsRequest, context: Context
    ) -> ListAvatarsResponse:
        """Say who was asked."""
        del request
        await self._called("ListAvatars", context)
        return ListAvatarsResponse(next_page_token=self.name)

    async def DeleteAvatar(  # noqa: N802  # the contract's name
        self, request: DeleteAvatarRequest, context: Context
    ) -> Any:
        """Delete nothing."""
        del request
        await self._called("DeleteAvatar", context)
        await context.abort(grpc.StatusCode.NOT_FOUND, "there is none")

    async def _called(self, method: str, context: Context) -> None:
        self.calls[method] += 1
        if fails := self.fails.get(method):
            await context.abort(fails.pop(0), "told to fail")
