"""From mouth shape, pose and appearance to pixels."""

import io

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from inference.drawing.appearance import Appearance
from inference.drawing.eyes import Pose, draw_eyes
from inference.drawing.face import draw_chin_shadow, draw_ears, draw_neck, draw_nose, draw_philtrum, draw_skin
from inference.drawing.hair import draw_back_hair, draw_front_hair
from inference.drawing.mouth import draw_mouth, draw_mouth_shadows
from inference.drawing.mouth_shape import MouthShape, mouth_outline
from inference.drawing.scene import draw_background, draw_clothes
from inference.drawing.svg import Canvas

FRAME_SIZE = 512
BOX_SIZE = 256
SCALE = 2  # supersampling; pictures are reduced by averaging areas of SCALE x SCALE
REST_BOX = (128, 116, 384, 372)
Box = tuple[int, int, int, int]
Picture = NDArray[np.uint8]


def face_box(pose: Pose) -> Box:
    """The face box of a pose: 256 x 256, whole pixels, moving with the head."""
    dx, dy = round(pose.dx), round(pose.dy)
    x1, y1, x2, y2 = REST_BOX
    return x1 + dx, y1 + dy, x2 + dx, y2 + dy


class Painter:
    """Draws one identity in one pose with any mouth; what does not move with the mouth is rasterised once."""

    def __init__(self, look: Appearance, pose: Pose, box: Box) -> None:
        """``box`` is the part of the frame to draw, (x1, y1, x2, y2) in whole pixels."""
        self._look, self._pose, self._box = look, pose, box
        self._under: NDArray[np.float32] = _rasterise(_paint_under(pose, look), box)[..., :3]  # [2h, 2w, 3]
        over = _rasterise(_paint_over(pose, look), box)  # [2h, 2w, 4]
        self._over_alpha: NDArray[np.float32] = over[..., 3:] / 255.0
        self._over_colour: NDArray[np.float32] = over[..., :3] * self._over_alpha

    def draw(self, shape: MouthShape) -> Picture:
        """The picture [h, w, 3] RGB with this mouth."""
        face = _rasterise(_paint_face(shape, self._pose, self._look), self._box)
        alpha: NDArray[np.float32] = face[..., 3:] / np.float32(255)
        pixels = face[..., :3] * alpha + self._under * (1 - alpha)  # [2h, 2w, 3]
        mixed: NDArray[np.float32] = self._over_colour + pixels * (1 - self._over_alpha)
        return _reduce(mixed)


def draw_frame(shape: MouthShape, pose: Pose, look: Appearance) -> Picture:
    """The whole frame, [512, 512, 3] RGB."""
    return Painter(look, pose, (0, 0, FRAME_SIZE, FRAME_SIZE)).draw(shape)


def draw_crop(shape: MouthShape, pose: Pose, look: Appearance) -> Picture:
    """The face box alone, [256, 256, 3] RGB: the same pixels as in the frame."""
    return Painter(look, pose, face_box(pose)).draw(shape)


def _paint_under(pose: Pose, look: Appearance) -> Canvas:
    """What lies behind the face's skin."""
    canvas = Canvas()
    draw_background(canvas, look)
    canvas.open_group(0.8 * pose.dx, 0.8 * pose.dy)
    draw_back_hair(canvas, look)
    canvas.close_group()
    canvas.open_group(0.0, -pose.breath)
    draw_neck(canvas, look, pose.dx)
    draw_clothes(canvas, look)
    canvas.close_group()
    canvas.open_group(pose.dx, pose.dy)
    draw_ears(canvas, look)
    canvas.close_group()
    return canvas


def _paint_face(shape: MouthShape, pose: Pose, look: Appearance) -> Canvas:
    """What moves with the mouth: skin, nose, lips and the chin's shadow."""
    canvas = Canvas()
    mouth = mouth_outline(shape, look)
    canvas.open_group(pose.dx, pose.dy)
    draw_chin_shadow(canvas, look, mouth.jaw)
    draw_skin(canvas, shape, mouth, look)
    draw_mouth_shadows(canvas, shape, mouth, look)
    draw_philtrum(canvas, mouth, look)
    draw_nose(canvas, look)
    draw_mouth(canvas, shape, mouth, look)
    canvas.close_group()
    return canvas


def _paint_over(pose: Pose, look: Appearance) -> Canvas:
    """What lies on the skin and does not follow the mouth."""
    canvas = Canvas()
    canvas.open_group(pose.dx, pose.dy)
    draw_eyes(canvas, pose, look)
    draw_front_hair(canvas, look)
    canvas.close_group()
    return canvas


def _rasterise(canvas: Canvas, box: Box) -> NDArray[np.float32]:
    """Straight RGBA in 0..255 at ``SCALE`` pixels a frame pixel, [2h, 2w, 4]."""
    png = resvg_py.svg_to_bytes(svg_string=canvas.text(box, SCALE), skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"), dtype=np.float32)


def _reduce(pixels: NDArray[np.float32]) -> Picture:
    """The mean of each area of SCALE x SCALE pixels."""
    height, width = pixels.shape[0] // SCALE, pixels.shape[1] // SCALE
    areas = pixels.reshape(height, SCALE, width, SCALE, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(areas).clip(0, 255), dtype=np.uint8)
