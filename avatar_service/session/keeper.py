"""Keeps a session's record up to date, so that the session outlives its stream."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from avatar_service import clock
from avatar_service.channel import Sender
from avatar_service.errors import SessionTakenOver, StoreUnavailable
from avatar_service.events import Event, Notice
from avatar_service.log import get_logger
from avatar_service.session.saved import SavedSession
from avatar_service.session.stores.base import RENEW_EVERY_S, Hold, SessionStore

log = get_logger(__name__)

STAGE = "store"
LOOK_EVERY_S = 0.25
"""How soon the times of words are saved that may be heard soon. Vendors speak several times as fast as is heard, so
that all but the first words of a sentence were saved when a client hears them."""

_LOST = "What happens from now on cannot be resumed: the store of sessions does not answer. The conversation goes on."
_BACK = "The session can be resumed again."


@dataclass(frozen=True, slots=True)
class Held:
    """A session that a stream holds, and the token that takes it over from there."""

    hold: Hold
    token: str
    saved: SavedSession | None = None
    """What a resumed session goes on from."""


class Keeper:
    """Holds one session in the store. Saves are in order, one at a time; a failure of the store fails nothing else."""

    def __init__(
        self,
        store: SessionStore,
        held: Held,
        snapshot: Callable[[], SavedSession],
        is_behind: Callable[[SavedSession | None], bool],
        out: Sender[Event],
    ) -> None:
        """`snapshot` tells at any moment, also after the session was broken off, what must be saved. `is_behind` tells,
        for less than a snapshot takes, whether what was saved last lacks words that may be heard soon."""
        self.session_id = held.hold.session_id
        self.token = held.token
        """What resumes the session after this stream."""
        self._store = store
        self._hold = held.hold
        self._snapshot = snapshot
        self._is_behind = is_behind
        self._out = out
        self._writing = asyncio.Lock()
        self._saved: SavedSession | None = None
        self._renew_s = 0.0
        """When the lease must be renewed."""
        self._is_lost = False
        """Whether the store failed at the last attempt."""
        self._told_lost = False
        self._taken_over = asyncio.Event()

    def confirm(self) -> None:
        """The client has spoken on this stream, so it has the token: the one by which it came counts no more."""
        if not self._hold.is_confirmed:
            self._hold = replace(self._hold, is_confirmed=True)
            self._renew_s = 0.0  # told at the next look

    async def save(self) -> None:
        """Save what the session has become, within a second. While the store is down this returns at once."""
        if not self._is_lost:
            await self._write(unless_lost=True)

    async def run(self) -> None:
        """Renew the lease and save what changed, until cancelled. Raises SessionTakenOver."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._taken_over.wait()
                raise SessionTakenOver
            if clock.now() + LOOK_EVERY_S / 2 > self._renew_s or self._is_behind(self._saved):
                await self._write()
            await self._tell()

    def lose(self) -> None:
        """Another stream of this process holds the session: `run` ends at once, and nothing more is written."""
        self._taken_over.set()

    async def close(self, *, ended: bool) -> None:
        """The stream is over: save the session to be resumed, or remove it because it has `ended` by itself."""
        if not ended:
            await self._write()
        if not self._taken_over.is_set():
            with suppress(StoreUnavailable):
                await self._store.release(self._hold, keep=not ended)

    async def _write(self, *, unless_lost: bool = False) -> None:
        async with self._writing:
            self._renew_s = clock.now() + RENEW_EVERY_S
            if self._taken_over.is_set() or (unless_lost and self._is_lost):
                return
            try:
                await self._write_changes()
            except SessionTakenOver:
                self._taken_over.set()
            except StoreUnavailable as error:
                if not self._is_lost:
                    log.warning("session_not_saved", error=str(error))
                self._is_lost, self._saved = True, None
            else:
                self._is_lost = False

    async def _write_changes(self) -> None:
        snapshot = self._snapshot()
        if snapshot == self._saved and await self._store.renew(self._hold):
            return
        await self._store.save(self._hold, snapshot.to_bytes())
        self._saved = snapshot

    async def _tell(self) -> None:
        """Tell the client once that the session cannot be resumed, and once that it can again."""
        if self._is_lost != self._told_lost:
            self._told_lost = self._is_lost
            reason, message = ("NOT_RESUMABLE", _LOST) if self._is_lost else ("RESUMABLE", _BACK)
            await self._out.send(Notice(reason, message, stage=STAGE))
