"""What makes one drawn identity: colours and proportions of face, hair, clothes and background."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from inference.drawing.svg import mix, rgb

Hair = Literal["waves", "straight", "bob", "tied", "short", "crop"]
Clothes = Literal["blazer", "jacket", "knit"]
Room = Literal["window", "study"]


@dataclass(frozen=True, slots=True)
class Appearance:
    """One identity. Colours are ``#rrggbb``; proportions are factors around 1 unless they say pixels."""

    skin: str = "#e8b696"
    hair: str = "#4a2c22"
    iris: str = "#5f7d4e"
    brows: str = "#43281f"
    lips: str = "#c4625f"
    clothes: str = "#1f5a5c"
    undershirt: str = "#f1ece4"
    background: str = "#c9d3d2"
    light: str = "#fdf3e3"
    hair_style: Hair = "waves"
    clothes_style: Clothes = "blazer"
    room: Room = "window"  # the scene behind the head
    face_width: float = 1.0
    jaw_width: float = 1.0
    chin_width: float = 1.0
    cheekbones: float = 1.0  # how far they stand out
    chin: float = 0.0  # pixels that the chin is lower
    eye_size: float = 1.0
    eye_height: float = 0.0  # pixels that the eyes are lower
    eye_slant: float = 1.6  # pixels that the outer corner is higher than the eye's middle
    eye_spread: float = 0.0  # pixels that each eye is farther from the middle
    brow_weight: float = 1.0
    brow_arch: float = 1.0
    brow_height: float = 0.0  # pixels that the brows are higher
    nose_width: float = 1.0
    nose_bridge: float = 1.0  # how far it stands out
    nose_length: float = 0.0  # pixels that the nose tip is lower
    mouth_width: float = 1.0
    mouth_height: float = 0.0  # pixels that the mouth is lower
    upper_lip: float = 1.0
    lower_lip: float = 1.0
    smile: float = 2.8  # pixels that the corners of the resting mouth are raised
    lean: float = 0.7  # pixels that the right corner of the mouth is higher than the left one
    neck: float = 1.0  # width
    age: float = 0.2  # depth of the folds, 0..1
    lashes: float = 1.0
    blusher: float = 0.6  # colour on the cheeks
    gloss: float = 0.6  # of the lips

    @property
    def shadow(self) -> str:
        """Skin turned away from the light."""
        return mix(mix(self.skin, "#8a3d2a", 0.36), "#3b1a1c", 0.16)

    @property
    def deep(self) -> str:
        """Skin in creases and nostrils."""
        return mix(mix(self.skin, "#6b2a22", 0.62), "#200c10", 0.34)

    @property
    def glow(self) -> str:
        """Skin in full light."""
        return mix(self.skin, "#fff1e0", 0.42)

    @property
    def blush(self) -> str:
        """Cheeks, nose tip and lids."""
        return mix(self.skin, "#d2452f", 0.34)


ADA = Appearance(
    skin="#eebb9b",
    hair="#46291f",
    iris="#716c4c",
    brows="#3d241b",
    lips="#c25f5c",
    jaw_width=0.965,
    chin_width=0.94,
    cheekbones=1.15,
    eye_size=1.07,
    brow_weight=1.15,
    brow_arch=1.15,
    nose_width=0.92,
    mouth_width=1.05,
    smile=7.0,
    blusher=0.6,
    gloss=0.8,
)
MARCUS = Appearance(
    skin="#7f5742",
    hair="#1a1412",
    iris="#41261a",
    brows="#17100d",
    lips="#86504a",
    clothes="#2c3a5e",
    undershirt="#dfe3ea",
    background="#c9b59a",
    light="#ffeeda",
    hair_style="crop",
    clothes_style="jacket",
    room="study",
    face_width=1.02,
    jaw_width=1.09,
    chin_width=1.2,
    neck=1.24,
    cheekbones=0.9,
    chin=1.0,
    eye_size=1.0,
    eye_height=1.0,
    eye_slant=0.8,
    brow_weight=1.55,
    brow_arch=1.15,
    brow_height=-2.5,
    nose_width=1.33,
    nose_bridge=0.95,
    nose_length=2.5,
    mouth_width=1.06,
    upper_lip=1.36,
    lower_lip=1.2,
    smile=6.6,
    age=0.7,
    lean=-0.8,
    lashes=0.25,
    blusher=0.25,
    gloss=0.35,
)

_SKINS = ("#f3cdb2", "#ebbd9c", "#e0a983", "#c98e66", "#a8714c", "#875538", "#68402b", "#efc3a6")
_HAIRS = ("#4a2c22", "#2a1d1a", "#171314", "#7a4a2b", "#a9713c", "#d0a565", "#8f3f24", "#6d6560", "#b9b2ab")
_IRISES = ("#5f7d4e", "#6b4426", "#3d2a1e", "#4f7391", "#7b8a91", "#8a6a35")
_LIPS = ("#c4625f", "#b5524f", "#c97b6e", "#a8484f", "#b9695c", "#d07c78")
_CLOTHES = ("#1f5a5c", "#2d3e63", "#6a2f3f", "#3c3c40", "#b07a3a", "#58704a", "#8b8f98", "#7a5a86")
_BACKGROUNDS = ("#c9d3d2", "#d8cfc4", "#b9c6d3", "#d9c9c6", "#c6ccb9", "#9fb0b5", "#e0dcd4")
DARK_SKIN = 390  # sum of red, green and blue below which hair and eyes are dark too


def random_appearance(rng: np.random.Generator) -> Appearance:
    """A plausible identity; everything drawn from ``rng``, so a seed names an identity."""

    def pick(colours: tuple[str, ...], spread: float = 0.12) -> str:
        """A palette colour moved a little towards another one of its palette."""
        first, second = rng.choice(colours, 2)
        return mix(str(first), str(second), float(rng.uniform(0, spread)))

    def near(width: float) -> float:
        return float(np.clip(rng.normal(1.0, width), 1 - 2 * width, 1 + 2 * width))

    skin = pick(_SKINS, 0.5)
    dark = sum(rgb(skin)) < DARK_SKIN
    hair = pick(_HAIRS[:3] if dark else _HAIRS, 0.4)
    made_up = float(rng.random())
    return Appearance(
        skin=skin,
        hair=hair,
        iris=pick(_IRISES[1:3] if dark else _IRISES, 0.4),
        brows=mix(hair, "#1c1312", float(rng.uniform(0.1, 0.45))),
        lips=mix(pick(_LIPS, 0.5), mix(skin, "#8a3030", 0.35), float(rng.uniform(0.1, 0.65))),
        clothes=pick(_CLOTHES, 0.3),
        undershirt=str(rng.choice(["#f1ece4", "#dfe5ea", "#e9d9c8", "#30343c"])),
        background=pick(_BACKGROUNDS, 0.6),
        light=str(rng.choice(["#fdf3e3", "#eef4fb", "#fbeee6"])),
        hair_style=str(rng.choice(get_args(Hair))),  # type: ignore[arg-type]  # one of its own literals
        clothes_style=str(rng.choice(get_args(Clothes))),  # type: ignore[arg-type]  # one of its own literals
        room=str(rng.choice(get_args(Room))),  # type: ignore[arg-type]  # one of its own literals
        face_width=near(0.035),
        jaw_width=near(0.05),
        chin_width=near(0.09),
        cheekbones=near(0.12),
        chin=float(rng.uniform(-4, 3)),
        eye_size=near(0.05),
        eye_slant=float(rng.uniform(0.4, 2.4)),
        eye_spread=float(rng.uniform(-1.2, 1.2)),
        eye_height=float(rng.uniform(-3, 3)),
        brow_weight=float(rng.uniform(0.9, 1.5)),
        brow_arch=float(rng.uniform(0.7, 1.2)),
        brow_height=float(rng.uniform(-2.5, 1.0)),
        nose_width=near(0.08) + (0.18 if dark else 0.0),
        nose_bridge=near(0.12),
        nose_length=float(rng.uniform(-3, 3)),
        mouth_width=near(0.06),
        mouth_height=float(rng.uniform(-3, 3)),
        upper_lip=float(rng.uniform(0.75, 1.2)) + (0.12 if dark else 0.0),
        lower_lip=float(rng.uniform(0.8, 1.2)),
        smile=float(rng.uniform(3.0, 7.5)),
        lean=float(rng.uniform(-1.0, 1.0)),
        neck=float(rng.uniform(0.95, 1.22)),
        age=float(rng.uniform(0.0, 0.8)),
        lashes=0.25 + 0.8 * made_up,
        blusher=0.2 + 0.5 * made_up,
        gloss=0.25 + 0.6 * made_up,
    )
