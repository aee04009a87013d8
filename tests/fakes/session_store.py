"""A store of sessions that can be down, and counts what it is asked."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from avatar_service.errors import StoreUnavailable
from avatar_service.session.stores.base import STORE_WITHIN_S, Hold, Taken
from avatar_service.session.stores.memory import MemoryStore


@dataclass
class FakeSessionStore:
    """Memory behind a connection that a test owns."""

    memory: MemoryStore = field(default_factory=lambda: MemoryStore(120.0))
    calls: Counter[str] = field(default_factory=Counter)
    down: bool = False
    """Whether nothing answers; each call then takes as long as a store may."""

    async def save(self, hold: Hold, record: bytes) -> None:
        await self._reach("save")
        await self.memory.save(hold, record)

    async def renew(self, hold: Hold) -> bool:
        await self._reach("renew")
        return await self.memory.renew(hold)

    async def take_over(self, session_id: str, token_hash: str, next_hash: str, tenant: str = "") -> Taken:
        await self._reach("take_over")
        return await self.memory.take_over(session_id, token_hash, next_hash, tenant)

    async def release(self, hold: Hold, *, keep: bool) -> None:
        await self._reach("release")
        await self.memory.release(hold, keep=keep)

    async def aclose(self) -> None:
        """There is nothing to close."""

    async def _reach(self, call: str) -> None:
        self.calls[call] += 1
        if self.down:
            await asyncio.sleep(STORE_WITHIN_S)
            raise StoreUnavailable("nothing answers")
