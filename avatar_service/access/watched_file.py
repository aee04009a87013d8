"""Files that are read again when they change: credentials come and go without a restart."""

import os
from pathlib import Path

from avatar_service import clock
from avatar_service.errors import StartupError

LOOK_S = 1.0
"""How often a file is looked at, at most: a revoked key is taken for so long at the longest."""
LARGEST_BYTES = 1 << 20
"""Largest file: some 9,000 keys."""

Stamp = tuple[tuple[int, int, int], ...]


class WatchedFiles:
    """Files that belong together, such as a certificate and its key. `setting` names them in errors."""

    def __init__(self, setting: str, *paths: Path) -> None:
        self._setting = setting
        self._paths = paths
        self._stamp: Stamp = ()
        self._next_look_s = 0.0

    def contents(self) -> tuple[bytes, ...]:
        """What stands in each. Raises StartupError for one that cannot be read or is too large."""
        self._stamp = self._stamp_now()
        return tuple(self._content(path) for path in self._paths)

    def changed(self) -> bool:
        """Whether they are others than when they were last read; looks at most once in LOOK_S.

        The time of day is compared, because this may be asked by threads without an event loop; a clock that is set
        back is noticed.
        """
        now_s = clock.wall()
        if now_s < self._next_look_s <= now_s + LOOK_S:
            return False
        self._next_look_s = now_s + LOOK_S
        return self._stamp_now() != self._stamp

    def _stamp_now(self) -> Stamp:
        """Changes with whatever is put in the files' places, a link to others included."""
        stamps = []
        for path in self._paths:
            try:
                found = os.stat(path)
                stamps.append((found.st_mtime_ns, found.st_ino, found.st_size))
            except OSError:
                stamps.append((0, 0, 0))
        return tuple(stamps)

    def _content(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise StartupError(f"{self._setting}: cannot read {path} ({error.strerror})") from error
        if len(content) > LARGEST_BYTES:
            raise StartupError(f"{self._setting}: {path} is larger than {LARGEST_BYTES >> 10} KiB")
        return content
