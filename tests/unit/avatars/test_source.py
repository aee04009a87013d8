"""What users upload, looked at and read as frames."""

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avatar_service.avatars.source import Source, frames_of, look_at
from avatar_service.errors import InvalidArgument
from avatar_service.settings import PreparationSettings
from tests.sources import Picture, card, encoded, write_sound, write_video

TURNED = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""Rows of the matrix that phones write where they were held so many degrees anticlockwise."""


def limits(**changes: Any) -> PreparationSettings:
    return PreparationSettings.model_validate(changes)


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def look(path: Path, **changes: Any) -> Source:
    kinds = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}
    return look_at(path, kinds[path.suffix], limits(**changes))


def pictures(source: Source, **changes: Any) -> list[NDArray[np.uint8]]:
    return [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in frames_of(source, limits(**changes))]


def number(picture: NDArray[np.uint8]) -> int:
    """The number of a card, told by its red."""
    return round((float(picture[-40:, -40:, 0].mean()) - 40) / 7)


def bright_corner(picture: NDArray[np.uint8]) -> tuple[str, str]:
    grey = picture.mean(axis=2)
    half_y, half_x = (length // 2 for length in grey.shape)
    return (
        "top" if grey[:half_y].mean() > grey[half_y:].mean() else "bottom",
        "left" if grey[:, :half_x].mean() > grey[:, half_x:].mean() else "right",
    )


def turned(path: Path, degrees: int) -> Path:
    """The same video with the matrix of a phone that was turned."""
    content = bytearray(path.read_bytes())
    at = content.find(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in TURNED[degrees])
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return save(path.with_name(f"turned{degrees}.mp4"), bytes(content))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4", [card(index) for index in range(30)])


def test_every_frame_of_a_video_is_read_in_its_order(video: Path) -> None:
    source = look(video)
    assert (source.width, source.height, source.fps, source.expected_frames) == (320, 240, Fraction(25), 30)
    assert [number(picture) for picture in pictures(source)] == list(range(30))


@pytest.mark.parametrize(
    ("fps", "told"),
    [(Fraction(30_000, 1_001), Fraction(30_000, 1_001)), (Fraction(24), Fraction(24)), (Fraction(50), Fraction(50))],
)
def test_the_frame_rate_is_the_streams_own_fraction(tmp_path: Path, fps: Fraction, told: Fraction) -> None:
    source = look(write_video(tmp_path / "v.mp4", [card(index) for index in range(10)], fps))
    assert source.fps == told
    assert len(pictures(source)) == 10


def test_a_variable_rate_becomes_constant_by_the_time_stamps(tmp_path: Path) -> None:
    # Ten frames at 25 a second, the sixth of them held for five frames' time.
    times = [3_600 * (index + (4 if index > 5 else 0)) for index in range(10)]
    source = look(write_video(tmp_path / "v.mp4", [card(index) for index in range(10)], 25, times))
    shown = [number(picture) for picture in pictures(source)]
    length_s = len(shown) / source.fps
    assert abs(length_s - Fraction(14, 25)) < Fraction(2, 25)
    held = shown.count(5) / source.fps
    assert abs(held - Fraction(5, 25)) <= 1 / source.fps
    assert shown == sorted(shown)


@pytest.mark.parametrize(
    ("degrees", "corner"), [(90, ("top", "right")), (180, ("bottom", "right")), (270, ("bottom", "left"))]
)
def test_a_video_is_upright_however_the_phone_was_held(video: Path, degrees: int, corner: tuple[str, str]) -> None:
    source = look(turned(video, degrees))
    assert (source.width, source.height) == ((320, 240) if degrees == 180 else (240, 320))
    first = pictures(source)[0]
    assert first.shape == (source.height, source.width, 3)
    assert bright_corner(first) == corner


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, ("top", "left")), (6, ("top", "right")), (3, ("bottom", "right"))]
)
def test_a_picture_is_upright_by_its_exif(tmp_path: Path, orientation: int, corner: tuple[str, str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = look(save(tmp_path / "p.jpg", encoded(card(), "JPEG", exif=exif)))
    (picture,) = pictures(source)
    assert bright_corner(picture) == corner
    assert (source.width, source.height) == ((240, 320) if orientation == 6 else (320, 240))


def test_a_picture_is_a_loop_of_one_frame(tmp_path: Path) -> None:
    source = look(save(tmp_path / "p.png", encoded(card())))
    assert (source.fps, source.expected_frames, source.is_video) == (Fraction(25), 1, False)
    assert len(pictures(source)) == 1


def test_large_sources_are_scaled_down_and_odd_sizes_made_even(tmp_path: Path) -> None:
    large = look(save(tmp_path / "large.png", encoded(card(width=1_001, height=501))), side=400)
    assert (large.width, large.height) == (400, 200)
    assert pictures(large)[0].shape == (200, 400, 3)
    odd = look(save(tmp_path / "odd.png", encoded(card(width=201, height=101))))
    assert (odd.width, odd.height, odd.scale) == (200, 100, 1.0)
    assert pictures(odd)[0].shape == (100, 200, 3)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    clear = np.zeros((80, 80, 4), np.uint8)
    (picture,) = pictures(look(save(tmp_path / "p.png", encoded(clear))))
    assert picture.min() > 250


def test_a_frame_of_noise_is_made_small_enough_for_a_message(tmp_path: Path) -> None:
    noise: Picture = np.random.default_rng(0).integers(0, 256, (1_280, 1_280, 3), np.uint8)
    (jpeg,) = frames_of(look(save(tmp_path / "p.png", encoded(noise))), limits())
    assert len(jpeg) <= 900_000


@pytest.mark.parametrize(
    ("name", "content", "reason", "words"),
    [
        ("p.png", encoded(card())[:-2_00], "SOURCE_UNREADABLE", "is a PNG that cannot be read"),
        ("p.jpg", encoded(card(), "JPEG")[:400], "SOURCE_UNREADABLE", "is a JPEG that cannot be read"),
        (
            "p.png",
            encoded(card(), "JPEG"),
            "MEDIA_TYPE_MISMATCH",
            "is image/jpeg, but config.media_type says image/png",
        ),
        ("p.png", b"GIF89a" + bytes(40), "MEDIA_TYPE_MISMATCH", "is none of video/mp4, image/png, image/jpeg"),
        ("v.mp4", b"\0\0\0\x18ftypheic" + bytes(40), "MEDIA_TYPE_MISMATCH", "is none of"),
        ("v.mp4", b"\0\0\0\x18ftypisom" + bytes(40), "SOURCE_UNREADABLE", "is an MP4 that cannot be read"),
        ("p.png", b"", "MEDIA_TYPE_MISMATCH", "is none of"),
        ("p.png", encoded(card(width=60, height=200)), "SOURCE_UNREADABLE", "give at least 64 a side"),
    ],
)
def test_a_file_that_is_no_sound_one_of_its_type_is_refused(
    tmp_path: Path, name: str, content: bytes, reason: str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        look(save(tmp_path / name, content))
    assert refused.value.reason == reason


def test_a_video_that_was_cut_is_refused_by_its_header(tmp_path: Path, video: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read; it was cut or damaged"):
        look(save(tmp_path / "cut.mp4", video.read_bytes()[:-600]))


def test_a_file_of_sound_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="has sound alone"):
        look(write_sound(tmp_path / "sound.mp4"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source_s": 1.0}, r"has 1.2 s of video, 30 frames or more; give at most 1 s and 900 frames"),
        ({"source_frames": 29}, "at most 30 s and 29 frames"),
        ({"source_pixels": 50_000}, "is 320 by 240; give at most 50,000 pixels"),
    ],
)
def test_a_video_beyond_a_limit_is_refused(video: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        look(video, **changes)
    assert refused.value.reason == "SOURCE_TOO_LARGE"


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is 320 by 240; give at most 50,000 pixels"):
        look(save(tmp_path / "p.png", encoded(card())), source_pixels=50_000)
