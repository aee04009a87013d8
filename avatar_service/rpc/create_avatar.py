"""`CreateAvatar`: what is uploaded, checked and put on the disk, and then given to the maker."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from avatar.v1 import CreateAvatarConfig, CreateAvatarRequest, CreateAvatarResponse
from avatar_service.access.audit import granted
from avatar_service.access.identity import caller
from avatar_service.avatars.boxes import SMALLEST_FACE
from avatar_service.avatars.maker import AvatarMaker, Order, chosen_id
from avatar_service.avatars.preparing import Wanted
from avatar_service.avatars.record import Record
from avatar_service.avatars.source import MEDIA_TYPES, SNIFFED_BYTES, check_type
from avatar_service.avatars.store import store_error
from avatar_service.avatars.workers import Workers
from avatar_service.engines.base import Box
from avatar_service.errors import InvalidArgument, TooSlow
from avatar_service.rpc.checks import at_most
from avatar_service.rpc.from_proto import unexpected
from avatar_service.rpc.lists import avatar_message
from avatar_service.rpc.reader import CONFIG_WITHIN_S, decoded, read_config
from avatar_service.rpc.undecodable import Undecodable
from avatar_service.settings import PreparationSettings

PART_WITHIN_S = CONFIG_WITHIN_S
"""Longest wait for the next part of an upload."""
UPLOAD_WITHIN_S = 900.0
"""Longest upload: it holds a place that others wait for."""
PART_BYTES = 64_000
"""Most bytes of a part, as the contract says."""
WRITTEN_BYTES = 1 << 20
"""Parts are written to the disk together, so many bytes at a time."""
NAME_CHARACTERS = 64
_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")

Requests = AsyncIterator[CreateAvatarRequest | Undecodable]


async def create_avatar(
    requests: Requests, maker: AvatarMaker, workers: Workers, limits: PreparationSettings
) -> CreateAvatarResponse:
    """Take an upload and begin to prepare it. Raises AvatarError; then nothing of the upload is kept."""
    config = (await read_config(requests)).config
    order = order_from(config, limits)
    checked = await maker.check(order)
    if isinstance(checked, Record):
        return CreateAvatarResponse(avatar=avatar_message(maker.of_record(checked)))
    async with maker.upload(checked, order.owner) as upload:
        await _receive(requests, config, upload.file, workers, limits)
        avatar = await maker.start(order, upload)
    granted("avatar_created", avatar=avatar.name)
    return CreateAvatarResponse(avatar=avatar_message(avatar))


def order_from(config: CreateAvatarConfig, limits: PreparationSettings) -> Order:
    """What is asked for. Raises InvalidArgument naming the field that is wrong."""
    if config.avatar_id and not _ID.fullmatch(config.avatar_id):
        raise InvalidArgument(
            "config.avatar_id",
            "is no id; give 1 to 63 lower-case letters, digits and hyphens, beginning with a letter",
        )
    at_most("config.display_name", config.display_name, NAME_CHARACTERS)
    if not config.display_name.isprintable():
        raise InvalidArgument("config.display_name", "holds a character that cannot be shown; leave it out")
    if config.media_type not in MEDIA_TYPES:
        raise InvalidArgument("config.media_type", f"is {config.media_type[:80]!r}; give {', '.join(MEDIA_TYPES)}")
    _check_size(config.size_bytes, limits)
    avatar_id = config.avatar_id or chosen_id()
    return Order(
        wanted=Wanted(
            avatar_id=avatar_id,
            display_name=config.display_name or avatar_id,
            boxes=tuple(_boxes(config, limits)),
            smooth_boxes=config.smooth_boxes,
        ),
        media_type=config.media_type,
        request_id=_request_id(config.request_id),
        force=config.force,
        owner=caller().tenant,
    )


def _boxes(config: CreateAvatarConfig, limits: PreparationSettings) -> list[Box]:
    if len(config.face_boxes) > limits.source_frames:
        raise InvalidArgument("config.face_boxes", f"has more than {limits.source_frames} boxes")
    boxes = []
    for index, box in enumerate(config.face_boxes):
        path = f"config.face_boxes[{index}]"
        if box.left < 0 or box.top < 0:
            raise InvalidArgument(path, "begins outside of the picture; left and top count from 0")
        if min(box.width, box.height) < SMALLEST_FACE:
            raise InvalidArgument(path, f"is {box.width} by {box.height}; give at least {SMALLEST_FACE} pixels a side")
        boxes.append((box.left, box.top, box.left + box.width, box.top + box.height))
    return boxes


def _request_id(given: str) -> str:
    try:
        return str(uuid.UUID(given)) if given else ""
    except ValueError:
        raise InvalidArgument("config.request_id", "is no UUID; give one, or leave it empty") from None


def _check_size(size_bytes: int, limits: PreparationSettings) -> None:
    if size_bytes < 0:
        raise InvalidArgument("config.size_bytes", "is below 0; leave it out where it is not known")
    if size_bytes > limits.upload_bytes:
        raise InvalidArgument(
            "config.size_bytes",
            f"is {size_bytes:,}; at most {limits.upload_bytes:,} bytes are taken",
            reason="SOURCE_TOO_LARGE",
        )


async def _receive(
    requests: Requests, config: CreateAvatarConfig, path: Path, workers: Workers, limits: PreparationSettings
) -> None:
    """Write the parts to `path`. Raises ClientError for an upload that is not as announced, StoreError."""
    waiting, received, begin = bytearray(), 0, b""
    try:
        async with asyncio.timeout(UPLOAD_WITHIN_S):
            async for part in _parts(requests):
                waiting += part
                received += len(part)
                _check_received(received, config, limits)
                if len(begin) < SNIFFED_BYTES:
                    begin += part[:SNIFFED_BYTES]
                    if len(begin) >= SNIFFED_BYTES:
                        check_type(begin, config.media_type)
                if len(waiting) >= WRITTEN_BYTES:
                    await _append(path, bytes(waiting), workers)
                    waiting.clear()
            await _append(path, bytes(waiting), workers)
    except TimeoutError:
        raise TooSlow(f"the upload took more than {UPLOAD_WITHIN_S:g} s", reason="UPLOAD_STALLED") from None
    if received == 0 or received < config.size_bytes:
        announced = f"{config.size_bytes:,}" if config.size_bytes else "at least 1"
        raise InvalidArgument(
            "data", f"ended after {received:,} bytes, {announced} were to come", reason="UPLOAD_INCOMPLETE"
        )


async def _parts(requests: Requests) -> AsyncIterator[bytes]:
    """The bytes of each part until the client half-closes. Raises ClientError."""
    while True:
        try:
            async with asyncio.timeout(PART_WITHIN_S):
                request = decoded(await anext(requests))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow(f"no part of the upload came for {PART_WITHIN_S:g} s", reason="UPLOAD_STALLED") from None
        match request.WhichOneof("payload"):
            case "data" if 0 < len(request.data) <= PART_BYTES:
                yield request.data
            case "data":
                raise InvalidArgument("data", f"has {len(request.data):,} bytes; a part has 1 to {PART_BYTES:,}")
            case other:
                raise unexpected(other, "data")


def _check_received(received: int, config: CreateAvatarConfig, limits: PreparationSettings) -> None:
    if config.size_bytes and received > config.size_bytes:
        raise InvalidArgument(
            "data", f"has more bytes than the {config.size_bytes:,} of config.size_bytes", reason="UPLOAD_INCOMPLETE"
        )
    if received > limits.upload_bytes:
        raise InvalidArgument(
            "data", f"has more than {limits.upload_bytes:,} bytes, the limit", reason="SOURCE_TOO_LARGE"
        )


async def _append(path: Path, content: bytes, workers: Workers) -> None:
    def append() -> None:
        with path.open("ab") as file:
            file.write(content)

    try:
        await workers.run(append)
    except OSError as error:
        raise store_error(error) from error
