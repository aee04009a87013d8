"""From mouth shape, pose and appearance to pixels."""

import io
from copy import copy
from functools import lru_cache

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from inference.drawing.appearance import Appearance
from inference.drawing.eyes import Pose, draw_eyes
from inference.drawing.face import draw_folds, draw_nostrils, face_path, paint_skin
from inference.drawing.hair import draw_back_hair, draw_front_hair
from inference.drawing.mouth import draw_mouth
from inference.drawing.mouth_shape import MouthOutline, MouthShape, mouth_outline
from inference.drawing.neck import chin_shadow, draw_ears, neck_path, paint_neck
from inference.drawing.relief import Grid
from inference.drawing.room import draw_room
from inference.drawing.scene import draw_clothes
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
        self._grid = Grid.of(box, pose.dx, pose.dy)
        x1, y1, x2, y2 = (SCALE * edge for edge in box)
        room = _room(look)[y1:y2, x1:x2].astype(np.float32)  # [2h, 2w, 3]
        behind, before = _rasterise(_paint_behind(pose, look), box), _rasterise(_paint_before(pose, look), box)
        under = room + behind[..., 3:] / np.float32(255) * (behind[..., :3] - room)
        neck = _rasterise(_paint_neck(pose, look), box)[..., 3:] / np.float32(255)  # [2h, 2w, 1]
        hidden = before[..., 3:] / np.float32(255)  # by clothes and ears
        skin = _enlarge(paint_neck(Grid.of(box, 0.0, -pose.breath), look, pose.dx))
        self._neck: NDArray[np.float32] = neck * (1 - hidden) * skin  # the part that the chin can shade
        self._under: NDArray[np.float32] = under * (1 - neck) * (1 - hidden) + hidden * before[..., :3]
        over = _rasterise(_paint_over(pose, look), box)  # [2h, 2w, 4]
        self._over_alpha: NDArray[np.float32] = over[..., 3:] / 255.0
        self._over_colour: NDArray[np.float32] = over[..., :3] * self._over_alpha

    def below(self, row: int) -> "Painter":
        """The painter of the box without its first ``row`` rows; nothing is rasterised again."""
        part = copy(self)
        x1, y1, x2, y2 = self._box
        part._box = x1, y1 + row, x2, y2
        part._grid = Grid.of(part._box, self._pose.dx, self._pose.dy)
        part._neck, part._under = self._neck[SCALE * row :], self._under[SCALE * row :]
        part._over_alpha, part._over_colour = self._over_alpha[SCALE * row :], self._over_colour[SCALE * row :]
        return part

    def draw(self, shape: MouthShape) -> Picture:
        """The picture [h, w, 3] RGB with this mouth."""
        look, pose, mouth = self._look, self._pose, mouth_outline(shape, self._look)
        shade = _enlarge(chin_shadow(self._grid, look, mouth.jaw))  # [2h, 2w, 3]
        pixels = self._under + self._neck * shade
        skin = _enlarge(paint_skin(self._grid, shape, mouth, look))
        inside = _rasterise(_paint_contour(mouth, pose, look), self._box)[..., 3:] / np.float32(255)  # [2h, 2w, 1]
        pixels += inside * (skin - pixels)
        features = _rasterise(_paint_features(shape, mouth, pose, look), self._box)  # [2h, 2w, 4]
        pixels += features[..., 3:] / np.float32(255) * (features[..., :3] - pixels)
        return _reduce(self._over_colour + pixels * (1 - self._over_alpha))


def draw_frame(shape: MouthShape, pose: Pose, look: Appearance) -> Picture:
    """The whole frame, [512, 512, 3] RGB."""
    return Painter(look, pose, (0, 0, FRAME_SIZE, FRAME_SIZE)).draw(shape)


def draw_crop(shape: MouthShape, pose: Pose, look: Appearance) -> Picture:
    """The face box alone, [256, 256, 3] RGB: the same pixels as in the frame."""
    return Painter(look, pose, face_box(pose)).draw(shape)


@lru_cache(maxsize=2)  # 3 MB each
def _room(look: Appearance) -> Picture:
    """The background of the whole frame, [1024, 1024, 3]; it is the same in every pose."""
    canvas = Canvas()
    draw_room(canvas, look)
    return _rasterise(canvas, (0, 0, FRAME_SIZE, FRAME_SIZE))[..., :3].astype(np.uint8)


def _paint_behind(pose: Pose, look: Appearance) -> Canvas:
    """What lies between the room and the neck."""
    canvas = Canvas()
    canvas.open_group(0.8 * pose.dx, 0.8 * pose.dy)
    draw_back_hair(canvas, look, pose.sway)
    canvas.close_group()
    return canvas


def _paint_before(pose: Pose, look: Appearance) -> Canvas:
    """What lies between the neck and the face's skin."""
    canvas = Canvas()
    canvas.open_group(0.0, -pose.breath)
    draw_clothes(canvas, look)
    canvas.close_group()
    canvas.open_group(pose.dx, pose.dy)
    draw_ears(canvas, look)
    canvas.close_group()
    return canvas


def _paint_neck(pose: Pose, look: Appearance) -> Canvas:
    """The neck alone, for its shape: the chin's shadow falls on it."""
    canvas = Canvas()
    canvas.open_group(0.0, -pose.breath)
    canvas.path(neck_path(look, pose.dx), "#ffffff")
    canvas.close_group()
    return canvas


def _paint_contour(mouth: MouthOutline, pose: Pose, look: Appearance) -> Canvas:
    """The face alone, for its shape; the jaw moves with the mouth."""
    canvas = Canvas()
    canvas.open_group(pose.dx, pose.dy)
    canvas.path(face_path(look, mouth.jaw), "#ffffff")
    canvas.close_group()
    return canvas


def _paint_features(shape: MouthShape, mouth: MouthOutline, pose: Pose, look: Appearance) -> Canvas:
    """Lines and openings of nose and mouth, over the skin."""
    canvas = Canvas()
    canvas.open_group(pose.dx, pose.dy)
    draw_folds(canvas, shape, mouth, look)
    draw_nostrils(canvas, look)
    draw_mouth(canvas, shape, mouth, look)
    canvas.close_group()
    return canvas


def _paint_over(pose: Pose, look: Appearance) -> Canvas:
    """What lies on the skin and does not follow the mouth."""
    canvas = Canvas()
    canvas.open_group(pose.dx, pose.dy)
    draw_eyes(canvas, pose, look)
    draw_front_hair(canvas, look, pose.sway)
    canvas.close_group()
    return canvas


def _rasterise(canvas: Canvas, box: Box) -> NDArray[np.float32]:
    """Straight RGBA in 0..255 at ``SCALE`` pixels a frame pixel, [2h, 2w, 4]."""
    png = resvg_py.svg_to_bytes(svg_string=canvas.text(box, SCALE), skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"), dtype=np.float32)


def _enlarge(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pixel of [h, w, c] as SCALE x SCALE equal ones."""
    return pixels.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def _reduce(pixels: NDArray[np.float32]) -> Picture:
    """The mean of each area of SCALE x SCALE pixels."""
    height, width = pixels.shape[0] // SCALE, pixels.shape[1] // SCALE
    areas = pixels.reshape(height, SCALE, width, SCALE, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(areas).clip(0, 255), dtype=np.uint8)
