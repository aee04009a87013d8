"""When the mouth moves: the silence gate of a turn.

The renderer opens the mouth a little even on faint noise, so silent frames show the avatar's own picture (which also
costs nothing) and the rendered mouth fades in just before a sound and out after it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

LOUD_RMS = 10 ** (-48 / 20)
"""A frame above -48 dB of full scale is speech: quiet consonants of a normalised voice lie above, room noise below."""
PRE_ROLL_MS = 80
"""Fully shown before the first loud frame; lips take their place before they sound."""
HANGOVER_MS = 120
"""Fully shown after the last loud frame, so that short stops between words do not flicker."""
FADE_MS = 120
"""From the avatar's own mouth to the rendered one."""


@dataclass(frozen=True, slots=True)
class MouthTiming:
    """The times above in whole frames; the defaults are those of 25 fps."""

    pre_roll: int = 2
    hangover: int = 3
    fade: int = 3

    @classmethod
    def at(cls, fps: Fraction, look_ahead_ms: Fraction) -> "MouthTiming":
        """The timing at a frame rate. Where the voice is known too short a time ahead, it fades in faster."""
        known = math.floor(look_ahead_ms * fps / 1000)
        pre_roll = min(round(PRE_ROLL_MS * fps / 1000), known)
        fade = min(round(FADE_MS * fps / 1000), known - pre_roll)
        return cls(pre_roll, round(HANGOVER_MS * fps / 1000), fade)

    @property
    def look_ahead(self) -> int:
        """Frames that must be known beyond one to weigh it."""
        return self.pre_roll + self.fade

    def weight(self, loud: Sequence[bool], index: int) -> float:
        """How much of the rendered mouth frame `index` shows, 0 to 1, from its distance to the nearest loud frame."""
        if index < len(loud) and loud[index]:
            return 1.0
        nearest = self.fade + 1
        first = max(0, index - self.hangover - self.fade)
        for other in range(first, min(len(loud), index + self.look_ahead + 1)):
            if loud[other]:
                distance = other - index - self.pre_roll if other >= index else index - other - self.hangover
                nearest = min(nearest, max(0, distance))
        return 1.0 - nearest / (self.fade + 1)


def is_loud(pcm: NDArray[np.int16]) -> bool:
    """Whether the sound of one frame (int16 [samples]) is speech rather than silence."""
    samples = pcm.astype(np.float32)
    return float(samples @ samples) > (32_768 * LOUD_RMS) ** 2 * samples.size
