"""Avatars in the making: one after the other, cancelled at any moment, stopped, failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from avatar_service.avatars.catalogue import Avatar, Catalogue, Unready
from avatar_service.avatars.maker import AvatarMaker, Order
from avatar_service.avatars.preparing import Wanted
from avatar_service.avatars.store import AvatarStore
from avatar_service.engines.base import FoundFace, Weights
from avatar_service.errors import (
    EngineRejected,
    EngineTimeout,
    FailedPrecondition,
    NotFound,
    OverloadError,
    PermissionDenied,
    Unimplemented,
)
from avatar_service.settings import PreparationSettings
from tests.fakes.faces import FakeFaces
from tests.fakes.workers import FakeWorkers
from tests.service.calls import write_avatars
from tests.sources import card, encoded, write_video

LONG_S = 10.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    return write_video(path, [card(index, 128, 128) for index in range(20)]).read_bytes()


class Making:
    """A maker, its catalogue and its folder."""

    def __init__(self, catalogue: Catalogue, maker: AvatarMaker, folder: Path) -> None:
        self.catalogue, self.maker, self.folder = catalogue, maker, folder

    async def upload(self, content: bytes, avatar_id: str = "me", media_type: str = "video/mp4", **order: Any) -> Any:
        """Upload a file as `CreateAvatar` does."""
        wanted = Order(Wanted(avatar_id, "Me"), media_type, **order)
        checked = await self.maker.check(wanted)
        if not isinstance(checked, Weights):
            return self.maker.of_record(checked)
        async with self.maker.upload(checked) as upload:
            upload.file.write_bytes(content)
            return await self.maker.start(wanted, upload)

    async def ended(self, avatar_id: str = "me", within_s: float = LONG_S) -> Avatar | Unready:
        """The avatar once it is not prepared any more."""
        async with asyncio.timeout(within_s):
            while isinstance(avatar := self.catalogue.find(avatar_id), Unready) and not avatar.failure:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)  # its folder is removed last
        return avatar

    @property
    def left(self) -> set[str]:
        """What lies in the folder but for records."""
        return {path.name for path in self.folder.iterdir()} - {".lock", "records"} if self.folder.exists() else set()


@asynccontextmanager
async def making(tmp_path: Path, faces: FakeFaces | None, **settings: Any) -> AsyncIterator[Making]:
    bundled = tmp_path / "bundled"
    if not bundled.exists():
        write_avatars(bundled, "ada")
    given = PreparationSettings.model_validate({"store": str(tmp_path / "store")} | settings)
    catalogue = Catalogue.load(bundled, store=AvatarStore(given))
    async with AvatarMaker(catalogue, faces, given, FakeWorkers()) as maker:
        yield Making(catalogue, maker, given.folder)


async def test_a_video_becomes_an_avatar_while_its_progress_rises(tmp_path: Path, video: bytes) -> None:
    faces = FakeFaces()
    async with making(tmp_path, faces) as made:
        begun = await made.upload(video)
        assert isinstance(begun, Unready)
        seen = []
        while isinstance(avatar := made.catalogue.find("me"), Unready):
            seen.append(avatar.progress_percent)
            await asyncio.sleep(0.001)
        assert seen == sorted(seen)
        assert len(set(seen)) >= 5
        assert (avatar.width, avatar.height, avatar.loop_length, avatar.public) == (128, 128, 38, False)
        assert avatar.report is not None
        assert avatar.report.source_frames == 20
        await made.ended()
        assert made.left == {avatar.sha256}
    # The latents are made of exactly the bytes that the bundle stores.
    frames = sorted((made.folder / avatar.sha256 / "frames").iterdir())
    assert [image for image, _ in sorted(faces.encoded)] == sorted(path.read_bytes() for path in frames)
    assert faces.most_running == 2


async def test_frames_without_a_face_are_left_out_of_the_bundle(tmp_path: Path, video: bytes) -> None:
    def hidden(index: int) -> FoundFace | None:
        return FoundFace((40, 40, 100, 120), 0.9) if 2 <= index < 15 else None

    async with making(tmp_path, FakeFaces(face=hidden)) as made:
        await made.upload(video)
        avatar = await made.ended()
    assert isinstance(avatar, Avatar)
    assert avatar.report is not None
    assert (avatar.report.dropped_frames, avatar.loop_length) == (7, 24)
    frames = sorted(path.name for path in (made.folder / avatar.sha256 / "frames").iterdir())
    assert frames == [f"{index:05d}.jpg" for index in range(13)]


@pytest.mark.parametrize("seed", range(40))
async def test_an_avatar_that_is_deleted_at_any_moment_leaves_nothing(tmp_path: Path, video: bytes, seed: int) -> None:
    random = Random(seed)
    faces = FakeFaces()
    async with making(tmp_path, faces) as made:
        await made.upload(video)
        await asyncio.sleep(random.uniform(0, 0.08))
        await made.maker.delete("avatars/me", allow_missing=False)
        ready = made.left
        with pytest.raises(NotFound):
            made.catalogue.find("me")
        assert faces.running == 0
        # Only if it was ready by then, its files stay for the grace.
        assert all(len(name) == 64 for name in ready)
    AvatarStore(PreparationSettings.model_validate({"store": str(made.folder), "delete_grace_s": 0})).open()
    assert made.left == set()


@pytest.mark.parametrize("seed", range(20))
async def test_a_maker_that_stops_at_any_moment_shows_what_it_did_not_finish_as_failed(
    tmp_path: Path, video: bytes, seed: int
) -> None:
    random = Random(seed)
    async with making(tmp_path, FakeFaces()) as made:
        await made.upload(video, "one")
        await made.upload(video, "two")
        await asyncio.sleep(random.uniform(0, 0.06))
    async with making(tmp_path, FakeFaces()) as again:
        for avatar_id in ("one", "two"):
            avatar = again.catalogue.find(avatar_id)
            if isinstance(avatar, Unready):
                assert avatar.failure is not None
                assert avatar.failure.reason == "PREPARATION_INTERRUPTED"
        assert all(len(name) == 64 for name in again.left)


async def test_an_upload_that_is_cancelled_leaves_nothing(tmp_path: Path, video: bytes) -> None:
    for moment in range(12):
        async with making(tmp_path, FakeFaces()) as made:
            uploading = asyncio.ensure_future(made.upload(video))
            await asyncio.sleep(0.0005 * moment)
            cancelled = uploading.cancel()
            await asyncio.wait({uploading})
            if cancelled and uploading.cancelled():
                assert made.catalogue.all() == [made.catalogue.get("ada")]
                assert made.left == set()


async def test_one_is_prepared_after_the_other(tmp_path: Path, video: bytes) -> None:
    async with making(tmp_path, FakeFaces()) as made:
        await made.upload(video, "one")
        await made.upload(video, "two")
        while isinstance(made.catalogue.find("one"), Unready):
            waiting = made.catalogue.find("two")
            assert isinstance(waiting, Unready)
            assert waiting.progress_percent == 0
            await asyncio.sleep(0.001)
        assert isinstance(await made.ended("two"), Avatar)


async def test_a_full_queue_refuses_with_a_time_to_ask_again(tmp_path: Path, video: bytes) -> None:
    async with making(tmp_path, FakeFaces(call_s=1.0), queued=1) as made:
        await made.upload(video, "one")
        await made.upload(video, "two")
        with pytest.raises(OverloadError, match="2 avatars are being uploaded and prepared") as full:
            await made.upload(video, "three")
        assert (full.value.reason, full.value.retry_after_s) == ("PREPARATIONS_EXHAUSTED", 30.0)
        await made.maker.delete("one", allow_missing=False)
        await made.upload(video, "three")


@pytest.mark.parametrize(
    ("faces", "code", "reason"),
    [
        (FakeFaces(face=lambda index: None), "INVALID_ARGUMENT", "FACE_NOT_FOUND"),
        (
            FakeFaces(fails=range(1, 2), error=EngineTimeout("prepare", "t", "")),
            "DEADLINE_EXCEEDED",
            "PREPARATION_FAILED",
        ),
        (
            FakeFaces(fails=range(4, 5), error=EngineRejected("prepare", "t", "")),
            "FAILED_PRECONDITION",
            "PREPARATION_FAILED",
        ),
    ],
    ids=["landscape", "slow", "refused"],
)
async def test_a_preparation_that_fails_says_why_and_leaves_no_files(
    tmp_path: Path, video: bytes, faces: FakeFaces, code: str, reason: str
) -> None:
    async with making(tmp_path, faces) as made:
        await made.upload(video)
        avatar = await made.ended()
        assert isinstance(avatar, Unready)
        assert avatar.failure is not None
        assert (avatar.failure.code, avatar.failure.reason) == (code, reason)
        assert made.left == set()
        with pytest.raises(FailedPrecondition, match="avatars/me could not be prepared") as refused:
            made.catalogue.get("me", "avatar")
        assert refused.value.reason == "AVATAR_NOT_READY"
        await made.upload(encoded(card()), media_type="image/png")  # its id is free for another try


async def test_a_fault_of_our_own_fails_that_avatar_alone(
    tmp_path: Path, video: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(FakeFaces):
        async def find(self, images: Any) -> Any:
            """Break at the first avatar."""
            if not self.looked_at:
                self.looked_at += images
                raise ZeroDivisionError("secret")
            return await super().find(images)

    async with making(tmp_path, Broken()) as made:
        await made.upload(video, "one")
        await made.upload(video, "two")
        one, two = await made.ended("one"), await made.ended("two")
    assert isinstance(one, Unready)
    assert one.failure is not None
    assert one.failure.code == "INTERNAL"
    assert "secret" not in one.failure.message
    assert isinstance(two, Avatar)


async def test_the_demonstration_model_wants_to_be_forced(tmp_path: Path) -> None:
    faces = FakeFaces(weights=Weights("nano", "0" * 64))
    async with making(tmp_path, faces) as made:
        with pytest.raises(FailedPrecondition, match=r"config\.force") as refused:
            await made.upload(encoded(card()), media_type="image/png")
        assert refused.value.reason == "DEMONSTRATION_MODEL"
        await made.upload(encoded(card()), media_type="image/png", force=True)
        assert isinstance(await made.ended(), Avatar)


@pytest.mark.parametrize("faces", [None, FakeFaces(served=False)], ids=["none", "not served"])
async def test_without_the_model_nothing_is_made(tmp_path: Path, faces: FakeFaces | None) -> None:
    async with making(tmp_path, faces) as made:
        assert not await made.maker.offered()
        with pytest.raises(Unimplemented, match="does not serve the model `prepare`"):
            await made.upload(b"")
        assert made.left == set()


async def test_what_is_the_operators_stays(tmp_path: Path) -> None:
    async with making(tmp_path, FakeFaces()) as made:
        with pytest.raises(PermissionDenied, match="is its operator's"):
            await made.maker.delete("avatars/ada", allow_missing=True)
        with pytest.raises(NotFound, match="no avatar 'avatars/nobody'"):
            await made.maker.delete("avatars/nobody", allow_missing=False)
        await made.maker.delete("avatars/../../etc", allow_missing=True)
