"""Connections that are only counted."""

from avatar_service import clock


class FakeConnections:
    """Notes when it was told that a turn is near."""

    def __init__(self) -> None:
        self.warmed_at_s: list[float] = []

    def warm(self) -> None:
        """A turn is near."""
        self.warmed_at_s.append(clock.now())
