"""Frames as they go over the wire: the renderer's JPEG to other encodings.

Of a frame of 512 x 512 pixels, decoding to RAW takes 0.6 ms of a core; decoding and encoding as H264 takes 2.7 ms at a
million bits a second and gives 37.1 dB. JPEG itself is 38.4 dB from what the renderer drew. To have undamaged pixels
from the renderer instead would take 0.4 ms more of the service's core than decoding does and 28 times the bytes, for
1.9 dB of H264. x264's preset `superfast` is chosen: `ultrafast` saves 0.5 ms and loses 0.7 dB (1.5 dB at 300,000 bits
a second), `veryfast` costs 0.6 ms more and gains nothing.
"""

from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
import simplejpeg
from av.video.frame import PictureType

H264_BITS_PER_SECOND = 1_000_000
H264_KEYFRAME_INTERVAL_S = 2.0
"""Defaults of the contract."""
FRAME_BYTES = 1 << 20
"""Most bytes that one frame may have on the wire, as the contract says."""
BUFFER_BITS = 8 * FRAME_BYTES
"""Largest buffer that the rate control of H.264 assumes at the decoder, so that no frame is larger than one may be."""


class MalformedPicture(ValueError):
    """Bytes are not the picture that they should be, or it cannot be encoded; the text says why."""


class FrameEncoding(Enum):
    """How the bytes of a frame hold its picture."""

    JPEG = auto()
    RAW = auto()
    H264 = auto()


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """How frames go over the wire; the last two are for H264 alone."""

    encoding: FrameEncoding = FrameEncoding.JPEG
    bits_per_second: int = H264_BITS_PER_SECOND
    keyframe_interval_s: float = H264_KEYFRAME_INTERVAL_S


JPEG = FrameFormat()
"""Frames as they come from the renderer."""


class PictureEncoder(Protocol):
    """Encodes the pictures of one stream, in order. It blocks."""

    def encode(self, image: bytes, *, keyframe: bool) -> bytes:
        """A JPEG in another encoding; `keyframe` if it must be decodable without those before it, else it need not be.

        Raises MalformedPicture.
        """


def picture_encoder(wanted: FrameFormat, fps: Fraction) -> PictureEncoder | None:
    """An encoder of pictures that come as JPEG; None where they go as they are."""
    match wanted.encoding:
        case FrameEncoding.JPEG:
            return None
        case FrameEncoding.RAW:
            return RawEncoder()
        case FrameEncoding.H264:
            return H264Encoder(fps, wanted.bits_per_second)


class RawEncoder:
    """Rows of red, green and blue, as libjpeg decodes them; every frame stands alone."""

    def encode(self, image: bytes, *, keyframe: bool) -> bytes:
        """A JPEG in another encoding. Raises MalformedPicture."""
        try:
            pixels = simplejpeg.decode_jpeg(image, colorspace="RGB")  # uint8 [height, width, 3]
        except ValueError as error:
            raise MalformedPicture(f"{len(image)} bytes are not a JPEG") from error
        data: bytes = np.ascontiguousarray(pixels).tobytes()
        return data


class H264Encoder:
    """Annex B, one access unit a frame, no reordering, parameter sets before each key frame; libx264.

    Frames are encoded on the caller's thread. It becomes about 7 MB large with the first picture of 512 x 512, and all
    pictures must be of the first one's size.
    """

    def __init__(self, fps: Fraction, bits_per_second: int) -> None:
        self._fps = fps
        self._bits_per_second = bits_per_second
        self._jpeg = _jpeg_decoder()
        self._h264: Any = None
        self._count = 0

    def encode(self, image: bytes, *, keyframe: bool) -> bytes:
        """A JPEG in another encoding; not a key frame unless it must be one. Raises MalformedPicture."""
        try:
            # JPEG has full range, while decoders of H.264 expect the range of television unless told otherwise.
            picture = self._decoded(image).reformat(format="yuv420p", dst_color_range="MPEG")
            if self._h264 is None:
                self._h264 = self._opened(picture.width, picture.height)
            if (picture.width, picture.height) != (self._h264.width, self._h264.height):
                raise MalformedPicture(f"a picture of {picture.width} x {picture.height} among others of another size")
            picture.pts, picture.time_base = self._count, 1 / self._fps
            picture.pict_type = PictureType.I if keyframe else PictureType.P
            packets = self._h264.encode(picture)
        except av.FFmpegError as error:
            raise MalformedPicture(f"the picture cannot be encoded: {error}") from error
        self._count += 1
        data = b"".join(bytes(packet) for packet in packets)
        if not 0 < len(data) <= FRAME_BYTES:
            raise MalformedPicture(f"the encoded picture has {len(data)} bytes; 1 to {FRAME_BYTES} may go")
        return data

    def _decoded(self, image: bytes) -> Any:
        try:
            if image:  # an empty packet would end the decoder's stream
                return self._jpeg.decode(av.Packet(image))[0]
        except (av.FFmpegError, IndexError):
            self._jpeg = _jpeg_decoder()
        raise MalformedPicture(f"{len(image)} bytes are not a JPEG")

    def _opened(self, width: int, height: int) -> Any:
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = 1 / self._fps, self._fps
        context.bit_rate, context.max_b_frames, context.thread_count = self._bits_per_second, 0, 1
        buffer_bits = min(self._bits_per_second, BUFFER_BITS)
        parameters = {
            "vbv-maxrate": self._bits_per_second // 1_000,
            "vbv-bufsize": buffer_bits // 1_000,
            "keyint": "infinite",  # key frames come when they are asked for
            "scenecut": 0,
            "colorprim": "smpte170m",  # the colours of JPEG
            "transfer": "smpte170m",
            "colormatrix": "smpte170m",
        }
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x264-params": ":".join(f"{name}={value}" for name, value in parameters.items()),
        }
        return context


def _jpeg_decoder() -> Any:
    decoder: Any = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    return decoder
