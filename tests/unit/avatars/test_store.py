"""The folder of the avatars that users make: what it lists, and what is left of it after a crash."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatar_service.avatars.files import WorkFolder
from avatar_service.avatars.record import Failure, Record, RecordState, Report
from avatar_service.avatars.store import BUNDLE, AvatarStore
from avatar_service.errors import AlreadyExists, OverloadError, StoreError
from avatar_service.settings import PreparationSettings

SHA = "a" * 64
FAILURE = Failure("INVALID_ARGUMENT", "FACE_NOT_FOUND", "no face")


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., AvatarStore]:
    """Opens the one folder as another process would."""

    def make(**settings: Any) -> AvatarStore:
        given = {"store": str(tmp_path / "store"), "delete_grace_s": 60} | settings
        store = AvatarStore(PreparationSettings.model_validate(given), clock)
        store.open()
        return store

    return make


def begin(store: AvatarStore, avatar_id: str = "me", **fields: Any) -> tuple[Record, WorkFolder]:
    work = store.begin()
    (work.path / BUNDLE).mkdir()
    (work.path / BUNDLE / "avatar.json").write_text("{}")
    token = work.path.name.rpartition("-")[2]
    return store.add(Record(token, avatar_id, "Me", created_s=store._now(), tier="nano", **fields)), work


def publish(store: AvatarStore, avatar_id: str = "me", sha256: str = SHA) -> Record:
    record, work = begin(store, avatar_id)
    assert store.publish(record, work.path / BUNDLE, sha256, Report(1))
    work.remove()
    (made,) = [r for r in store.records() if r.token == record.token]
    return made


def listed(store: AvatarStore) -> dict[str, RecordState]:
    return {record.avatar_id: record.state for record in store.records()}


def everything(store: AvatarStore) -> set[str]:
    return {path.name for path in store.folder.iterdir()} - {".lock", "records"}


def test_a_store_of_which_nothing_is_there_yet_is_empty_and_is_not_made(make: Callable[..., AvatarStore]) -> None:
    store = make()
    assert store.records() == []
    assert not store.folder.exists()


def test_an_avatar_is_listed_while_it_is_prepared_and_then_as_ready(make: Callable[..., AvatarStore]) -> None:
    store = make()
    record, work = begin(store)
    assert listed(store) == {"me": RecordState.PREPARING}
    assert store.publish(record, work.path / BUNDLE, SHA, Report(9, 2, 1))
    work.remove()
    (ready,) = store.records()
    assert (ready.state, ready.sha256, ready.report) == (RecordState.READY, SHA, Report(9, 2, 1))
    assert (store.bundle(ready) / "avatar.json").is_file()
    assert everything(store) == {SHA}


def test_another_process_sees_it_at_once(make: Callable[..., AvatarStore]) -> None:
    one, other = make(), make()
    assert other.records() == []
    made = publish(one)
    assert other.records() == [made]
    other.delete(made)
    assert one.records() == []


def test_an_id_that_is_taken_is_refused_unless_its_avatar_failed(make: Callable[..., AvatarStore]) -> None:
    store = make()
    record, work = begin(store)
    for taken in range(2):
        with pytest.raises(AlreadyExists, match="there is an avatar 'me'"):
            store.require_room("me")
        with pytest.raises(AlreadyExists):
            begin(store)
        if not taken:
            store.publish(record, work.path / BUNDLE, SHA, Report(1))
    other, _ = begin(store, "other")
    store.fail(other, FAILURE)
    again, _ = begin(store, "other")
    assert [r.token for r in store.records() if r.avatar_id == "other"] == [again.token]


def test_a_request_is_repeated_for_a_day(make: Callable[..., AvatarStore], clock: Clock) -> None:
    store = make()
    first, _ = begin(store, request_id="r1")
    assert store.repeated("r1") == first
    assert begin(store, "other", request_id="r1")[0] == first
    assert store.repeated("") is None
    assert store.repeated("r2") is None
    clock.now_s += 24 * 3600 + 1
    assert store.repeated("r1") is None


def test_a_store_has_a_limit(make: Callable[..., AvatarStore]) -> None:
    store = make(stored=2)
    publish(store, "a", "a" * 64)
    begin(store, "b")
    with pytest.raises(OverloadError, match="holds 2 avatars, its limit; delete one") as full:
        store.require_room("c")
    assert (full.value.reason, full.value.retry_after_s) == ("AVATARS_EXHAUSTED", None)


def test_a_deleted_avatar_is_gone_at_once_and_its_files_after_the_grace(
    make: Callable[..., AvatarStore], clock: Clock
) -> None:
    store = make()
    record = publish(store)
    store.delete(record)
    assert store.records() == []
    clock.now_s += 59
    store.sweep()
    assert everything(store) == {SHA}
    again = publish(store, sha256="b" * 64)
    clock.now_s += 2
    store.sweep()
    assert everything(store) == {"b" * 64}
    assert store.records() == [again]


def test_files_that_another_avatar_shares_stay(make: Callable[..., AvatarStore], clock: Clock) -> None:
    store = make()
    store.delete(publish(store))
    again = publish(store)
    clock.now_s += 100
    store.sweep()
    assert everything(store) == {SHA}
    assert store.records() == [again]


def test_what_was_deleted_while_it_was_prepared_is_not_published(make: Callable[..., AvatarStore]) -> None:
    store = make()
    record, work = begin(store)
    make().delete(record)
    assert not store.publish(record, work.path / BUNDLE, SHA, Report(1))
    store.fail(record, FAILURE)
    work.remove()
    assert (store.records(), everything(store)) == ([], set())


def test_what_another_process_prepares_is_left_alone(make: Callable[..., AvatarStore]) -> None:
    store = make()
    record, work = begin(store)
    make().sweep()
    assert listed(make()) == {"me": RecordState.PREPARING}
    assert store.publish(record, work.path / BUNDLE, SHA, Report(1))


KILLED = """
import os, sys
from pathlib import Path
from avatar_service.avatars.record import Record
from avatar_service.avatars.store import AvatarStore
from avatar_service.settings import PreparationSettings
store = AvatarStore(PreparationSettings.model_validate({"store": sys.argv[1]}))
work = store.begin()
(work.path / "upload").write_bytes(b"1")
store.add(Record(work.path.name.rpartition("-")[2], "me", "Me", 1.0, "nano"))
(store.folder / ("c" * 64)).mkdir()  # a bundle that was moved to its place, and not listed yet
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_a_failed_avatar_and_no_files(make: Callable[..., AvatarStore]) -> None:
    store = make()
    command = [sys.executable, "-c", KILLED, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert make().records()[0].state is RecordState.PREPARING
        os.kill(process.pid, signal.SIGKILL)
    restarted = make()
    (record,) = restarted.records()
    assert record.failure is not None
    assert (record.state, record.failure.reason) == (RecordState.FAILED, "PREPARATION_INTERRUPTED")
    assert everything(restarted) == set()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"state": "ready"}', "\xff"])
def test_a_damaged_record_hides_no_other(make: Callable[..., AvatarStore], content: str) -> None:
    store = make()
    made = publish(store)
    (store.folder / "records" / "0123.json").write_text(content, encoding="latin-1")
    assert make().records() == [made]


def test_a_record_cannot_point_out_of_the_store(make: Callable[..., AvatarStore]) -> None:
    store = make()
    record = Record("evil", "me", "Me", 1.0, "nano", state=RecordState.READY, sha256="../../etc")
    (store.folder / "records").mkdir(parents=True)
    (store.folder / "records" / "evil.json").write_bytes(record.to_json())
    assert store.records() == []


def test_a_full_disk_is_told_as_such(make: Callable[..., AvatarStore], monkeypatch: pytest.MonkeyPatch) -> None:
    store = make()
    record, work = begin(store)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the store of avatars is full") as refused:
        store.fail(record, FAILURE)
    assert refused.value.full
    monkeypatch.undo()
    assert listed(store) == {"me": RecordState.PREPARING}
    work.remove()


def test_a_folder_that_cannot_be_written_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = AvatarStore(PreparationSettings.model_validate({"store": str(tmp_path / "file" / "store")}))
    with pytest.raises(StoreError, match="cannot be written") as refused:
        store.begin()
    assert not refused.value.full
