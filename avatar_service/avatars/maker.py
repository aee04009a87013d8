"""The avatars that this process makes: taken in, prepared one after the other, cancelled, deleted.

A preparation belongs to the maker, not to the call that began it. When the maker stops, what it has not finished is
shown as failed and has left nothing else behind.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from avatar_service import clock, metrics
from avatar_service.avatars.catalogue import Avatar, Catalogue, Unready
from avatar_service.avatars.failures import failure_of
from avatar_service.avatars.files import WorkFolder
from avatar_service.avatars.preparing import Preparing, Wanted
from avatar_service.avatars.record import Record
from avatar_service.avatars.source import Source, look_at
from avatar_service.avatars.store import BUNDLE, INTERRUPTED, AvatarStore, exists
from avatar_service.avatars.workers import Workers
from avatar_service.engines.base import FacePreparer, Weights
from avatar_service.errors import FailedPrecondition, NotFound, OverloadError, StoreError, Unimplemented
from avatar_service.log import get_logger
from avatar_service.settings import PreparationSettings

log = get_logger(__name__)

DEMONSTRATION_TIER = "nano"
RETRY_AFTER_S = 30.0
"""A short video takes about so long, and then there is a place."""
SWEEP_S = 600.0
"""How often the store is looked through for bundles whose grace is over."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller wants made; an empty id lets the maker choose one. `owner` is the caller's tenant."""

    wanted: Wanted
    media_type: str
    request_id: str = ""
    force: bool = False
    owner: str = ""


@dataclass(slots=True)
class Upload:
    """A place in the queue and a folder, for the file that comes. `taken` once a preparation has them."""

    work: WorkFolder
    weights: Weights
    owner: str = ""
    taken: bool = False

    @property
    def file(self) -> Path:
        """Where the bytes go."""
        return self.work.path / "upload"


class AvatarMaker:
    """Use as `async with`; leaving cancels what is being prepared and waits for its end."""

    def __init__(
        self,
        catalogue: Catalogue,
        faces: FacePreparer | None,
        settings: PreparationSettings,
        workers: Workers,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._store = AvatarStore(settings, now)
        self._faces = faces
        self._settings = settings
        self._workers = workers
        self._now = now
        self._tasks = asyncio.TaskGroup()
        self._sweeping: asyncio.Task[None] | None = None
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._deleted: set[str] = set()
        self._places: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(settings.at_once)

    async def __aenter__(self) -> Self:
        await self._workers.run(self._store.open)
        await self._tasks.__aenter__()
        self._sweeping = self._tasks.create_task(self._sweep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(0)  # a task that is cancelled before its first step does not clean up
        for task in (self._sweeping, *self._jobs.values()):
            if task:
                task.cancel()
        # Without the error that leaves the block, which the group would wrap.
        await self._tasks.__aexit__(None, None, None)

    async def offered(self) -> bool:
        """Whether avatars can be made."""
        return self._faces is not None and await self._faces.ready()

    async def check(self, order: Order) -> Record | Weights:
        """The avatar that was made for this very request, or the weights to make one with.

        Raises ClientError or OverloadError if it would not be made, EngineError.
        """
        if not (self._faces and await self._faces.ready()):
            raise Unimplemented("CreateAvatar", "this server's Triton does not serve the model `prepare`")
        if earlier := self._store.repeated(order.request_id, order.owner):
            return earlier
        weights = await self._faces.weights()
        if weights.tier == DEMONSTRATION_TIER and not order.force:
            raise FailedPrecondition(
                "config.force",
                "is false, and this server has the demonstration model `nano`, which was made for drawn faces and does "
                "not do a photograph justice; set it to true to prepare one all the same",
                reason="DEMONSTRATION_MODEL",
            )
        if self._catalogue.is_bundled(order.wanted.avatar_id):
            raise exists(order.wanted.avatar_id)
        self._store.require_room(order.wanted.avatar_id, order.owner)
        return weights

    @asynccontextmanager
    async def upload(self, weights: Weights, owner: str = "") -> AsyncIterator[Upload]:
        """A place in the queue and a folder, given back at the end unless a preparation has taken them.

        Raises OverloadError without a free place.
        """
        self._require_place(owner)
        self._places[owner] += 1
        metrics.PREPARING.inc()
        uploads: list[Upload] = []
        try:
            # Put into the list by the thread itself, so that a cancel meanwhile does not lose it.
            await self._workers.run(lambda: uploads.append(Upload(self._store.begin(), weights, owner)))
            yield uploads[0]
        finally:
            if not (uploads and uploads[0].taken):
                await self._give_back(owner, uploads[0].work if uploads else None)

    def _require_place(self, owner: str) -> None:
        """Raise OverloadError without a free place. A tenant has half of them, so that none keeps out the others."""
        limit = self._settings.at_once + self._settings.queued
        for taken, most, whose in (
            (self._places.total(), limit, ""),
            (self._places[owner] if owner else 0, max(1, limit // 2), " of yours"),
        ):
            if taken >= most:
                raise OverloadError(
                    f"{most} avatars{whose} are being uploaded and prepared, the limit; try again later",
                    reason="PREPARATIONS_EXHAUSTED",
                    retry_after_s=RETRY_AFTER_S,
                )

    async def start(self, order: Order, upload: Upload) -> Avatar | Unready:
        """Begin to prepare what was uploaded, in the background. Raises ClientError, OverloadError or StoreError."""
        source = await self._workers.run(partial(look_at, upload.file, order.media_type, self._settings))
        wanted = order.wanted
        token = upload.work.path.name.rpartition("-")[2]
        record = Record(
            token=token,
            avatar_id=wanted.avatar_id,
            display_name=wanted.display_name,
            created_s=self._now(),
            tier=upload.weights.tier,
            owner=order.owner,
            request_id=order.request_id,
        )
        try:
            added = await self._workers.run(partial(self._store.add, record))
        except asyncio.CancelledError:
            await self._settle(partial(self._store.delete, record))  # it was added all the same
            raise
        if added == record:
            upload.taken = True
            self._jobs[token] = self._tasks.create_task(self._job(record, source, wanted, upload))
        return self._catalogue.of_record(added)

    def of_record(self, record: Record) -> Avatar | Unready:
        """The avatar that a record tells of. Raises NotFound if its bundle is gone."""
        return self._catalogue.of_record(record)

    async def delete(self, name: str, *, allow_missing: bool, tenant: str = "") -> bool:
        """Delete an avatar; one that is being prepared is cancelled. Whether there was one.

        Raises NotFound unless it may be missing, PermissionDenied.
        """
        try:
            record = self._catalogue.deletable(name, tenant)
        except NotFound:
            if allow_missing:
                return False
            raise
        self._deleted.add(record.token)
        try:
            await self._workers.run(partial(self._store.delete, record))
            if job := self._jobs.get(record.token):
                await asyncio.sleep(0)  # as above
                job.cancel()
                await asyncio.wait({job})
        finally:
            self._deleted.discard(record.token)
        return True

    async def _job(self, record: Record, source: Source, wanted: Wanted, upload: Upload) -> None:
        """Prepare one avatar; its end stands in its record."""
        began_s, outcome = clock.now(), "failed"
        try:
            async with self._slots:
                outcome = await self._prepared(record, source, wanted, upload.work.path / BUNDLE)
        except asyncio.CancelledError:
            outcome = "deleted"
            if record.token not in self._deleted:
                outcome = "interrupted"
                await self._settle(partial(self._store.fail, record, INTERRUPTED))
            raise
        except Exception as error:
            # Whatever it is, the other preparations go on.
            await self._settle(partial(self._store.fail, record, failure_of(error)))
        finally:
            self._jobs.pop(record.token, None)
            self._catalogue.progress.pop(record.token, None)
            metrics.PREPARATIONS.labels(outcome).inc()
            metrics.PREPARATION_TIME.observe(clock.now() - began_s)
            log.info("preparation_ended", avatar=record.avatar_id, outcome=outcome)
            await self._give_back(upload.owner, upload.work)

    async def _prepared(self, record: Record, source: Source, wanted: Wanted, folder: Path) -> str:
        assert self._faces is not None  # `check` has asked it

        def tell(percent: int) -> None:
            self._catalogue.progress[record.token] = percent

        made = await Preparing(self._faces, self._settings, self._workers, folder, tell).run(source, wanted)
        publish = partial(self._store.publish, record, made.folder, made.sha256, made.report)
        return "ready" if await self._workers.run(publish) else "deleted"

    async def _give_back(self, owner: str, work: WorkFolder | None) -> None:
        self._places[owner] -= 1
        if not self._places[owner]:
            del self._places[owner]
        metrics.PREPARING.dec()
        if work:
            await self._settle(work.remove)

    async def _settle(self, work: Callable[[], None]) -> None:
        """Do what an end needs; a disk that fails even then is logged, since nothing else can be done."""
        try:
            await self._workers.run(work)
        except (StoreError, OSError) as error:
            log.error("store_failed", exc_info=error)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await self._settle(self._store.sweep)


def chosen_id() -> str:
    """An id for an avatar whose caller gave none."""
    return f"avatar-{secrets.token_hex(4)}"
