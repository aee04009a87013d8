"""What makes one drawn identity: colours and proportions of face, hair, clothes and background."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from inference.drawing.svg import mix

Hair = Literal["long", "bob", "short", "tied"]
Clothes = Literal["sweater", "blazer"]


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
    hair_style: Hair = "long"
    clothes_style: Clothes = "blazer"
    face_width: float = 1.0
    jaw_width: float = 1.0
    chin: float = 0.0  # pixels that the chin is lower
    eye_size: float = 1.0
    eye_height: float = 0.0  # pixels that the eyes are lower
    brow_weight: float = 1.0
    nose_width: float = 1.0
    nose_length: float = 0.0  # pixels that the nose tip is lower
    mouth_width: float = 1.0
    mouth_height: float = 0.0  # pixels that the mouth is lower
    upper_lip: float = 1.0
    lower_lip: float = 1.0
    smile: float = 2.8  # pixels that the corners of the resting mouth are raised
    lashes: float = 1.0

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


ADA = Appearance()

_SKINS = ("#f3cdb2", "#ebbd9c", "#e0a983", "#c98e66", "#a8714c", "#875538", "#68402b", "#efc3a6")
_HAIRS = ("#4a2c22", "#2a1d1a", "#171314", "#7a4a2b", "#a9713c", "#d0a565", "#8f3f24", "#6d6560", "#b9b2ab")
_IRISES = ("#5f7d4e", "#6b4426", "#3d2a1e", "#4f7391", "#7b8a91", "#8a6a35")
_LIPS = ("#c4625f", "#b5524f", "#c97b6e", "#a8484f", "#b9695c", "#d07c78")
_CLOTHES = ("#1f5a5c", "#2d3e63", "#6a2f3f", "#3c3c40", "#b07a3a", "#58704a", "#8b8f98", "#7a5a86")
_BACKGROUNDS = ("#c9d3d2", "#d8cfc4", "#b9c6d3", "#d9c9c6", "#c6ccb9", "#9fb0b5", "#e0dcd4")


def random_appearance(rng: np.random.Generator) -> Appearance:
    """A plausible identity; everything drawn from ``rng``, so a seed names an identity."""

    def pick(colours: tuple[str, ...], spread: float = 0.12) -> str:
        """A palette colour moved a little towards another one of its palette."""
        first, second = rng.choice(colours, 2)
        return mix(str(first), str(second), float(rng.uniform(0, spread)))

    def near(width: float) -> float:
        return float(np.clip(rng.normal(1.0, width), 1 - 2 * width, 1 + 2 * width))

    skin, hair = pick(_SKINS, 0.5), pick(_HAIRS, 0.4)
    return Appearance(
        skin=skin,
        hair=hair,
        iris=pick(_IRISES, 0.4),
        brows=mix(hair, "#1c1312", float(rng.uniform(0.1, 0.45))),
        lips=mix(pick(_LIPS, 0.5), mix(skin, "#8a3030", 0.35), float(rng.uniform(0.1, 0.65))),
        clothes=pick(_CLOTHES, 0.3),
        undershirt=str(rng.choice(["#f1ece4", "#dfe5ea", "#e9d9c8", "#30343c"])),
        background=pick(_BACKGROUNDS, 0.6),
        light=str(rng.choice(["#fdf3e3", "#eef4fb", "#fbeee6"])),
        hair_style=str(rng.choice(["long", "bob", "short", "tied"])),  # type: ignore[arg-type]  # the four literals
        clothes_style=str(rng.choice(["sweater", "blazer"])),  # type: ignore[arg-type]  # the two literals
        face_width=near(0.035),
        jaw_width=near(0.05),
        chin=float(rng.uniform(-4, 3)),
        eye_size=near(0.05),
        eye_height=float(rng.uniform(-3, 3)),
        brow_weight=float(rng.uniform(0.8, 1.5)),
        nose_width=near(0.07),
        nose_length=float(rng.uniform(-3, 3)),
        mouth_width=near(0.06),
        mouth_height=float(rng.uniform(-3, 3)),
        upper_lip=float(rng.uniform(0.7, 1.2)),
        lower_lip=float(rng.uniform(0.75, 1.2)),
        smile=float(rng.uniform(0.0, 3.0)),
        lashes=float(rng.uniform(0.3, 1.1)),
    )
