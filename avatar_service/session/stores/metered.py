"""A store of sessions whose calls are counted and timed."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from avatar_service import clock, metrics
from avatar_service.errors import SessionTakenOver, StoreUnavailable
from avatar_service.session.stores.base import Hold, SessionStore, Taken, TokenRefused

T = TypeVar("T")


class MeteredStore:
    """Does what another store does."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def save(self, hold: Hold, record: bytes) -> None:
        """Write the record; see SessionStore."""
        await _metered("save", self._store.save(hold, record))

    async def renew(self, hold: Hold) -> bool:
        """Renew the lease; see SessionStore."""
        return await _metered("renew", self._store.renew(hold))

    async def take_over(self, session_id: str, token_hash: str, next_hash: str, tenant: str = "") -> Taken:
        """Consume a token; see SessionStore."""
        return await _metered("take_over", self._store.take_over(session_id, token_hash, next_hash, tenant))

    async def release(self, hold: Hold, *, keep: bool) -> None:
        """End the lease; see SessionStore."""
        await _metered("release", self._store.release(hold, keep=keep))

    async def aclose(self) -> None:
        """Give back what the store holds of this process."""
        await self._store.aclose()


async def _metered(operation: str, call: Awaitable[T]) -> T:
    began_s, outcome = clock.now(), "error"
    try:
        answer = await call
        outcome = "ok"
        return answer
    except StoreUnavailable:
        outcome = "unavailable"
        raise
    except SessionTakenOver:
        outcome = "taken_over"
        raise
    except TokenRefused:
        outcome = "refused"
        raise
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        metrics.STORE_OPERATIONS.labels(operation, outcome).inc()
        metrics.STORE_TIME.labels(operation).observe(clock.now() - began_s)
