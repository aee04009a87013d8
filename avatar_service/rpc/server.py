"""The gRPC server: built, started, drained and stopped in one place."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from avatar.v1 import add_AvatarServiceServicer_to_server
from avatar.v1.avatar_service_pb2 import DESCRIPTOR
from avatar_service.access.admission import Admission
from avatar_service.access.credentials import Credentials
from avatar_service.access.opening import open_credentials
from avatar_service.access.quotas import open_quotas
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.maker import AvatarMaker
from avatar_service.avatars.workers import ThreadWorkers
from avatar_service.engines.base import Engines
from avatar_service.errors import StartupError
from avatar_service.log import get_logger
from avatar_service.rpc.authenticating import Authenticate
from avatar_service.rpc.connections import connection_options
from avatar_service.rpc.metering import MeterCalls
from avatar_service.rpc.monitoring import Readiness
from avatar_service.rpc.servicer import AvatarServicer
from avatar_service.rpc.streaming import Service
from avatar_service.rpc.tls import Certificates
from avatar_service.rpc.undecodable import KeepUndecodable
from avatar_service.session.stores.opening import open_sessions
from avatar_service.settings import Settings
from avatar_service.settings.types import split_address

log = get_logger(__name__)

GOODBYE_S = 0.2
"""Grace once the streams are over: connected clients are told to go, rather than cut off."""
SPARE_THREADS = 2
"""Beside those that decode: for uploads and for the records of the store."""
CLEAN_UP_S = 2.0
"""Longest that a stream which was ended may take to give back what it holds."""
_SERVICE = DESCRIPTOR.services_by_name["AvatarService"]
SERVICE: str = _SERVICE.full_name


@asynccontextmanager
async def running_server(
    settings: Settings, engines: Engines, catalogue: Catalogue, readiness: Readiness | None = None
) -> AsyncIterator[str]:
    """Serve inside the block; yields the bound address.

    At the end new streams are refused and open ones get the grace; the engines must outlive the block. `readiness`
    follows the health service. Raises StartupError if the address cannot be bound.
    """
    async with AsyncExitStack() as stack:
        credentials = await stack.enter_async_context(open_credentials(settings.access))
        workers = stack.enter_context(ThreadWorkers(settings.preparation.at_once + SPARE_THREADS, "avatars"))
        encoders = stack.enter_context(ThreadWorkers(len(os.sched_getaffinity(0)), "encode"))
        maker = AvatarMaker(catalogue, engines.faces, settings.preparation, workers)
        quotas = await stack.enter_async_context(open_quotas(settings.sessions.redis_url.get_secret_value()))
        service = Service(
            settings,
            engines,
            catalogue,
            Admission(settings.server.max_sessions, per_tenant=settings.server.sessions_per_tenant, quotas=quotas),
            await stack.enter_async_context(maker),
            workers,
            await stack.enter_async_context(open_sessions(settings.sessions)),
            encoders,
        )
        async with _listening(service, credentials, readiness or Readiness()) as address:
            yield address


@asynccontextmanager
async def _listening(service: Service, credentials: Credentials, readiness: Readiness) -> AsyncIterator[str]:
    settings, admission, checks = service.settings, service.admission, health.aio.HealthServicer()
    server = grpc.aio.server(
        interceptors=[MeterCalls(_SERVICE), Authenticate(credentials), KeepUndecodable(SERVICE)],
        options=connection_options(settings),
    )
    add_AvatarServiceServicer_to_server(AvatarServicer(service), server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if settings.server.reflection:
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = _bind(server, settings)
    await server.start()
    for name in ("", SERVICE):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    readiness.state = "ready"
    log.info("serving", address=address)
    try:
        yield address
    finally:
        readiness.state = "draining"
        # Shielded: a second Ctrl-C must not leave the port open.
        await asyncio.shield(_stop(server, admission, checks, settings.server.stop_grace_s))


def require_free(listen: str, name: str = "AVATAR_LISTEN") -> None:
    """Raise StartupError, which names the setting, unless the address can be listened on."""
    host, port = split_address(listen)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartupError(f"{name}: cannot listen on {listen} ({reason}); {host}:0 takes a free port") from error


def _bind(server: grpc.aio.Server, settings: Settings) -> str:
    listen = settings.server.listen
    certificates = Certificates(settings.access) if settings.access.tls_certificate else None
    require_free(listen)  # gRPC does not tell why an address cannot be bound
    try:
        if certificates:
            port = server.add_secure_port(listen, certificates.credentials)
        else:
            port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise StartupError(f"AVATAR_LISTEN: cannot listen on {listen}; another program has just taken it") from error
    return f"{listen.rpartition(':')[0]}:{port}"


async def _stop(
    server: grpc.aio.Server, admission: Admission, checks: health.aio.HealthServicer, grace_s: float
) -> None:
    """Say that we go and refuse new streams, wait for the open ones, then end those that are left."""
    admission.drain()
    await checks.enter_graceful_shutdown()
    log.info("draining", sessions=admission.sessions, grace_s=grace_s)
    await _emptied(admission, grace_s)
    log.info("stopping", sessions=admission.sessions)
    admission.close()
    # What handlers hold of the engines and of the store is given back before gRPC breaks off those that are left.
    await _emptied(admission, CLEAN_UP_S)
    await server.stop(GOODBYE_S)
    await _emptied(admission, CLEAN_UP_S)


async def _emptied(admission: Admission, within_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await admission.emptied()
