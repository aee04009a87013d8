"""A video or picture on its way to `CreateAvatar`: its type, its size, its parts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from avatar.v1 import CreateAvatarConfig, CreateAvatarRequest
from avatar.v1 import FaceBox as WireBox
from avatar_client.errors import FileError
from avatar_client.facts import FaceBox

PART_BYTES: Final = 64_000  # the contract's most
TYPES: Final = {"video/mp4": "MP4", "image/png": "PNG", "image/jpeg": "JPEG"}
STILL_BRANDS: Final = (b"heic", b"heix", b"mif1", b"msf1", b"avif")  # pictures in the container of MP4
BEGIN_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Upload:
    """What is uploaded: the bytes themselves, or a file that is read while they are sent."""

    source: bytes | Path
    media_type: str
    size_bytes: int

    @classmethod
    def of(cls, source: bytes | Path | str) -> "Upload":
        """Look at a file or its bytes. Raises FileError if it cannot be read or is of no type that is taken."""
        path = None if isinstance(source, bytes) else Path(source)
        try:
            begin = source[:BEGIN_BYTES] if isinstance(source, bytes) else _begin(Path(source))
            size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror}") from error
        media_type = _type_of(begin)
        if not media_type:
            raise FileError(f"{path or 'the source'} is none of {', '.join(TYPES.values())}")
        return cls(path or bytes(source), media_type, size)  # type: ignore[arg-type]  # without a path it is bytes

    async def requests(
        self,
        avatar_id: str,
        display_name: str,
        request_id: str,
        face_boxes: Sequence[FaceBox],
        *,
        force: bool,
        smooth_boxes: bool,
    ) -> AsyncIterator[CreateAvatarRequest]:
        """The messages of the call. Raises FileError if the file cannot be read any more."""
        config = CreateAvatarConfig(
            avatar_id=avatar_id,
            display_name=display_name,
            request_id=request_id,
            media_type=self.media_type,
            size_bytes=self.size_bytes,
            face_boxes=[WireBox(left=b.left, top=b.top, width=b.width, height=b.height) for b in face_boxes],
            force=force,
            smooth_boxes=smooth_boxes,
        )
        yield CreateAvatarRequest(config=config)
        async for data in self._parts():
            yield CreateAvatarRequest(data=data)

    async def _parts(self) -> AsyncIterator[bytes]:
        if isinstance(self.source, bytes):
            for begin in range(0, len(self.source), PART_BYTES):
                yield self.source[begin : begin + PART_BYTES]
            return
        try:
            file = await asyncio.to_thread(self.source.open, "rb")
            with file:
                while data := await asyncio.to_thread(file.read, PART_BYTES):
                    yield data
        except OSError as error:
            raise FileError(f"{self.source} cannot be read: {error.strerror}") from error


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BEGIN_BYTES)


def _type_of(begin: bytes) -> str:
    if begin.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if begin.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "video/mp4" if begin[4:8] == b"ftyp" and begin[8:12] not in STILL_BRANDS else ""
