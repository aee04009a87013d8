"""Uploads that are refused: one clear status each, and nothing of them is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    CreateAvatarRequest,
    FaceBox,
    GetServerInfoRequest,
)
from avatar_service.engines.base import Weights
from avatar_service.errors import EngineUnavailable
from avatar_service.rpc import create_avatar
from tests.fakes.faces import FakeFaces
from tests.service.calls import Fakes, serving
from tests.service.test_lists import refused
from tests.service.uploads import PNG, ended, left, names, parts, upload

REFUSALS: list[tuple[dict[str, Any], bytes, str, str, str]] = [
    ({"avatar_id": "Me"}, PNG, "config.avatar_id", "FIELD_INVALID", "is no id"),
    ({"avatar_id": "me\n"}, PNG, "config.avatar_id", "FIELD_INVALID", "is no id"),
    ({"avatar_id": "../me"}, PNG, "config.avatar_id", "FIELD_INVALID", "is no id"),
    ({"avatar_id": "9lives"}, PNG, "config.avatar_id", "FIELD_INVALID", "beginning with a letter"),
    ({"display_name": "x" * 65}, PNG, "config.display_name", "TEXT_TOO_LONG", "at most 64"),
    ({"display_name": "a\nb"}, PNG, "config.display_name", "FIELD_INVALID", "cannot be shown"),
    ({"request_id": "1"}, PNG, "config.request_id", "FIELD_INVALID", "is no UUID"),
    ({"media_type": ""}, PNG, "config.media_type", "FIELD_INVALID", "video/mp4, image/png, image/jpeg"),
    ({"media_type": "image/gif"}, PNG, "config.media_type", "FIELD_INVALID", "video/mp4"),
    ({"media_type": "image/jpeg"}, PNG, "data", "MEDIA_TYPE_MISMATCH", "is image/png, but config.media_type says"),
    ({"size_bytes": -1}, PNG, "config.size_bytes", "FIELD_INVALID", "below 0"),
    ({"size_bytes": 2_000_000}, PNG, "config.size_bytes", "SOURCE_TOO_LARGE", "at most 1,000,000 bytes"),
    ({"size_bytes": len(PNG) + 1}, PNG, "data", "UPLOAD_INCOMPLETE", f"ended after {len(PNG):,} bytes"),
    ({"size_bytes": len(PNG) - 1}, PNG, "data", "UPLOAD_INCOMPLETE", "has more bytes than"),
    ({}, b"", "data", "UPLOAD_INCOMPLETE", "ended after 0 bytes"),
    ({}, PNG + bytes(1_000_000), "data", "SOURCE_TOO_LARGE", "more than 1,000,000 bytes"),
    ({}, PNG[:300], "data", "SOURCE_UNREADABLE", "it was cut or damaged"),
    ({"face_boxes": [FaceBox(left=-1, width=40, height=40)]}, PNG, "config.face_boxes[0]", "FIELD_INVALID", "outside"),
    ({"face_boxes": [FaceBox(width=31, height=40)]}, PNG, "config.face_boxes[0]", "FIELD_INVALID", "at least 32"),
    ({"face_boxes": [FaceBox(width=40, height=40)] * 51}, PNG, "config.face_boxes", "FIELD_INVALID", "more than 50"),
]


@pytest.mark.parametrize(("config", "content", "field", "reason", "words"), REFUSALS, ids=range(len(REFUSALS)))
async def test_a_wrong_upload_is_refused_by_its_field_and_nothing_is_kept(
    store: Path, config: dict[str, Any], content: bytes, field: str, reason: str, words: str
) -> None:
    async with serving(store, making={"upload_bytes": 1_000_000, "source_frames": 50}) as server:
        code, status = await refused(upload(server, content, **config))
        assert (code, status.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
        assert status.error_info.reason == reason
        assert words in status.message
        assert await names(server) == ["avatars/ada", "avatars/bo"]
        assert left(store) == set()


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([], "CONFIG_EXPECTED"),
        ([CreateAvatarRequest(data=b"1")], "CONFIG_EXPECTED"),
        (parts(b"") * 2, "CONFIG_REPEATED"),
        ([*parts(b""), CreateAvatarRequest()], "MESSAGE_EMPTY"),
        ([*parts(b""), CreateAvatarRequest(data=b"")], "FIELD_INVALID"),
        ([*parts(b""), CreateAvatarRequest(data=bytes(64_001))], "FIELD_INVALID"),
    ],
)
async def test_messages_out_of_order_are_refused(store: Path, requests: list[CreateAvatarRequest], reason: str) -> None:
    async with serving(store) as server:
        call: Any = server.stub.CreateAvatar
        code, status = await refused(call(iter(requests)))
        assert (code, status.error_info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert left(store) == set()


@pytest.mark.parametrize("taken", ["ada", "me"])
async def test_an_id_that_is_taken_is_refused_before_the_upload(store: Path, taken: str) -> None:
    async with serving(store, Fakes(faces=FakeFaces(call_s=0.5))) as server:
        await upload(server, avatar_id="me")
        code, status = await refused(upload(server, avatar_id=taken))
        assert (code, status.error_info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "AVATAR_EXISTS")
        assert f"there is an avatar {taken!r}" in status.message


async def test_a_full_queue_says_when_to_come_again(store: Path) -> None:
    async with serving(store, Fakes(faces=FakeFaces(call_s=5)), {"queued": 0}) as server:
        await upload(server)
        code, status = await refused(upload(server))
        assert (code, status.error_info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PREPARATIONS_EXHAUSTED")
        assert status.retry_delay.seconds == 30


async def test_a_full_store_says_what_to_do(store: Path) -> None:
    async with serving(store, making={"stored": 1}) as server:
        await upload(server)
        code, status = await refused(upload(server))
        assert (code, status.error_info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "AVATARS_EXHAUSTED")
        assert not status.HasField("retry_delay")


async def test_a_full_disk_says_so_and_nothing_is_kept(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Callable[..., Any] = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "upload" and arguments == ("ab",):
            raise OSError(28, "No space left on device")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    async with serving(store) as server:
        code, status = await refused(upload(server))
        assert (code, status.error_info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_UNAVAILABLE")
        assert left(store) == set()


async def test_the_demonstration_model_wants_to_be_forced(store: Path) -> None:
    async with serving(store, Fakes(faces=FakeFaces(weights=Weights("nano", "0" * 64)))) as server:
        code, status = await refused(upload(server, avatar_id="me"))
        assert (code, status.error_info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEMONSTRATION_MODEL")
        assert "config.force" in status.message
        await upload(server, avatar_id="me", force=True)
        assert (await ended(server)).demonstration


async def test_a_triton_that_makes_no_avatars_is_said_to(store: Path) -> None:
    async with serving(store, Fakes(faces=FakeFaces(served=False))) as server:
        assert "create-avatar" not in (await server.stub.GetServerInfo(GetServerInfoRequest())).features
        code, status = await refused(upload(server))
        assert (code, status.error_info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FEATURE_UNSUPPORTED")


async def test_a_triton_that_is_lost_fails_the_call(store: Path) -> None:
    class Lost(FakeFaces):
        async def weights(self) -> Weights:
            """Fail."""
            raise EngineUnavailable("prepare", "triton", "secret")

    async with serving(store, Fakes(faces=Lost())) as server:
        code, status = await refused(upload(server))
        assert (code, status.error_info.reason) == (grpc.StatusCode.UNAVAILABLE, "PREPARATION_FAILED")
        assert "secret" not in status.message


async def test_an_upload_that_stalls_gives_up_its_place(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_avatar, "PART_WITHIN_S", 0.1)
    async with serving(store) as server:
        calling: Any = server.stub.CreateAvatar
        call = calling()
        await call.write(parts(PNG)[0])
        code, status = await refused(call)
        assert (code, status.error_info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")
        assert left(store) == set()
