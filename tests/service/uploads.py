"""Uploads to `CreateAvatar`, and what they leave."""

import asyncio
from pathlib import Path
from typing import Any

from avatar.v1 import (
    Avatar,
    AvatarState,
    CreateAvatarConfig,
    CreateAvatarRequest,
    GetAvatarRequest,
    ListAvatarsRequest,
)
from tests.service.calls import Server
from tests.sources import card, encoded

PNG = encoded(card())
WITHIN_S = 10.0


def parts(content: bytes, size: int = 60_000, **config: Any) -> list[CreateAvatarRequest]:
    """The messages of an upload."""
    head = CreateAvatarRequest(config=CreateAvatarConfig(**{"media_type": "image/png"} | config))
    cut = [content[begin : begin + size] for begin in range(0, len(content), size)]
    return [head, *(CreateAvatarRequest(data=data) for data in cut)]


def upload(server: Server, content: bytes = PNG, **config: Any) -> Any:
    """Upload a file."""
    call: Any = server.stub.CreateAvatar
    return call(iter(parts(content, **config)))


async def get(server: Server, avatar_id: str = "me") -> Avatar:
    return (await server.stub.GetAvatar(GetAvatarRequest(name=f"avatars/{avatar_id}"))).avatar


async def ended(server: Server, avatar_id: str = "me") -> Avatar:
    """The avatar once it is not prepared any more."""
    async with asyncio.timeout(WITHIN_S):
        while (avatar := await get(server, avatar_id)).state == AvatarState.AVATAR_STATE_PREPARING:
            await asyncio.sleep(0.01)
    return avatar


async def names(server: Server) -> list[str]:
    return [avatar.name for avatar in (await server.stub.ListAvatars(ListAvatarsRequest())).avatars]


def left(store: Path) -> set[str]:
    """What lies in the folder of uploaded avatars but for records."""
    folder = store.parent / "made"
    return {path.name for path in folder.iterdir()} - {".lock", "records"} if folder.exists() else set()


async def nothing_left(store: Path) -> None:
    async with asyncio.timeout(WITHIN_S):
        while left(store):
            await asyncio.sleep(0.01)
