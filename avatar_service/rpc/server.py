"""The gRPC server: built, started, drained and stopped in one place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from avatar.v1 import add_AvatarServiceServicer_to_server
from avatar.v1.avatar_service_pb2 import DESCRIPTOR
from avatar_service.access.admission import Admission
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.engines.base import Engines
from avatar_service.errors import StartupError
from avatar_service.log import get_logger
from avatar_service.rpc.servicer import AvatarServicer
from avatar_service.rpc.undecodable import KeepUndecodable
from avatar_service.settings import Settings

log = get_logger(__name__)

GOODBYE_S = 0.2
"""Grace where no session is open: connected clients are told to go, rather than cut off."""
SERVICE: str = DESCRIPTOR.services_by_name["AvatarService"].full_name


@asynccontextmanager
async def running_server(settings: Settings, engines: Engines, catalogue: Catalogue) -> AsyncIterator[str]:
    """Serve inside the block; yields the bound address.

    At the end new streams are refused and open ones get the grace; the engines must outlive the block.
    Raises StartupError if the address cannot be bound.
    """
    server = grpc.aio.server(interceptors=[KeepUndecodable()], options=_options(settings))
    admission, checks = Admission(settings.server.max_sessions), health.aio.HealthServicer()
    add_AvatarServiceServicer_to_server(AvatarServicer(settings, engines, catalogue, admission), server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if settings.server.reflection:
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = _bind(server, settings.server.listen)
    await server.start()
    for name in ("", SERVICE):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    log.info("serving", address=address)
    try:
        yield address
    finally:
        # Shielded: a second Ctrl-C must not leave the port open.
        await asyncio.shield(_stop(server, admission, checks, settings.server.stop_grace_s))


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.limits.message_bytes),
        ("grpc.so_reuseport", 0),  # a port in use is an error, not a share of the connections
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _bind(server: grpc.aio.Server, listen: str) -> str:
    host = listen.rpartition(":")[0]
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise StartupError(
            f"AVATAR_LISTEN: cannot listen on {listen}; is it in use? `--listen {host}:0` takes a free port"
        ) from error
    return f"{host}:{port}"


async def _stop(
    server: grpc.aio.Server, admission: Admission, checks: health.aio.HealthServicer, grace_s: float
) -> None:
    admission.drain()
    await checks.enter_graceful_shutdown()
    await server.stop(grace_s if admission.sessions else GOODBYE_S)
