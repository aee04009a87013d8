"""The bundled identities and their loop of idle motion."""

from dataclasses import dataclass
from math import pi, sin

from inference.drawing.appearance import ADA, Appearance
from inference.drawing.eyes import Pose

LOOP_FRAMES = 50
FPS = 25
BLINK = (0.35, 0.9, 1.0, 0.75, 0.35, 0.1)  # lids over six frames
BLINKS_AT = (12, 38)


@dataclass(frozen=True, slots=True)
class DrawnAvatar:
    """An identity that ships with the project."""

    id: str
    display_name: str
    look: Appearance


AVATARS = (DrawnAvatar("ada", "Ada", ADA),)


def loop_pose(frame: int) -> Pose:
    """Pose of a frame of the loop: slight sway, breath, two blinks, a glance.

    The loop is played forth and back, so motion slows down towards both ends and the turn does not show.
    """
    phase = 0.5 - 0.5 * sin(pi * (0.5 - frame / (LOOP_FRAMES - 1)))  # 0..1, at rest at both ends
    sway = sin(2 * pi * phase)
    blink = max((BLINK[frame - at] for at in BLINKS_AT if 0 <= frame - at < len(BLINK)), default=0.0)
    glance = max(0.0, sin(pi * (frame - 20) / 14)) if 20 <= frame <= 34 else 0.0
    return Pose(
        dx=2.6 * (phase - 0.5) + 0.8 * sway,
        dy=1.1 * sin(pi * phase) - 0.4,
        blink=blink,
        gaze_x=0.7 * glance,
        gaze_y=-0.25 * glance,
        brow=0.8 * glance,
        breath=1.6 * sin(pi * phase),
    )
