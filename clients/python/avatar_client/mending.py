"""When a broken stream is worth another one, how soon, and for how long it is tried."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import grpc

from avatar_client.clock import now
from avatar_client.errors import ServiceError, Unavailable

RESUME_WITHIN_S: Final = 60.0
"""How long a broken conversation is tried to be resumed; the service keeps it for 120 s."""
FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 2.0
"""Between two attempts; a service may ask for up to LONGEST_ASKED_S."""
LONGEST_ASKED_S: Final = 10.0
STEADY_S: Final = 10.0
"""A resumed stream that lives for so long counts as mended; one that breaks before goes on with the same trouble."""

PASSING_REASONS: Final = (
    "SESSION_AGE_REACHED",
    "SESSIONS_EXHAUSTED",  # the place that the broken stream still holds will be free soon
    "QUOTA_EXHAUSTED",  # the tenant's, likewise
    "MESSAGE_RATE_EXCEEDED",  # what was sent too fast is sent again more slowly
    "DRAINING",  # another server, or this one begun anew, takes it
    "STORE_UNAVAILABLE",
)
CREDENTIAL_EXPIRED: Final = "CREDENTIAL_EXPIRED"
"""What ends a stream whose credential has come to its end; another stream asks for the present one."""
TRANSPORT_CODES: Final = (
    # What proxies, load balancers and gRPC itself say of a connection that went away.
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


def is_mendable(error: Exception, *, had_begun: bool = False) -> bool:
    """Whether another stream may go on where `error` ended one: the connection is gone, or the service ended it.

    `had_begun` says that the stream had been accepted; then its credential was good, and there may be a newer one.
    """
    if not isinstance(error, ServiceError):
        return False
    if error.reason in PASSING_REASONS or (had_begun and error.reason == CREDENTIAL_EXPIRED):
        return True
    return error.code is grpc.StatusCode.UNAVAILABLE or (not error.reason and error.code in TRANSPORT_CODES)


class Trouble:
    """Breaks that follow on one another: how long to wait before each attempt, and when to give up."""

    def __init__(self, within_s: float, wait: Callable[[float], float] | None = None) -> None:
        """Give up `within_s` after the first break; `wait` takes the longest wait and gives the one to make."""
        self._within_s = within_s
        self._wait = wait or (lambda longest_s: random.uniform(longest_s / 2, longest_s))
        self._began: float | None = None
        self._mended: float | None = None
        self._attempts = 0

    @property
    def is_allowed(self) -> bool:
        """Whether anything is to be tried at all."""
        return self._within_s > 0

    def breaks(self) -> None:
        """Note a break: it begins the trouble, or belongs to that before it."""
        at = now()
        if self._mended is not None and at - self._mended >= STEADY_S:
            self._began, self._attempts = None, 0
        self._mended = None
        self._began = at if self._began is None else self._began

    def mended(self) -> None:
        """Note that the conversation goes on."""
        self._mended = now()

    def next_wait_s(self, error: ServiceError) -> float:
        """Seconds to wait before the next attempt; the first is made at once. Raises Unavailable to give up."""
        began = self._began if self._began is not None else now()
        longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self._attempts - 1, 10))
        wait_s = self._wait(longest_s) if self._attempts else 0.0
        wait_s = max(wait_s, min(error.retry_delay_s or 0.0, LONGEST_ASKED_S) if self._attempts else 0.0)
        self._attempts += 1
        if now() + wait_s > began + self._within_s:
            message = f"the conversation broke and could not be resumed within {self._within_s:g} s: {error}"
            raise Unavailable(grpc.StatusCode.UNAVAILABLE, message) from error
        return wait_s


async def wait(closed: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until the stream is closed on this side."""
    try:
        async with asyncio.timeout(seconds):
            await closed.wait()
    except TimeoutError:
        return
