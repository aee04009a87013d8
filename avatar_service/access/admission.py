"""Room for calls: take one in, refuse it at once, and end those that are left when the process stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from avatar_service.access.identity import Identity
from avatar_service.access.quotas import LocalQuotas, Quotas
from avatar_service.errors import OverloadError, ServerStopping

RETRY_AFTER_S = 5.0
"""When a refused client should ask again: about the time of a turn."""
HEARD_OUT = 16
"""Streams at a full server that may say what they are for before they are refused: one that resumes a session whose old
stream still runs has a place, that of this stream."""
RESUMING = "Converse"
"""The method whose sessions can be resumed."""
UPLOADING = "CreateAvatar"
"""The method that holds no session; the queue of preparations bounds its calls."""
_ALL = ""
"""What all tenants are counted as in the places of the process."""


class _Lease:
    """A place among at most `limit` sessions of a tenant."""

    def __init__(self, quotas: Quotas, tenant: str, limit: int, refusal: OverloadError) -> None:
        self._quotas = quotas
        self._tenant = tenant
        self._limit = limit
        self._refusal = refusal
        self._session_id = ""
        """Under which name it is held; empty while it is not."""

    async def take(self, session_id: str) -> None:
        """Hold it for this session in place of another. Raises OverloadError if there is no room."""
        if session_id == self._session_id:
            return
        before, self._session_id = self._session_id, ""
        if not await self._quotas.take(self._tenant, session_id, self._limit, instead_of=before):
            raise self._refusal
        self._session_id = session_id

    async def leave(self) -> None:
        """Give it back if it is held."""
        if self._session_id:
            before, self._session_id = self._session_id, ""
            await self._quotas.leave(self._tenant, before)


class Place:
    """Room for one call."""

    def __init__(self, leases: tuple[_Lease, ...]) -> None:
        self._leases = leases

    async def settle(self, session_id: str) -> None:
        """The call has said which session it is for, a new one or one that it resumes. One that a stream still holds
        has its place already. Raises OverloadError if there is none."""
        for lease in self._leases:
            await lease.take(session_id)


class Admission:
    """At most `limit` sessions at once, and `per_tenant` of each tenant unless that is 0."""

    def __init__(self, limit: int, *, per_tenant: int = 0, quotas: Quotas | None = None) -> None:
        """`quotas` counts the sessions of tenants; without it this process counts its own."""
        self._limit = limit
        self._per_tenant = per_tenant
        self._places = LocalQuotas()
        self._quotas = quotas or LocalQuotas()
        self._draining = False
        self._told: list[Callable[[], None]] = []
        self._ends = set[asyncio.Timeout]()
        self._heard_out = 0
        self.sessions = 0
        """Calls that are held: uploads too, and the old streams of sessions that are being resumed."""
        self._empty = asyncio.Event()
        self._empty.set()

    def drain(self) -> None:
        """Take in no more, and tell those that asked to be told."""
        self._draining = True
        for tell in self._told:
            tell()

    def close(self) -> None:
        """End the calls that are left with ServerStopping."""
        for end in self._ends:
            if not end.expired():
                end.reschedule(asyncio.get_running_loop().time())

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While the block runs, call `tell` when nothing more is taken in; at once if that is so already."""
        self._told.append(tell)
        try:
            if self._draining:
                tell()
            yield
        finally:
            self._told.remove(tell)

    async def emptied(self) -> None:
        """Wait until no call is held."""
        await self._empty.wait()

    @asynccontextmanager
    async def admit(self, method: str, identity: Identity, session_id: str) -> AsyncIterator[Place]:
        """Hold room for a call of `method` while the block runs, for the session that it begins unless it settles on
        another.

        Raises OverloadError if there is none, and ServerStopping if the block is ended because the process stops.
        """
        if self._draining:
            raise OverloadError("this server is stopping; call again", reason="DRAINING", retry_after_s=RETRY_AFTER_S)
        with self._counted():
            async with self._ended_by_close(), self._held(method, identity.tenant, session_id) as place:
                yield place

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.sessions += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.sessions -= 1
            if not self.sessions:
                self._empty.set()

    @asynccontextmanager
    async def _ended_by_close(self) -> AsyncIterator[None]:
        end = asyncio.timeout(None)
        self._ends.add(end)
        try:
            async with end:
                yield
        except TimeoutError:
            if end.expired():
                raise ServerStopping from None
            raise
        finally:
            self._ends.discard(end)

    @asynccontextmanager
    async def _held(self, method: str, tenant: str, session_id: str) -> AsyncIterator[Place]:
        leases = () if method == UPLOADING else self._leases(tenant)
        place, refusal = Place(leases), None
        try:
            try:
                await place.settle(session_id)
            except OverloadError as error:
                refusal = error
            if not refusal:
                yield place
            elif method == RESUMING and self._heard_out < HEARD_OUT:
                self._heard_out += 1
                try:
                    yield place
                finally:
                    self._heard_out -= 1
            else:
                raise refusal
        finally:
            for lease in leases:
                await lease.leave()

    def _leases(self, tenant: str) -> tuple[_Lease, ...]:
        full = OverloadError(
            f"all {self._limit} sessions are taken", reason="SESSIONS_EXHAUSTED", retry_after_s=RETRY_AFTER_S
        )
        process = _Lease(self._places, _ALL, self._limit, full)
        if not self._per_tenant:
            return (process,)
        exhausted = OverloadError(
            f"all {self._per_tenant} sessions of this tenant are taken",
            reason="QUOTA_EXHAUSTED",
            retry_after_s=RETRY_AFTER_S,
        )
        return process, _Lease(self._quotas, tenant, self._per_tenant, exhausted)
