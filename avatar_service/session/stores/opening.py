"""The only module that picks a store of sessions: settings in, the process's sessions out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from avatar_service.session.sessions import Sessions
from avatar_service.session.stores.base import SessionStore
from avatar_service.session.stores.memory import MemoryStore
from avatar_service.session.stores.metered import MeteredStore
from avatar_service.session.stores.redis import RedisStore
from avatar_service.settings import SessionSettings


@asynccontextmanager
async def open_sessions(settings: SessionSettings) -> AsyncIterator[Sessions]:
    """The sessions of a process, whose store is closed at the end. A Redis that is down at the start fails nothing."""
    store = _store(settings)
    try:
        yield Sessions(MeteredStore(store))
    finally:
        await store.aclose()


def _store(settings: SessionSettings) -> SessionStore:
    if url := settings.redis_url.get_secret_value():
        return RedisStore(url, settings.resume_s)
    return MemoryStore(settings.resume_s)
