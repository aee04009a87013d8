"""The sessions of a process: which stream holds which, and how one is taken over."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from avatar_service import metrics
from avatar_service.errors import NotFound, SessionHeld, StoreUnavailable
from avatar_service.log import get_logger
from avatar_service.session.keeper import Held, Keeper
from avatar_service.session.saved import SavedSession
from avatar_service.session.stores.base import (
    Hold,
    SessionStore,
    TokenRefused,
    hash_of,
    new_token,
    session_of,
)

log = get_logger(__name__)


class Sessions:
    """Begins and resumes sessions. A stream of this process that is taken over ends at once, one elsewhere when it next
    renews its lease."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self._keepers: dict[str, Keeper] = {}

    def begin(self, session_id: str, tenant: str = "") -> Held:
        """A new session of a tenant; its first save puts it into the store."""
        token = new_token(session_id)
        return Held(Hold(session_id, 1, hash_of(token), tenant), token)

    async def resume(self, token: str, tenant: str = "") -> Held:
        """Take a tenant's session over. Raises NotFound, which does not tell why, SessionHeld or StoreUnavailable."""
        session_id = session_of(token)
        if not session_id:
            raise _refused(session_id, "malformed")
        if keeper := self._keepers.get(session_id):
            await keeper.save()
        next_token = new_token(session_id)
        try:
            taken = await self.store.take_over(session_id, hash_of(token), hash_of(next_token), tenant)
        except TokenRefused as refused:
            if refused.why == "unconfirmed":
                metrics.RESUMES.labels("unconfirmed").inc()
                log.info("resume_refused", resumed=session_id, why=refused.why)
                raise SessionHeld from None
            raise _refused(session_id, refused.why) from None
        except StoreUnavailable:
            metrics.RESUMES.labels("store_down").inc()
            raise
        if keeper := self._keepers.get(session_id):
            keeper.lose()
        saved = SavedSession.from_bytes(taken.record)
        if saved is None:
            raise _refused(session_id, "unreadable")
        metrics.RESUMES.labels("taken_over" if taken.was_held else "resumed").inc()
        log.info("session_resumed", resumed=session_id, was_held=taken.was_held, fence=taken.hold.fence)
        return Held(taken.hold, next_token, saved)

    @asynccontextmanager
    async def holding(self, keeper: Keeper, is_leaving: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
        """Hold a session while the block runs: remove it if that comes to its end, else leave it to be resumed. It is
        left too if the client `is_leaving` because it was told to."""
        session_id = keeper.session_id
        self._keepers[session_id] = keeper
        ended = False
        try:
            yield
            ended = not is_leaving()
        finally:
            if self._keepers.get(session_id) is keeper:
                del self._keepers[session_id]
            await keeper.close(ended=ended)


def _refused(session_id: str, why: str) -> NotFound:
    # A record that is not there has most likely outlived its time: no token names a session that never was.
    metrics.RESUMES.labels("expired" if why == "no_record" else "not_found").inc()
    log.info("resume_refused", resumed=session_id or None, why=why)
    message = "is unknown, used or expired; begin a new session"
    audited = "foreign_token" if why == "foreign" else ""
    return NotFound("config.resume.resume_token", message, reason="SESSION_NOT_FOUND", why=audited)
