"""The gRPC health service on a port of its own, in plain text and without credentials: for a kubelet's probes.

It is answered by threads, not by the event loop that serves the streams, so it can tell that this is stuck. Names:

    ""                        readiness: SERVING while new streams are taken in
    avatar.v1.AvatarService   the same
    liveness                  SERVING from the first moment to the last, unless the event loop is stuck

Everything is NOT_SERVING while the loop is stuck. The port is open before the engines are, until after they are closed.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from avatar_service.errors import StartupError
from avatar_service.rpc.loop_watch import STUCK_S, loop_watched
from avatar_service.rpc.monitoring import Readiness
from avatar_service.rpc.server import SERVICE, require_free

LIVENESS = "liveness"
"""The name by which a probe asks whether the process must be started again."""
THREADS = 2
CALLS = 100
"""Most probes at one time."""
STOP_S = 0.2
"""Grace for answers that are being sent at the end."""


class _Answers:
    """What each name is answered, by the state of the process and of its loop."""

    def __init__(self, readiness: Readiness) -> None:
        self.servicer = health.HealthServicer()
        self._readiness = readiness
        self._is_moving = True

    def loop_moves(self, is_moving: bool) -> None:
        """The loop got stuck, or moves again."""
        self._is_moving = is_moving
        self.tell()

    def tell(self) -> None:
        """Answer as things are now."""
        self._set(LIVENESS, self._is_moving)
        for name in ("", SERVICE):
            self._set(name, self._is_moving and self._readiness.state == "ready")

    def _set(self, name: str, is_serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        self.servicer.set(name, states.SERVING if is_serving else states.NOT_SERVING)


@asynccontextmanager
async def health_served(listen: str, readiness: Readiness, stuck_s: float = STUCK_S) -> AsyncIterator[str]:
    """Watch the event loop during the block, and answer probes on `listen` unless it is empty.

    Yields the bound address, or an empty text. Raises StartupError if the address cannot be bound.
    """
    answers = _Answers(readiness)
    async with loop_watched(answers.loop_moves, stuck_s):
        if not listen:
            yield ""
            return
        with readiness.telling(answers.tell):
            server, address = _bound(listen, answers)
            server.start()
            try:
                yield address
            finally:
                await asyncio.to_thread(server.stop(STOP_S).wait)


def _bound(listen: str, answers: _Answers) -> tuple[grpc.Server, str]:
    require_free(listen, "AVATAR_HEALTH_LISTEN")
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="health")
    server = grpc.server(threads, options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=CALLS)
    health_pb2_grpc.add_HealthServicer_to_server(answers.servicer, server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise StartupError(
            f"AVATAR_HEALTH_LISTEN: cannot listen on {listen}; another program has just taken it"
        ) from error
    return server, f"{listen.rpartition(':')[0]}:{port}"
