"""Sessions kept by the process itself: they survive their stream, not the process."""

from dataclasses import dataclass

from avatar_service import clock
from avatar_service.errors import SessionTakenOver, StoreUnavailable
from avatar_service.session.stores.base import LEASE_S, RECORD_BYTES, USED_TOKENS, Hold, Taken, TokenRefused, same_hash

RECORDS = 20_000
"""Most sessions that are kept, ended ones of the last two minutes included."""
BYTES = 256 << 20
"""Most bytes of all records together."""


@dataclass(slots=True)
class _Entry:
    fence: int
    token_hash: str
    record: bytes | None
    """None once the session has ended; what is left then keeps holders of old from writing."""
    leased_until_s: float
    expires_s: float
    used: tuple[str, ...] = ()
    previous: str = ""
    """Hash of the token by which the holder came, until its client has confirmed the next; empty from then on."""
    tenant: str = ""


class MemoryStore:
    """At most RECORDS sessions of BYTES in all; when full it forgets those whose stream has ended, oldest first."""

    def __init__(self, keep_s: float) -> None:
        """Records are kept for `keep_s` seconds beyond their last renewal."""
        self._keep_s = keep_s
        self._entries: dict[str, _Entry] = {}  # in the order of their last renewal
        self._bytes = 0

    async def save(self, hold: Hold, record: bytes) -> None:
        """Write the record; see SessionStore."""
        if len(record) > RECORD_BYTES:
            raise StoreUnavailable(f"a record of {len(record)} bytes is above the limit of {RECORD_BYTES}")
        entry = self._held(hold)
        if entry is None or entry.record is None:
            used = entry.used if entry else ()
            entry = _Entry(hold.fence, hold.token_hash, None, 0.0, 0.0, used, tenant=hold.tenant)
        self._drop(hold.session_id)
        self._make_room(len(record))
        entry.record = record
        self._put(hold.session_id, entry, LEASE_S)

    async def renew(self, hold: Hold) -> bool:
        """Renew the lease; see SessionStore."""
        entry = self._held(hold)
        if entry is None or entry.record is None:
            return False
        self._drop(hold.session_id)
        self._put(hold.session_id, entry, LEASE_S)
        return True

    async def take_over(self, session_id: str, token_hash: str, next_hash: str, tenant: str = "") -> Taken:
        """Consume a token; see SessionStore."""
        self._expire()
        entry = self._entries.get(session_id)
        if entry is None:
            raise TokenRefused("no_record")
        was_held = clock.now() < entry.leased_until_s
        if why := _refusal(entry, token_hash, tenant, was_held):
            raise TokenRefused(why)
        assert entry.record is not None, "its absence is a refusal"
        if token_hash not in entry.used:
            entry.used = (token_hash, *entry.used)[:USED_TOKENS]
        entry.fence, entry.token_hash, entry.previous = entry.fence + 1, next_hash, token_hash
        self._drop(session_id)
        self._put(session_id, entry, LEASE_S)
        return Taken(Hold(session_id, entry.fence, next_hash, tenant, is_confirmed=False), entry.record, was_held)

    async def release(self, hold: Hold, *, keep: bool) -> None:
        """End the lease; see SessionStore."""
        try:
            entry = self._held(hold)
        except SessionTakenOver:
            return
        if entry is None:
            return
        self._drop(hold.session_id)
        entry.record = entry.record if keep else None
        self._put(hold.session_id, entry, 0.0)

    async def aclose(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _held(self, hold: Hold) -> _Entry | None:
        """The session's entry, None if there is none. Raises SessionTakenOver."""
        self._expire()
        entry = self._entries.get(hold.session_id)
        if entry and entry.fence > hold.fence:
            raise SessionTakenOver
        if entry and hold.is_confirmed:
            entry.previous = ""
        return entry

    def _put(self, session_id: str, entry: _Entry, lease_s: float) -> None:
        entry.leased_until_s, entry.expires_s = clock.now() + lease_s, clock.now() + self._keep_s
        self._entries[session_id] = entry
        self._bytes += len(entry.record or b"")

    def _drop(self, session_id: str) -> None:
        entry = self._entries.pop(session_id, None)
        if entry:
            self._bytes -= len(entry.record or b"")

    def _expire(self) -> None:
        """Drop what nobody has renewed in time; it stands first."""
        while self._entries and next(iter(self._entries.values())).expires_s <= clock.now():
            self._drop(next(iter(self._entries)))

    def _make_room(self, size: int) -> None:
        """Forget sessions without a stream until a record of this size fits. Raises StoreUnavailable."""
        while len(self._entries) >= RECORDS or self._bytes + size > BYTES:
            left = (name for name, entry in self._entries.items() if entry.leased_until_s <= clock.now())
            if (name := next(left, None)) is None:
                raise StoreUnavailable("the store of sessions is full")
            self._drop(name)


def _refusal(entry: _Entry, token_hash: str, tenant: str, was_held: bool) -> str:
    """Why a token does not take this session over; empty if it does."""
    is_latest = same_hash(entry.token_hash, token_hash)
    if not is_latest and not same_hash(entry.previous, token_hash):
        return "used" if any(same_hash(used, token_hash) for used in entry.used) else "mismatch"
    if entry.tenant != tenant:
        return "foreign"
    if entry.record is None:
        return "ended"
    return "unconfirmed" if was_held and not is_latest else ""
