"""The avatars that users make, in one folder that the service and Triton share.

    <sha256>/               a bundle, under the hash of its content
    records/<token>.json    what is known of an avatar beside its bundle; the only list of what there is
    .work-<token>/          an upload and the bundle that is made of it, locked while their owner lives
    .lock                   held while records or bundles come and go

An avatar's id stands in its record and is never part of a path. Several processes may use one folder. What a process
leaves that is killed, `open` removes: its work folder, a bundle without a record; its avatar is shown as failed.

A deleted avatar is gone from the list at once. Its bundle stays for the grace, since sessions go on with it and Triton
may have to read it again.

Everything here blocks for milliseconds, and raises StoreError.
"""

import errno
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from avatar_service.avatars.files import WorkFolder, is_abandoned, locked, remove_abandoned, write_whole
from avatar_service.avatars.record import Failure, Record, RecordState, Report
from avatar_service.errors import AlreadyExists, OverloadError, StoreError
from avatar_service.log import get_logger
from avatar_service.settings import PreparationSettings

log = get_logger(__name__)

RECORDS, WORK, BUNDLE = "records", ".work-", "bundle"
REPEATED_WITHIN_S = 24 * 3600.0
"""How long a repeated `request_id` returns the avatar of the first, as the contract says."""
UNSETTLED_S = 1.0
"""A folder's time of change is as coarse as the kernel's clock, so for so long after a change it may hide another."""
INTERRUPTED = Failure(
    "UNAVAILABLE", "PREPARATION_INTERRUPTED", "the server was stopped before the avatar was ready; upload it again"
)
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


class AvatarStore:
    """The records and bundles of one folder. The folder is made when the first avatar is."""

    def __init__(self, settings: PreparationSettings, now: Callable[[], float] = time.time) -> None:
        self.folder = settings.folder
        self._settings = settings
        self._now = now
        self._records: dict[str, Record] = {}
        self._changed_ns = -1
        self._read_s = 0.0

    def open(self) -> None:
        """Remove what is left of processes that are gone, and what was deleted long ago."""
        if not (self.folder / RECORDS).is_dir():
            return
        with self._locked():
            for record in self._read():
                work = self.folder / f"{WORK}{record.token}"
                if record.state is RecordState.PREPARING and is_abandoned(work):
                    self._write(replace(record, state=RecordState.FAILED, failure=INTERRUPTED))
            remove_abandoned(self.folder, WORK)
            self._sweep()

    def sweep(self) -> None:
        """Remove the bundles that were deleted longer ago than the grace."""
        if (self.folder / RECORDS).is_dir():
            with self._locked():
                self._sweep()

    def records(self) -> list[Record]:
        """Every avatar that is not deleted, oldest first; looks at the disk only if something has changed there."""
        with _store_errors("read"):
            records = self._records.values() if self._is_fresh() else self._read()
        return sorted((r for r in records if r.state is not RecordState.DELETED), key=lambda record: record.created_s)

    def bundle(self, record: Record) -> Path:
        """Where the bundle of an avatar that is ready lies."""
        return self.folder / record.sha256

    def repeated(self, request_id: str, owner: str = "") -> Record | None:
        """The avatar that was asked for with this request id, if that was not long ago."""
        since_s = self._now() - REPEATED_WITHIN_S
        for record in self.records():
            if request_id and (record.request_id, record.owner) == (request_id, owner) and record.created_s > since_s:
                return record
        return None

    def require_room(self, avatar_id: str, owner: str = "") -> None:
        """Raise AlreadyExists or OverloadError unless an avatar of this id can be added.

        Tenants do not see each other's, so several may have the same id.
        """
        others = [record for record in self.records() if not _replaceable(record, avatar_id, owner)]
        if any(record.avatar_id == avatar_id and record.owner in (owner, "") for record in others):
            raise exists(avatar_id)
        if owner and sum(record.owner == owner for record in others) >= self._settings.stored_per_tenant:
            raise OverloadError(
                f"you have {self._settings.stored_per_tenant} avatars, the limit of a tenant; delete one that is not "
                "needed any more",
                reason="QUOTA_EXHAUSTED",
                retry_after_s=None,
            )
        if len(others) >= self._settings.stored:
            raise OverloadError(
                f"the store holds {len(others)} avatars, its limit; delete one that is not needed any more",
                reason="AVATARS_EXHAUSTED",
                retry_after_s=None,
            )

    def begin(self) -> WorkFolder:
        """A folder for one upload and its preparation."""
        with _store_errors("written"):
            (self.folder / RECORDS).mkdir(parents=True, exist_ok=True)
        with self._locked():
            return WorkFolder.create(self.folder / f"{WORK}{secrets.token_hex(8)}")

    def add(self, record: Record) -> Record:
        """Add an avatar in preparation, in the place of one of its id that failed; returns it.

        Returns the earlier one if its request is repeated. Raises AlreadyExists or OverloadError.
        """
        with self._locked():
            self._read()
            if earlier := self.repeated(record.request_id, record.owner):
                return earlier
            self.require_room(record.avatar_id, record.owner)
            for other in self.records():
                if _replaceable(other, record.avatar_id, record.owner):
                    self._remove(other)
            self._write(record)
            return record

    def publish(self, record: Record, bundle: Path, sha256: str, report: Report) -> bool:
        """Make an avatar ready: move its bundle to its place and say so. False if it was deleted meanwhile."""
        with self._locked():
            self._read()
            if record.token not in self._records:
                return False
            target = self.folder / sha256
            if target.exists():  # the same source again, its first avatar deleted and not yet swept away
                shutil.rmtree(bundle)
            else:
                bundle.rename(target)
            self._write(replace(record, state=RecordState.READY, sha256=sha256, report=report))
            return True

    def fail(self, record: Record, failure: Failure) -> None:
        """Say that an avatar could not be prepared, unless it was deleted meanwhile."""
        with self._locked():
            self._read()
            if record.token in self._records:
                self._write(replace(record, state=RecordState.FAILED, failure=failure))

    def delete(self, record: Record) -> None:
        """Take an avatar off the list. The bundle of one that was ready stays for the grace."""
        with self._locked():
            self._read()
            current = self._records.get(record.token)
            if current and current.state is RecordState.READY:
                self._write(replace(current, state=RecordState.DELETED, deleted_s=self._now()))
            elif current and current.state is not RecordState.DELETED:
                self._remove(current)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _store_errors("written"), locked(self.folder / ".lock"):
            yield

    def _is_fresh(self) -> bool:
        try:
            changed_ns = (self.folder / RECORDS).stat().st_mtime_ns
        except FileNotFoundError:
            self._records, self._changed_ns = {}, -1
            return True
        return changed_ns == self._changed_ns and self._read_s - changed_ns / 1e9 > UNSETTLED_S

    def _read(self) -> list[Record]:
        """Read the records as they are on the disk."""
        folder = self.folder / RECORDS
        self._read_s = time.time()  # as the file system has it
        self._changed_ns = folder.stat().st_mtime_ns
        records = {}
        for path in folder.glob("*.json"):
            try:
                record = Record.from_json(path.read_bytes())
            except FileNotFoundError:  # removed meanwhile
                continue
            except (ValueError, KeyError, TypeError) as error:
                log.warning("record_damaged", path=str(path), error=type(error).__name__)
                continue
            if record.token == path.stem and (not record.sha256 or _SHA256.match(record.sha256)):
                records[record.token] = record
        self._records = records
        return list(records.values())

    def _write(self, record: Record) -> None:
        write_whole(self.folder / RECORDS / f"{record.token}.json", record.to_json())
        self._records[record.token] = record
        self._changed_ns = -1

    def _remove(self, record: Record) -> None:
        (self.folder / RECORDS / f"{record.token}.json").unlink(missing_ok=True)
        self._records.pop(record.token, None)
        self._changed_ns = -1

    def _sweep(self) -> None:
        before_s = self._now() - self._settings.delete_grace_s
        for record in self._read():
            if record.state is RecordState.DELETED and record.deleted_s <= before_s:
                self._remove(record)
        known = {record.sha256 for record in self._records.values()}
        for path in self.folder.iterdir():
            if _SHA256.match(path.name) and path.name not in known:
                shutil.rmtree(path, ignore_errors=True)


def exists(avatar_id: str) -> AlreadyExists:
    """The error for an id that is taken."""
    return AlreadyExists(
        "config.avatar_id",
        f"there is an avatar {avatar_id!r}; choose another id, or delete that avatar first",
        reason="AVATAR_EXISTS",
    )


def _replaceable(record: Record, avatar_id: str, owner: str) -> bool:
    """Whether a new upload of this id may take the record's place."""
    return (record.state, record.avatar_id, record.owner) == (RecordState.FAILED, avatar_id, owner)


@contextmanager
def _store_errors(done: str) -> Iterator[None]:
    """Tell what a disk error means for the caller."""
    try:
        yield
    except OSError as error:
        raise store_error(error, done) from error


def store_error(error: OSError, done: str = "written") -> StoreError:
    """An error of the disk as one of the store."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("the store of avatars is full; its operator must make room on the disk", full=True)
    return StoreError(f"the store of avatars cannot be {done} ({type(error).__name__}); tell its operator")
