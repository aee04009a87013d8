"""Avatars made from the client: what is uploaded, what is seen of the preparation, what is deleted."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar import v1
from avatar.v1 import AvatarServiceServicer, AvatarState, add_AvatarServiceServicer_to_server
from avatar_client import (
    AlreadyExists,
    AsyncAvatarClient,
    Avatar,
    AvatarClient,
    FaceBox,
    FileError,
    NotFound,
    PreparationFailed,
    PreparationReport,
)
from avatar_client import client as client_module
from tests.sources import card, encoded
from tests.unit.client.command import Run, invoke
from tests.unit.client.scripted_service import failure

PNG = encoded(card(width=600, height=400)) + bytes(150_000)
"""A picture of a few parts."""


class MakingService(AvatarServiceServicer):
    """Takes an upload, and comes a quarter further with each look at it."""

    def __init__(self) -> None:
        self.config = v1.CreateAvatarConfig()
        self.parts: list[bytes] = []
        self.deleted: list[v1.DeleteAvatarRequest] = []
        self.looks = 0
        self.fails: v1.Status | None = None

    def CreateAvatar(self, request_iterator: Any, context: Any) -> v1.CreateAvatarResponse:  # noqa: N802
        """Keep what comes."""
        for request in request_iterator:
            if request.WhichOneof("payload") == "config":
                self.config = request.config
            else:
                self.parts.append(request.data)
        if self.config.avatar_id == "ada":
            status = failure(v1.Code.CODE_ALREADY_EXISTS, "AVATAR_EXISTS", "there is an avatar 'ada'")
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.ALREADY_EXISTS, status.message)
        avatar = v1.Avatar(name=f"avatars/{self.config.avatar_id}", state=AvatarState.AVATAR_STATE_PREPARING)
        return v1.CreateAvatarResponse(avatar=avatar)

    def GetAvatar(self, request: Any, context: Any) -> v1.GetAvatarResponse:  # noqa: N802
        """A quarter further."""
        percent, self.looks = min(100, 25 * self.looks), self.looks + 1
        avatar = v1.Avatar(name=request.name, progress_percent=percent, state=AvatarState.AVATAR_STATE_PREPARING)
        if self.fails and percent >= 50:
            avatar.state = AvatarState.AVATAR_STATE_FAILED
            avatar.status.CopyFrom(self.fails)
        elif percent == 100:
            report = v1.PreparationReport(source_frame_count=10, dropped_frame_count=3)
            ready = v1.Avatar(
                state=AvatarState.AVATAR_STATE_READY, width=64, height=48, tier="nano", preparation_report=report
            )
            avatar.MergeFrom(ready)
        return v1.GetAvatarResponse(avatar=avatar)

    def DeleteAvatar(self, request: Any, context: Any) -> v1.DeleteAvatarResponse:  # noqa: N802
        """Delete anything but nobody."""
        self.deleted.append(request)
        if request.name == "avatars/nobody" and not request.allow_missing:
            context.abort(grpc.StatusCode.NOT_FOUND, "no avatar")
        return v1.DeleteAvatarResponse()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> MakingService:
    monkeypatch.setattr(client_module, "POLL_S", 0.01)
    return MakingService()


@pytest.fixture
def address(service: MakingService) -> Iterator[str]:
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        add_AvatarServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


@pytest.mark.parametrize("as_file", [True, False])
def test_a_picture_is_uploaded_in_parts(service: MakingService, address: str, tmp_path: Path, as_file: bool) -> None:
    path = tmp_path / "me.png"
    path.write_bytes(PNG)

    async def create() -> Avatar:
        async with AsyncAvatarClient(address) as client:
            return await client.create_avatar(
                path if as_file else PNG,
                avatar_id="me",
                display_name="Me",
                face_boxes=[FaceBox(1, 2, 40, 50)],
                smooth_boxes=True,
                force=True,
            )

    avatar = asyncio.run(create())
    assert (avatar.name, avatar.state) == ("avatars/me", "PREPARING")
    assert b"".join(service.parts) == PNG
    assert max(map(len, service.parts)) == 64_000
    config = service.config
    assert (config.avatar_id, config.display_name, config.media_type) == ("me", "Me", "image/png")
    assert (config.size_bytes, config.force, config.smooth_boxes) == (len(PNG), True, True)
    (box,) = config.face_boxes
    assert (box.left, box.top, box.width, box.height) == (1, 2, 40, 50)


def test_the_preparation_is_told_as_it_goes_on(service: MakingService, address: str) -> None:
    with AvatarClient(address) as client:
        states = list(client.preparation("me"))
    assert [state.progress_percent for state in states] == [0, 25, 50, 75, 100]
    assert (states[-1].state, states[-1].width) == ("READY", 64)
    assert states[-1].preparation_report == PreparationReport(10, 0, 3)


def test_a_preparation_that_fails_raises_with_its_reason(service: MakingService, address: str) -> None:
    service.fails = failure(v1.Code.CODE_INVALID_ARGUMENT, "FACE_NOT_FOUND", "no face was found")
    with (
        AvatarClient(address) as client,
        pytest.raises(PreparationFailed, match="avatars/me could not be prepared: no face was found") as failed,
    ):
        list(client.preparation("me"))
    assert failed.value.reason == "FACE_NOT_FOUND"


def test_an_id_that_is_taken_and_an_avatar_that_is_not_there(service: MakingService, address: str) -> None:
    with AvatarClient(address) as client:
        with pytest.raises(AlreadyExists, match="there is an avatar 'ada'"):
            client.create_avatar(PNG, avatar_id="ada")
        with pytest.raises(NotFound):
            client.delete_avatar("nobody")
        client.delete_avatar("avatars/nobody", allow_missing=True)
    assert [request.name for request in service.deleted] == ["avatars/nobody"] * 2


@pytest.mark.parametrize("content", [None, b"", b"GIF89a", b"\0\0\0\x18ftypheic"])
def test_a_file_that_is_not_taken_is_refused_on_this_side(address: str, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "me.gif"
    if content is not None:
        path.write_bytes(content)
    with AvatarClient(address) as client, pytest.raises(FileError, match=r"me\.gif"):
        client.create_avatar(path)


def command(address: str, name: str, *arguments: str) -> Run:
    return invoke(name, *arguments, "--server", address)


def test_the_command_uploads_and_says_that_it_is_being_prepared(
    service: MakingService, address: str, tmp_path: Path
) -> None:
    (tmp_path / "me.png").write_bytes(PNG)
    run = command(address, "create-avatar", str(tmp_path / "me.png"), "--id", "me", "--smooth")
    assert (run.status, run.out) == (0, "avatars/me is being prepared\n")
    assert service.config.request_id
    assert service.config.smooth_boxes


def test_the_command_waits_where_it_is_told_to(service: MakingService, address: str, tmp_path: Path) -> None:
    (tmp_path / "me.png").write_bytes(PNG)
    arguments = (str(tmp_path / "me.png"), "--id", "me", "--wait")
    run = command(address, "create-avatar", *arguments)
    assert (run.status, run.err) == (0, "")
    assert run.out.splitlines() == [
        "avatars/me is ready: 64 x 48, nano",
        "no face was found in 3 of 10 frames; they are left out",
    ]
    service.looks = 0
    told = json.loads(command(address, "create-avatar", *arguments, "--json").out)
    assert (told["name"], told["state"], told["preparation_report"]["dropped_frame_count"]) == (
        "avatars/me",
        "READY",
        3,
    )


def test_a_failed_preparation_is_a_failed_command(service: MakingService, address: str, tmp_path: Path) -> None:
    (tmp_path / "me.png").write_bytes(PNG)
    service.fails = failure(v1.Code.CODE_INVALID_ARGUMENT, "FACE_NOT_FOUND", "no face was found")
    run = command(address, "create-avatar", str(tmp_path / "me.png"), "--id", "me", "--wait")
    assert (run.status, run.out) == (1, "")
    assert run.words == "avatar-client: avatars/me could not be prepared: no face was found"


def test_the_command_deletes(service: MakingService, address: str) -> None:
    assert command(address, "delete-avatar", "me").out == "deleted me\n"
    assert command(address, "delete-avatar", "nobody").status == 1
    assert command(address, "delete-avatar", "nobody", "--missing-ok").status == 0
