"""Frames of every encoding become pictures; captions fit."""

from fractions import Fraction

import av
import numpy as np
import pytest

from avatar_client.events import Frame
from avatar_client.frames import FrameDecoder, with_caption
from tests.unit.client.scripted_service import SIZE, grey


def frame(data: bytes) -> Frame:
    return Frame(turn_id=1, index=0, offset_s=0.0, data=data)


def test_a_jpeg_becomes_its_picture() -> None:
    decoder = FrameDecoder("JPEG", SIZE, SIZE)
    picture = decoder.decode(frame(grey(120)))
    assert picture is not None
    assert picture.shape == (SIZE, SIZE, 3)
    assert np.abs(picture.astype(int) - 120).max() <= 2


def test_a_raw_frame_keeps_its_colours() -> None:
    picture = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(SIZE, SIZE, 3)
    decoded = FrameDecoder("RAW", SIZE, SIZE).decode(frame(picture.tobytes()))
    assert decoded is not None
    np.testing.assert_array_equal(decoded, picture)


def test_each_h264_access_unit_gives_its_frame_at_once() -> None:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = SIZE
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", Fraction(25), Fraction(1, 25)
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    decoder = FrameDecoder("H264", SIZE, SIZE)
    for level in (60, 120, 180):
        source = av.VideoFrame.from_ndarray(np.full((SIZE, SIZE, 3), level, np.uint8), format="rgb24")
        (packet,) = encoder.encode(source)
        picture = decoder.decode(frame(bytes(packet)))
        assert picture is not None
        assert picture.mean() == pytest.approx(level, abs=4)


def test_a_damaged_frame_gives_no_picture() -> None:
    decoder = FrameDecoder("JPEG", SIZE, SIZE)
    assert decoder.decode(frame(b"no picture")) is None


@pytest.mark.parametrize("caption", ["Short?", "word " * 200, "unbroken" * 60, "Où est la lune? Где луна?"])
@pytest.mark.parametrize(("width", "height"), [(512, 512), (64, 64), (320, 240)])
def test_a_caption_of_any_length_stays_in_the_lower_third(caption: str, width: int, height: int) -> None:
    picture = np.full((height, width, 3), 120, np.uint8)
    captioned = with_caption(picture, caption)
    assert (captioned[: height * 2 // 3] == 120).all()
    assert (captioned[height * 2 // 3 :] != 120).any()
    assert (picture == 120).all(), "the picture itself is not painted on"


def test_no_caption_leaves_the_picture_alone() -> None:
    picture = np.full((64, 64, 3), 120, np.uint8)
    assert with_caption(picture, "") is picture
