"""Decoding of received frames, and the caption that a recording may carry."""

from functools import lru_cache

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avatar_client.events import Frame
from avatar_client.facts import FrameEncoding

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Picture = NDArray[np.uint8]  # [height, width, 3], red, green, blue

CAPTION_LINES = 3
CAPTION_FONT = "DejaVuSans.ttf"  # where it is installed: it has more scripts than Pillow's built-in font


class FrameDecoder:
    """Turns the frames of one stream into pictures. Frames are to be given in order, which matters for H.264 alone."""

    def __init__(self, encoding: FrameEncoding, width: int, height: int) -> None:
        """Set up for frames of `width` by `height` pixels in `encoding`."""
        self._shape = (height, width, 3)
        self._codec: VideoCodecContext | None = None
        if encoding != "RAW":
            name = "h264" if encoding == "H264" else "mjpeg"
            codec = av.CodecContext.create(name, "r")
            assert isinstance(codec, VideoCodecContext)
            codec.thread_count = 1  # with more threads the decoder holds frames back
            self._codec = codec

    def decode(self, frame: Frame) -> Picture | None:
        """The picture of `frame`, or None where the stream is damaged or has not reached a key frame."""
        if self._codec is None:
            return np.frombuffer(frame.data, np.uint8).reshape(self._shape)
        try:
            decoded = self._codec.decode(av.Packet(frame.data))
        except av.error.InvalidDataError:
            return None
        return decoded[-1].to_ndarray(format="rgb24").astype(np.uint8, copy=False) if decoded else None


def with_caption(picture: Picture, caption: str) -> Picture:
    """A copy of `picture` with `caption` on a calm strip in its lower third; the picture itself if there is none."""
    if not caption:
        return picture
    height, width = picture.shape[:2]
    strip = _strip(caption, width, height)
    top = height - strip.shape[0]
    opacity = strip[:, :, 3:] / np.float32(255)
    captioned = picture.copy()
    captioned[top:] = (strip[:, :, :3] * opacity + picture[top:] * (1 - opacity)).astype(np.uint8)
    return captioned


@lru_cache(maxsize=8)
def _strip(caption: str, width: int, height: int) -> NDArray[np.uint8]:
    """The strip for a picture of that size, [rows, width, 4] with opacity; it reaches to the picture's lower edge."""
    size = max(6, height // 26)
    font = _font(size)
    margin, padding, line_height = height // 32, size * 3 // 4, size * 5 // 4
    room = (height // 3 - margin - 2 * padding - size) // line_height + 1
    lines = _wrap(caption, font, width - 2 * margin - 2 * padding, max(1, min(CAPTION_LINES, room)))
    box_height = (len(lines) - 1) * line_height + size + 2 * padding
    image = Image.new("RGBA", (width, box_height + margin), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((margin, 0, width - margin, box_height), radius=padding, fill=(18, 22, 28, 190))
    for row, line in enumerate(lines):
        middle = padding + row * line_height + size // 2
        draw.text((width // 2, middle), line, font=font, fill=(245, 245, 242, 255), anchor="mm")
    return np.asarray(image)


def _font(size: int) -> Font:
    try:
        return ImageFont.truetype(CAPTION_FONT, size)
    except OSError:
        return ImageFont.load_default(size)


def _wrap(text: str, font: Font, width: int, count: int) -> list[str]:
    """Break `text` into at most `count` lines that fit `width` pixels; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > count:
        lines = [*lines[: count - 1], " ".join(lines[count - 1 :])]
    return [_shorten(line, font, width) for line in lines]


def _shorten(line: str, font: Font, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line.rstrip()}…"
