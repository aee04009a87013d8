"""Frames in other encodings than the renderer's: what is decoded is what was encoded."""

from fractions import Fraction

import numpy as np
import pytest
import simplejpeg
from av.video.frame import PictureType

from avatar_service.media.frame_codec import (
    FRAME_BYTES,
    JPEG,
    FrameEncoding,
    FrameFormat,
    H264Encoder,
    MalformedPicture,
    RawEncoder,
    picture_encoder,
)
from tests.pictures import HEIGHT, WIDTH, h264_frames, jpeg, nal_types, pixels_of, psnr_db

FPS = Fraction(25)
SPS, PPS, KEY_PICTURE, PICTURE = 7, 8, 5, 1
SEI = 6


def encoded(count: int, keyframes: set[int], bits_per_second: int = 1_000_000) -> list[bytes]:
    encoder = H264Encoder(FPS, bits_per_second)
    return [encoder.encode(jpeg(index), keyframe=index in keyframes) for index in range(count)]


def test_jpeg_goes_as_it_is() -> None:
    assert picture_encoder(JPEG, FPS) is None


def test_raw_is_the_decoded_picture_bit_by_bit() -> None:
    encoder = picture_encoder(FrameFormat(FrameEncoding.RAW), FPS)
    assert encoder is not None
    for index in range(3):
        data = encoder.encode(jpeg(index), keyframe=False)
        assert len(data) == WIDTH * HEIGHT * 3
        assert data == pixels_of(jpeg(index)).tobytes()


def test_h264_looks_like_the_pictures_it_was_made_of() -> None:
    frames = h264_frames(encoded(60, {0}))
    likeness = [psnr_db(pixels_of(jpeg(i)), frame.to_ndarray(format="rgb24")) for i, frame in enumerate(frames)]
    assert len(frames) == 60
    assert min(likeness) > 34
    assert psnr_db(pixels_of(jpeg(0)), frames[5].to_ndarray(format="rgb24")) < 25, "the pictures move"


def test_one_access_unit_a_frame_comes_at_once_and_in_order_without_b_frames() -> None:
    units = encoded(60, {0, 30})
    assert [unit.count(b"\0\0\1") > 0 for unit in units] == [True] * 60
    kinds = [[kind for kind in nal_types(unit) if kind in (KEY_PICTURE, PICTURE)] for unit in units]
    assert all(len(set(kind)) == 1 for kind in kinds)
    decoded = h264_frames(units)
    assert len(decoded) == 60
    assert {PictureType(frame.pict_type) for frame in decoded} == {PictureType.I, PictureType.P}


def test_key_frames_come_when_they_are_asked_for_and_never_else() -> None:
    asked = {0, 1, 17, 40}
    units = encoded(60, asked)
    assert {index for index, unit in enumerate(units) if KEY_PICTURE in nal_types(unit)} == asked


def test_parameter_sets_stand_before_each_key_frame() -> None:
    for index, unit in enumerate(encoded(20, {0, 12})):
        kinds = [kind for kind in nal_types(unit) if kind != SEI]
        assert kinds[:3] == [SPS, PPS, KEY_PICTURE] if index in (0, 12) else kinds[0] == PICTURE


@pytest.mark.parametrize("first", [0, 7, 31])
def test_decoding_can_begin_at_any_key_frame(first: int) -> None:
    frames = h264_frames(encoded(50, {0, 7, 31})[first:])
    assert len(frames) == 50 - first
    for index, frame in enumerate(frames, first):
        assert psnr_db(pixels_of(jpeg(index)), frame.to_ndarray(format="rgb24")) > 34


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(30_000, 1_001), Fraction(60)], ids=str)
def test_any_frame_rate_of_an_avatar_can_be_encoded(fps: Fraction) -> None:
    encoder = H264Encoder(fps, 1_000_000)
    units = [encoder.encode(jpeg(index), keyframe=not index) for index in range(20)]
    assert len(h264_frames(units)) == 20


def test_colours_are_tagged_as_they_are_meant() -> None:
    (frame,) = h264_frames(encoded(1, {0}))
    assert (frame.format.name, frame.color_range, frame.colorspace) == ("yuv420p", 1, 6), "of television, BT.601"


@pytest.mark.parametrize("bits_per_second", [100_000, 1_000_000])
def test_bits_a_second_are_kept(bits_per_second: int) -> None:
    units = encoded(250, {0, 50, 100, 150, 200}, bits_per_second)
    assert sum(map(len, units)) * 8 / 10 < 1.1 * bits_per_second


def test_a_frame_never_has_more_bytes_than_one_may() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1_088, 1_920, 3), np.uint8)
    data = H264Encoder(FPS, 20_000_000).encode(simplejpeg.encode_jpeg(noise, quality=95), keyframe=True)
    assert 100_000 < len(data) <= FRAME_BYTES


@pytest.mark.parametrize("encoder", [RawEncoder(), H264Encoder(FPS, 1_000_000)], ids=["raw", "h264"])
@pytest.mark.parametrize("image", [b"", b"no picture", b"\xff\xd8\xff\xe0" + bytes(40)], ids=["empty", "text", "cut"])
def test_what_is_no_picture_is_refused_and_the_next_one_is_encoded(
    encoder: RawEncoder | H264Encoder, image: bytes
) -> None:
    with pytest.raises(MalformedPicture, match=f"{len(image)} bytes are not a JPEG"):
        encoder.encode(image, keyframe=True)
    assert encoder.encode(jpeg(1), keyframe=True)


def test_a_picture_of_another_size_is_refused() -> None:
    encoder = H264Encoder(FPS, 1_000_000)
    encoder.encode(jpeg(0), keyframe=True)
    with pytest.raises(MalformedPicture, match="64 x 64 among others of another size"):
        encoder.encode(jpeg(0, 64, 64), keyframe=True)
