"""What users upload: a video or a picture of a face, looked at before it is prepared, then read as frames.

Everything here blocks. Whatever is wrong with the file raises InvalidArgument; its reason is SOURCE_UNREADABLE where
the file is no sound one of its type, SOURCE_TOO_LARGE where it is beyond a limit.
"""

import io
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from PIL import Image, ImageOps

from avatar_service.avatars import video
from avatar_service.avatars.video import Upright
from avatar_service.errors import InvalidArgument
from avatar_service.settings import PreparationSettings

FIELD = "data"
MEDIA_TYPES = {"video/mp4": "MP4", "image/png": "PNG", "image/jpeg": "JPEG"}
"""Types that are taken, by what Pillow or people call them."""
SNIFFED_BYTES = 12
"""So many bytes of a file tell its type."""
STILL_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif")
"""Pictures in the container of MP4, as phones take them; they are not taken here."""
SMALLEST_SIDE = 64
"""Pixels; a face that can be animated does not fit into less."""
PICTURE_FPS = Fraction(25)
"""Frame rate of an avatar made of one picture."""
LARGEST_FRAME_BYTES = 900_000
"""Frames travel in messages of up to 1 MiB."""
QUALITIES = (95, 85, 70, 50)
"""JPEG qualities, the first that makes a frame small enough is taken. 95: the model's latents are made of these very
bytes, and at that quality they hardly differ from the source's."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be prepared. `scale` is by how much its pictures are made smaller to `width` by `height`."""

    path: Path
    media_type: str
    width: int
    height: int
    scale: float
    fps: Fraction
    expected_frames: int
    """How many frames it should have; a damaged or odd file has others."""

    @property
    def is_video(self) -> bool:
        """Whether it has more than one frame."""
        return self.media_type == "video/mp4"


def check_type(begin: bytes, media_type: str) -> None:
    """Raise InvalidArgument unless a file that begins so is of the type that it is said to be."""
    found = _type_of(begin)
    if found != media_type:
        known = f"is {found}" if found else f"is none of {', '.join(MEDIA_TYPES)}"
        raise InvalidArgument(FIELD, f"{known}, but config.media_type says {media_type}", reason="MEDIA_TYPE_MISMATCH")


def type_of(path: Path) -> str:
    """The media type of a file by what it holds; empty if it is none that is taken. Raises OSError."""
    with path.open("rb") as file:
        return _type_of(file.read(SNIFFED_BYTES))


def look_at(path: Path, media_type: str, limits: PreparationSettings) -> Source:
    """Read a file's facts and its first picture. Raises InvalidArgument."""
    with path.open("rb") as file:
        check_type(file.read(SNIFFED_BYTES), media_type)
    if media_type == "video/mp4":
        facts = video.look_at(path, limits)
        upright, fps, frames = facts.upright, facts.fps, facts.expected_frames
    else:
        size = _picture(path, media_type, limits).size
        upright, fps, frames = Upright(*size, 0), PICTURE_FPS, 1
    width, height, scale = _fitted(upright, limits.side)
    return Source(path, media_type, width, height, scale, fps, frames)


def frames_of(source: Source, limits: PreparationSettings) -> Generator[bytes, None, None]:
    """Each frame of the avatar's loop as JPEG, all of the source's fitted size, `fps` a second."""
    if source.is_video:
        for picture in video.frames(source.path, source.fps, limits):
            yield _jpeg(_sized(Image.fromarray(picture), source))
    else:
        yield _jpeg(_sized(_picture(source.path, source.media_type, limits), source))


def _type_of(begin: bytes) -> str:
    if begin.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if begin.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "video/mp4" if begin[4:8] == b"ftyp" and begin[8:12] not in STILL_BRANDS else ""


def _fitted(upright: Upright, side: int) -> tuple[int, int, float]:
    """Width, height and scale of an avatar's frames: no side longer than `side`, both even, as video wants them."""
    if min(upright.width, upright.height) < SMALLEST_SIDE:
        raise InvalidArgument(
            FIELD,
            f"is {upright.width} by {upright.height} pixels; give at least {SMALLEST_SIDE} a side",
            reason="SOURCE_UNREADABLE",
        )
    scale = min(1.0, side / max(upright.width, upright.height))
    width, height = (
        max(SMALLEST_SIDE // 2, int(length * scale)) // 2 * 2 for length in (upright.width, upright.height)
    )
    return width, height, scale


def _picture(path: Path, media_type: str, limits: PreparationSettings) -> Image.Image:
    """A picture upright, in RGB, on white where it is transparent."""
    try:
        with Image.open(path, formats=(MEDIA_TYPES[media_type],)) as image:
            if image.width * image.height > limits.source_pixels:
                raise too_many_pixels(image.width, image.height, limits)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidArgument(
            FIELD, f"has more than {limits.source_pixels:,} pixels", reason="SOURCE_TOO_LARGE"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for damaged files
        kind = MEDIA_TYPES[media_type]
        raise InvalidArgument(
            FIELD, f"is a {kind} that cannot be read; it was cut or damaged", reason="SOURCE_UNREADABLE"
        ) from error
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return upright.convert("RGB")


def too_many_pixels(width: int, height: int, limits: PreparationSettings) -> InvalidArgument:
    """The error for a picture that is too large."""
    return InvalidArgument(
        FIELD,
        f"is {width} by {height}; give at most {limits.source_pixels:,} pixels",
        reason="SOURCE_TOO_LARGE",
    )


def _sized(image: Image.Image, source: Source) -> Image.Image:
    """A picture of the avatar's size: scaled down, or a row and column less."""
    if source.scale < 1:
        return image.resize((source.width, source.height), Image.Resampling.LANCZOS)
    return image.crop((0, 0, source.width, source.height))


def _jpeg(image: Image.Image) -> bytes:
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= LARGEST_FRAME_BYTES:
            break
    return file.getvalue()
