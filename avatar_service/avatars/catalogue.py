"""The avatars in the shared store, as far as the service needs to know them: what clients may ask for.

The pictures, latents and masks of a bundle are the renderer's to read.
"""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from avatar_service.errors import NotFound, StartupError

_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


@dataclass(frozen=True, slots=True)
class Avatar:
    """One avatar. `key` is `id@sha256`, which pins the very bundle that a session began with."""

    avatar_id: str
    display_name: str
    sha256: str
    width: int
    height: int
    fps: Fraction
    loop_length: int
    """Pictures until the loop begins again; forth and back shows the turning ones once."""
    tier: str

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"avatars/{self.avatar_id}"

    @property
    def key(self) -> str:
        """How render requests name it."""
        return f"{self.avatar_id}@{self.sha256}"


class Catalogue:
    """The avatars of one directory, read at start."""

    def __init__(self, avatars: dict[str, Avatar], default_id: str) -> None:
        self._avatars = avatars
        self._default_id = default_id

    @classmethod
    def load(cls, directory: Path, default_id: str = "") -> "Catalogue":
        """Read every bundle's description. Raises StartupError naming the bundle or the setting that is wrong."""
        if not directory.is_dir():
            raise StartupError(f"AVATAR_AVATARS: no directory {directory}")
        avatars = {path.parent.name: _read(path) for path in sorted(directory.glob("*/avatar.json"))}
        if not avatars:
            raise StartupError(f"AVATAR_AVATARS: no avatar bundle in {directory}")
        if default_id and default_id not in avatars:
            raise StartupError(f"AVATAR_DEFAULT_AVATAR: no avatar {default_id!r}; there are {', '.join(avatars)}")
        return cls(avatars, default_id or next(iter(avatars)))

    def get(self, name: str, field: str = "avatar") -> Avatar:
        """The avatar of a resource name `avatars/{id}` or bare id; empty is the default. Raises NotFound, naming the
        field that asked for it."""
        avatar_id = name.removeprefix("avatars/") if name else self._default_id
        if not _ID.match(avatar_id) or avatar_id not in self._avatars:
            there_are = ", ".join(self._avatars)
            raise NotFound(field, f"no avatar {name[:80]!r}; there are {there_are}", reason="AVATAR_NOT_FOUND")
        return self._avatars[avatar_id]

    def all(self) -> list[Avatar]:
        """Every avatar, by id."""
        return list(self._avatars.values())


def _read(path: Path) -> Avatar:
    try:
        described = json.loads(path.read_text())
        frames = len(described["boxes"])
        avatar = Avatar(
            avatar_id=described["id"],
            display_name=described["display_name"],
            sha256=described["sha256"],
            width=int(described["width"]),
            height=int(described["height"]),
            # A number such as 29.97002997 stands for 30000/1001, the largest denominator in use.
            fps=Fraction(str(described["fps"])).limit_denominator(1001),
            loop_length=max(1, 2 * frames - 2) if described["loop"] == "ping-pong" else frames,
            tier=described["tier"],
        )
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise StartupError(f"{path}: not an avatar bundle ({error!r}); prepare it again") from error
    for wrong, what in (
        (avatar.avatar_id != path.parent.name, "its id is not its folder's name"),
        (not frames, "it has no pictures"),
        (avatar.fps <= 0, "its frame rate is not above 0"),
    ):
        if wrong:
            raise StartupError(f"{path}: {what}; prepare it again")
    return avatar
