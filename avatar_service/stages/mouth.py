"""When the mouth moves: the silence gate of a turn.

The renderer opens the mouth a little even on faint noise, so silent frames show the avatar's own picture (which also
costs nothing) and the rendered mouth fades in just before a sound and out after it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOUD_RMS = 10 ** (-48 / 20)
"""A frame above -48 dB of full scale is speech: quiet consonants of a normalised voice lie above, room noise below."""
PRE_ROLL = 2
"""Frames fully shown before the first loud one; lips take their place before they sound."""
HANGOVER = 3
"""Frames fully shown after the last loud one, so that short stops between words do not flicker."""
FADE = 3
"""Frames from the avatar's own mouth to the rendered one."""
LOOK_AHEAD = PRE_ROLL + FADE
"""Frames that must be known beyond one to weigh it."""


def is_loud(pcm: NDArray[np.int16]) -> bool:
    """Whether the sound of one frame (int16 [samples]) is speech rather than silence."""
    return bool(np.sqrt(np.mean(np.square(pcm.astype(np.float32) / 32768.0))) > LOUD_RMS) if pcm.size else False


def mouth_weight(loud: Sequence[bool], index: int) -> float:
    """How much of the rendered mouth frame `index` shows, 0 to 1, from its distance to the nearest loud frame."""
    nearest = 1.0 * (FADE + 1)
    first = max(0, index - HANGOVER - FADE)
    for other in range(first, min(len(loud), index + LOOK_AHEAD + 1)):
        if loud[other]:
            distance = other - index - PRE_ROLL if other >= index else index - other - HANGOVER
            nearest = min(nearest, max(0, distance))
    return 1.0 - nearest / (FADE + 1)
