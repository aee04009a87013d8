"""`CreateAvatar` and `DeleteAvatar`: what is uploaded is prepared, listed, used and deleted."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    AvatarState,
    Code,
    CreateAvatarRequest,
    DeleteAvatarRequest,
    FaceBox,
    GetAvatarRequest,
)
from tests.fakes.faces import FakeFaces
from tests.fakes.lip_sync import FakeLipSync
from tests.service.calls import Fakes, serving
from tests.service.test_lists import refused
from tests.service.uploads import PNG, WITHIN_S, ended, get, left, names, nothing_left, parts, upload
from tests.sources import card, write_video


async def test_an_upload_is_answered_at_once_and_prepared_without_the_caller(store: Path) -> None:
    async with serving(store, Fakes(faces=FakeFaces(call_s=0.1))) as server:
        answered = (await upload(server, avatar_id="me", display_name="Me")).avatar
        assert (answered.name, answered.display_name) == ("avatars/me", "Me")
        assert answered.state == AvatarState.AVATAR_STATE_PREPARING
        assert (answered.width, answered.content_sha256, answered.public) == (0, "", False)
        assert answered.create_time.seconds > 0
        assert await names(server) == ["avatars/ada", "avatars/bo", "avatars/me"]
        avatar = await ended(server)
        assert avatar.state == AvatarState.AVATAR_STATE_READY
        assert (avatar.width, avatar.height, avatar.progress_percent, avatar.loop_frame_count) == (320, 240, 100, 1)
        assert (avatar.tier, avatar.demonstration, avatar.public) == ("musetalk-v15", False, False)
        assert avatar.preparation_report.source_frame_count == 1
        assert avatar.create_time == answered.create_time


async def test_an_avatar_speaks_as_soon_as_it_is_ready(store: Path) -> None:
    fakes = Fakes(faces=FakeFaces(call_s=0.2))
    async with serving(store, fakes) as server:
        await upload(server, avatar_id="me")
        for calling in (server.speak("Hello.", avatar="me"),):
            with pytest.raises(grpc.aio.AioRpcError) as early:
                await calling.until("turn_completed")
            assert early.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert "is being prepared" in str(early.value.details())
        avatar = await ended(server)
        await server.speak("Hello.", avatar="me", pacing={"unpaced": True}).until("turn_completed")
        assert {request.avatar for request in fakes.lip_sync.requests} == {f"me@{avatar.content_sha256}"}


async def test_a_conversation_with_an_avatar_that_is_not_ready_is_refused(store: Path) -> None:
    async with serving(store, Fakes(faces=FakeFaces(face=lambda index: None))) as server:
        await upload(server, avatar_id="me")
        failed = await ended(server)
        assert failed.state == AvatarState.AVATAR_STATE_FAILED
        assert (failed.status.code, failed.status.error_info.reason) == (Code.CODE_INVALID_ARGUMENT, "FACE_NOT_FOUND")
        for call in (server.converse(), server.animate()):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await call.configure(avatar="avatars/me")
            assert refusal.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert "could not be prepared: data: no face" in str(refusal.value.details())
        await nothing_left(store)


async def test_a_video_with_the_callers_boxes_is_not_searched(store: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [card(index) for index in range(10)]).read_bytes()
    faces = FakeFaces()
    async with serving(store, Fakes(faces=faces)) as server:
        boxes = [FaceBox(left=20, top=30, width=100, height=120)]
        await upload(server, video, avatar_id="me", media_type="video/mp4", face_boxes=boxes, size_bytes=len(video))
        assert (await ended(server)).loop_frame_count == 18
    assert faces.looked_at == []
    assert {box for _, box in faces.encoded} == {(20, 30, 120, 150)}


async def test_boxes_are_smoothed_where_that_is_asked_for(store: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [card(index) for index in range(10)]).read_bytes()
    boxes = [FaceBox(left=20 + 8 * (index % 2), top=30, width=100, height=120) for index in range(10)]
    edges = {}
    for smooth in (False, True):
        faces = FakeFaces()
        async with serving(store, Fakes(faces=faces)) as server:
            name = f"me-{smooth}".lower()
            config = {"media_type": "video/mp4", "face_boxes": boxes, "smooth_boxes": smooth}
            await upload(server, video, avatar_id=name, **config)
            await ended(server, name)
        edges[smooth] = {box[0] for _, box in faces.encoded}
    assert edges[False] == {20, 28}
    assert edges[True] < set(range(21, 28))


async def test_the_server_chooses_an_id_where_none_is_given(store: Path) -> None:
    async with serving(store) as server:
        first, second = (await upload(server)).avatar, (await upload(server)).avatar
        assert first.name != second.name
        assert first.name == f"avatars/{first.display_name}"


async def test_a_repeated_request_returns_the_avatar_of_the_first(store: Path) -> None:
    request_id = str(uuid.uuid4())
    async with serving(store) as server:
        first = (await upload(server, request_id=request_id)).avatar
        again = (await upload(server, request_id=request_id.upper())).avatar
        assert again.name == first.name
    async with serving(store) as restarted:
        assert (await upload(restarted, request_id=request_id)).avatar.name == first.name
        assert len(await names(restarted)) == 3


async def test_a_client_that_goes_in_mid_upload_leaves_nothing(store: Path) -> None:
    async with serving(store) as server:
        sent = asyncio.Event()

        async def requests() -> AsyncIterator[CreateAvatarRequest]:
            for part in parts(PNG, size=100)[:4]:
                yield part
            sent.set()
            await asyncio.get_running_loop().create_future()

        call: Any = server.stub.CreateAvatar
        calling = call(requests())
        await sent.wait()
        async with asyncio.timeout(WITHIN_S):
            while not left(store):
                await asyncio.sleep(0.01)
        calling.cancel()
        await nothing_left(store)
        assert await names(server) == ["avatars/ada", "avatars/bo"]


async def test_a_deleted_avatar_is_gone_at_once_and_its_session_goes_on(store: Path) -> None:
    fakes = Fakes(lip_sync=FakeLipSync())
    async with serving(store, fakes) as server:
        await upload(server, avatar_id="me")
        sha256 = (await ended(server)).content_sha256
        call = server.converse()
        await call.configure(avatar="me")
        await server.stub.DeleteAvatar(DeleteAvatarRequest(name="avatars/me"))
        assert await names(server) == ["avatars/ada", "avatars/bo"]
        code, _ = await refused(server.stub.DeleteAvatar(DeleteAvatarRequest(name="avatars/me")))
        assert code is grpc.StatusCode.NOT_FOUND
        await server.stub.DeleteAvatar(DeleteAvatarRequest(name="avatars/me", allow_missing=True))
        await call.text("Are you there?")
        await call.until("turn_completed")
        assert {request.avatar for request in fakes.lip_sync.requests} == {f"me@{sha256}"}
        assert left(store) == {sha256}
        await upload(server, avatar_id="me")


async def test_deleting_an_avatar_that_is_prepared_cancels_it(store: Path) -> None:
    faces = FakeFaces(call_s=5)
    async with serving(store, Fakes(faces=faces)) as server:
        await upload(server, avatar_id="me")
        async with asyncio.timeout(WITHIN_S):
            while not faces.running:
                await asyncio.sleep(0.01)
        await server.stub.DeleteAvatar(DeleteAvatarRequest(name="avatars/me"))
        assert (faces.running, left(store)) == (0, set())
        code, _ = await refused(server.stub.GetAvatar(GetAvatarRequest(name="avatars/me")))
        assert code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("avatars/ada", grpc.StatusCode.PERMISSION_DENIED),
        ("avatars/../made", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_cannot_be_deleted(store: Path, name: str, code: grpc.StatusCode) -> None:
    async with serving(store) as server:
        found, status = await refused(server.stub.DeleteAvatar(DeleteAvatarRequest(name=name)))
        assert (found, status.code) == (code, code.value[0])


async def test_a_server_that_stops_shows_the_avatar_as_failed_when_it_is_back(store: Path) -> None:
    async with serving(store, Fakes(faces=FakeFaces(call_s=5))) as server:
        await upload(server, avatar_id="me")
    assert left(store) == set()
    async with serving(store) as restarted:
        avatar = await get(restarted)
        assert avatar.state == AvatarState.AVATAR_STATE_FAILED
        assert avatar.status.error_info.reason == "PREPARATION_INTERRUPTED"
        await upload(restarted, avatar_id="me")
        assert (await ended(restarted)).state == AvatarState.AVATAR_STATE_READY
