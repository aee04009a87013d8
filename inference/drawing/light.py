"""The portrait's light: a warm key from the upper left, a cool rim from the right, skin that glows in its shadows."""

import numpy as np
from numpy.typing import NDArray

from inference.drawing.svg import rgb

Pixels = NDArray[np.float32]  # [..., 3]

KEY = np.array([-0.41, -0.54, 0.735], dtype=np.float32)  # towards the light: right, down, to the viewer
KEY_COLOUR = np.array([1.00, 0.945, 0.865], dtype=np.float32)
SKY = np.array([0.235, 0.25, 0.285], dtype=np.float32)  # from above
BOUNCE = np.array([0.275, 0.205, 0.17], dtype=np.float32)  # from chest and clothes
RIM_COLOUR = np.array([0.62, 0.78, 1.0], dtype=np.float32)
# Light that enters skin comes out beside the spot, red the farthest: the edge of a shadow on skin is warm.
WRAP = np.array([0.42, 0.20, 0.12], dtype=np.float32)
DEPTH = np.array([0.72, 1.08, 1.22], dtype=np.float32)  # how fast each colour is lost in a hollow
GAMMA = 2.2
SHOULDER = 0.72  # linear light above this is compressed


def linear(colour: str) -> Pixels:
    """``#rrggbb`` as linear light, [3]."""
    return np.power(np.array(rgb(colour), dtype=np.float32) / 255, np.float32(GAMMA))


def display(light: Pixels) -> Pixels:
    """Linear light as sRGB values 0..255, bright parts compressed instead of cut."""
    over = np.maximum(light - SHOULDER, 0.0)
    room = 1.0 - SHOULDER
    soft = np.minimum(light, SHOULDER) + room * np.tanh(over / room)
    return np.asarray(255 * np.power(np.maximum(soft, 0.0), 1 / GAMMA), dtype=np.float32)


def hexadecimal(light: Pixels) -> str:
    """Linear light [3] as ``#rrggbb``."""
    return "#" + "".join(f"{round(float(value)):02x}" for value in display(light))


def shine(normals: Pixels, sharpness: float) -> Pixels:
    """The key light's reflection, [..., 1]."""
    halfway = KEY + np.array([0.0, 0.0, 1.0], dtype=np.float32)
    halfway /= np.linalg.norm(halfway)
    facing = np.maximum(normals @ halfway, 0.0)
    return np.asarray(np.power(facing, np.float32(sharpness))[..., None], dtype=np.float32)


def diffuse(normals: Pixels, albedo: Pixels, open_to_light: Pixels) -> Pixels:
    """Linear light [..., 3] from a matt, translucent surface; ``open_to_light`` [..., 1] is 0 in a full shadow."""
    towards = (normals @ KEY)[..., None]
    key = np.clip((towards + WRAP) / (1 + WRAP), 0.0, 1.0)
    up = 0.5 - 0.5 * normals[..., 1:2]
    ambient = SKY * up + BOUNCE * (1 - up)
    reached = np.power(open_to_light, DEPTH)
    return np.asarray(albedo * (KEY_COLOUR * 1.02 * key + ambient) * reached, dtype=np.float32)


def tone(colour: str, right: float, down: float, open_to_light: float = 1.0) -> str:
    """The colour of a surface that faces (right, down, 1), as ``#rrggbb``."""
    facing = np.array([right, down, 1.0], dtype=np.float32)
    reach = np.array([open_to_light], dtype=np.float32)
    return hexadecimal(diffuse(facing / np.linalg.norm(facing), linear(colour), reach))


def rim(normals: Pixels) -> Pixels:
    """Linear light [..., 3] of the cool lamp behind the right shoulder."""
    edge = np.power(np.clip(1.0 - normals[..., 2:3], 0.0, 1.0), 2.0)
    return np.asarray(RIM_COLOUR * edge * np.clip(normals[..., 0:1], 0.0, 1.0), dtype=np.float32)
