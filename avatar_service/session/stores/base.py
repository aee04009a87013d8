"""What a store of sessions does, and the tokens by which their clients come back.

A session has one record. Whoever holds the session writes it, under a fence: a number that rises with every take-over,
so that a holder which was left behind, in this process or another, can never write again.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Protocol

from avatar_service.redis_scripts import WITHIN_S

STORE_WITHIN_S = WITHIN_S
"""Longest that one call of a store takes, in seconds."""
RENEW_EVERY_S = 1.0
"""How often a holder renews its lease, and so the longest that it goes on after a take-over elsewhere."""
LEASE_S = 5.0
"""How long a holder that does not renew its lease still counts as one."""
RECORD_BYTES = 4 << 20
"""Largest record: 40 messages of the history at their longest, and a configuration, several times over."""
USED_TOKENS = 16
"""Tokens of a session that are remembered as used, for the log."""
_SECRET_BYTES = 32
_TOKEN = re.compile(r"(s-[0-9a-f]{16})\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to write one session's record; the one with the highest fence has it."""

    session_id: str
    fence: int
    token_hash: str
    """Of the token that takes the session over from this holder."""
    tenant: str = ""
    """Whose session it is."""
    is_confirmed: bool = True
    """Whether the client is known to have that token. Until then the one by which it came may be given again."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A session that was taken over."""

    hold: Hold
    record: bytes
    was_held: bool
    """Whether another stream still held it."""


class TokenRefused(Exception):
    """A token takes nothing over. `why` is for the log alone: no_record, ended, used, mismatch, foreign (another
    tenant's), or unconfirmed: it has been used, but it is not known whether the client has the next one, and the stream
    that would tell still holds the session."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class SessionStore(Protocol):
    """Keeps records for a time after they were last renewed.

    Every call ends within STORE_WITHIN_S and raises StoreUnavailable if the store cannot be used.
    """

    async def save(self, hold: Hold, record: bytes) -> None:
        """Write the record, also a first one or one that the store has lost, and renew the lease.

        Raises SessionTakenOver if somebody else holds the session.
        """

    async def renew(self, hold: Hold) -> bool:
        """Renew the lease; False if there is no record, which must then be saved. Raises SessionTakenOver."""

    async def take_over(self, session_id: str, token_hash: str, next_hash: str, tenant: str = "") -> Taken:
        """Consume a token: its sender holds the session from now on, and `next_hash` is the one that counts next.

        The consumed token still counts as long as no save, renewal or release of the hold that it gave says that this
        is confirmed, and only once that hold's lease is over: its client may never have learned of the next one. One of
        another tenant is not consumed. Raises TokenRefused.
        """

    async def release(self, hold: Hold, *, keep: bool) -> None:
        """End the lease. `keep` the record for its time, or remove it because the session is over.

        Does nothing if somebody else holds the session.
        """

    async def aclose(self) -> None:
        """Give back what the store holds of this process."""


def new_session_id() -> str:
    """A name for a session, in logs too; it opens nothing."""
    return f"s-{secrets.token_hex(8)}"


def new_token(session_id: str) -> str:
    """A token of a session: its name, by which a store finds it, and 256 random bits."""
    return f"{session_id}.{secrets.token_urlsafe(_SECRET_BYTES)}"


def session_of(token: str) -> str:
    """The session that a token names; empty if it has not the form of a token."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else ""


def hash_of(token: str) -> str:
    """What a store keeps of a token, which has too many random bits to be guessed from it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same_hash(one: str, other: str) -> bool:
    """Whether two hashes are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)
