"""Pictures and videos as users upload them."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]  # [height, width, 3] RGB


def card(index: int = 0, width: int = 320, height: int = 240) -> Picture:
    """A picture whose red tells its number, with a bright corner at the top left."""
    picture = np.full((height, width, 3), ((40 + 7 * index) % 256, 60, 90), np.uint8)
    picture[: height // 4, : width // 4] = 255
    return picture


def encoded(picture: Picture, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file of this kind."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def write_video(
    path: Path, pictures: Sequence[Picture], fps: Fraction | int = 25, times: Sequence[int] | None = None
) -> Path:
    """An MP4 of these pictures; `times` are their time stamps in 1/90000 s where the rate is not constant."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "18"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """An MP4 with a second of silence and no video."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
