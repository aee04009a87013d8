"""The bundled identities and their loops of idle motion."""

from dataclasses import dataclass
from math import cos, pi, sin

from inference.drawing.appearance import ADA, MARCUS, Appearance
from inference.drawing.eyes import Pose

LOOP_FRAMES = 50
FPS = 25
BLINK = (0.45, 1.0, 1.0, 0.78, 0.5, 0.26, 0.1)  # lids frame by frame: they close in 80 ms and open in 200 ms
LAG = 3.0  # frames that hair and shoulders come after the head


@dataclass(frozen=True, slots=True)
class Motion:
    """What an avatar does in its loop; frames are 0..``LOOP_FRAMES``, lengths are pixels."""

    blinks: tuple[int, ...] = (13, 39)  # first frames
    glance: tuple[int, int] = (22, 37)  # first and last frame
    glance_to: tuple[float, float] = (1.3, -0.3)  # gaze right and down
    sway: float = 2.6  # from end to end
    nod: float = 1.0
    breath: float = 1.7
    brow: float = 0.8  # rise with the glance


@dataclass(frozen=True, slots=True)
class DrawnAvatar:
    """An identity that ships with the project."""

    id: str
    display_name: str
    look: Appearance
    motion: Motion = Motion()


AVATARS = (
    DrawnAvatar("ada", "Ada", ADA),
    DrawnAvatar(
        "marcus",
        "Marcus",
        MARCUS,
        Motion(blinks=(7, 33), glance=(15, 29), glance_to=(-1.2, 0.2), sway=-2.0, nod=1.3, breath=2.0, brow=0.5),
    ),
)


def loop_pose(frame: int, motion: Motion | None = None) -> Pose:
    """Pose of a frame of the loop: slight sway, breath, blinks, a glance; without ``motion`` the default one.

    The loop is played forth and back, so all motion rests at both ends and the turn does not show.
    """
    motion = motion or Motion()
    dx, dy = _head(frame, motion)
    late_dx, _ = _head(frame - LAG, motion)
    glance = _glance(frame, motion)
    return Pose(
        dx=dx,
        dy=dy,
        blink=max((BLINK[frame - at] for at in motion.blinks if 0 <= frame - at < len(BLINK)), default=0.0),
        gaze_x=motion.glance_to[0] * glance,
        gaze_y=motion.glance_to[1] * glance,
        brow=motion.brow * glance,
        breath=motion.breath * sin(pi * _phase(frame - LAG)) ** 2,
        sway=1.6 * (late_dx - dx),
    )


def _phase(frame: float) -> float:
    """0..1 over the loop, at rest at both ends."""
    return 0.5 - 0.5 * cos(pi * min(max(frame / (LOOP_FRAMES - 1), 0.0), 1.0))


def _head(frame: float, motion: Motion) -> tuple[float, float]:
    """Where the head is: across with a second, smaller swing, and down at mid-breath."""
    phase = _phase(frame)
    across = motion.sway * (phase - 0.5 + 0.22 * sin(2 * pi * phase))
    return across, motion.nod * (sin(pi * phase) ** 2 - 0.4)


def _glance(frame: int, motion: Motion) -> float:
    """0..1: eyes jump aside within 80 ms, stay, and return as fast."""
    start, end = motion.glance
    return min(1.0, max(0.0, (frame - start + 1) / 3)) * min(1.0, max(0.0, (end + 1 - frame) / 3))
