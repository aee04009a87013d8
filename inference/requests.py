"""What the engine is asked and what it answers, and the checks on what a stranger may send."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.config import FEATURE_SAMPLES, MAX_FRAMES, MAX_SPAN_SAMPLES, MEL_MAX_LIMITS

FORMATS = ("jpeg", "raw")
AVATAR_PATTERN = re.compile(r"([a-z0-9][a-z0-9-]{0,62})@([0-9a-f]{64})")


class InvalidRequest(ValueError):
    """A request the engine refuses; ``field`` is the tensor's name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """A few consecutive frames of one segment. The fields are the tensors of ``model_repository/README.md``."""

    avatar: str  # "id@sha256"
    audio: NDArray[np.int16]  # [samples], 16 kHz: left context, the frames' own audio, look-ahead
    audio_start: int  # where the span begins in its segment; what lies before 0 is silence
    frame_index: tuple[int, ...]  # positions in the avatar's endless loop
    frame_start: tuple[int, ...]  # the sample of ``audio`` at which each frame begins
    mouth_weight: tuple[float, ...]  # 0 = the source frame, 1 = lip-synced
    mel_max: float  # log10 mel power, the segment's maximum so far
    format: str = "jpeg"  # or "raw"

    def check(self) -> None:
        """Raise InvalidRequest for the first field out of its limits."""
        frames = len(self.frame_index)
        if not 1 <= frames <= MAX_FRAMES:
            raise InvalidRequest("FRAME_INDEX", f"{frames} frames, a request takes 1 to {MAX_FRAMES}; send several")
        if len(self.frame_start) != frames:
            raise InvalidRequest("FRAME_START", f"{len(self.frame_start)} values for {frames} frames")
        if len(self.mouth_weight) != frames:
            raise InvalidRequest("MOUTH_WEIGHT", f"{len(self.mouth_weight)} values for {frames} frames")
        if min(self.frame_index) < 0:
            raise InvalidRequest(
                "FRAME_INDEX", f"{min(self.frame_index)} is negative; count from 0, the loop is endless"
            )
        if not all(0.0 <= weight <= 1.0 for weight in self.mouth_weight):
            raise InvalidRequest("MOUTH_WEIGHT", "must be from 0 to 1")
        if self.format not in FORMATS:
            raise InvalidRequest("FORMAT", f"{self.format!r} is not one of {', '.join(FORMATS)}")
        if not AVATAR_PATTERN.fullmatch(self.avatar):
            raise InvalidRequest("AVATAR", "must be id@sha256: an id of a-z, 0-9 and -, and 64 hexadecimal digits")
        if any(weight > 0 for weight in self.mouth_weight):
            self._check_audio()

    def _check_audio(self) -> None:
        samples = len(self.audio)
        if not FEATURE_SAMPLES * 2 <= samples <= MAX_SPAN_SAMPLES:
            raise InvalidRequest("AUDIO", f"{samples} samples, a span has {FEATURE_SAMPLES * 2} to {MAX_SPAN_SAMPLES}")
        if not all(0 <= start < samples for start in self.frame_start):
            raise InvalidRequest("FRAME_START", f"must lie in AUDIO, which has {samples} samples")
        lowest, highest = MEL_MAX_LIMITS
        if not (math.isfinite(self.mel_max) and lowest <= self.mel_max <= highest):
            raise InvalidRequest("MEL_MAX", f"must be from {lowest} to {highest}; a segment starts from 0.5")


@dataclass(frozen=True, slots=True)
class RenderResult:
    """The frames, the segment's new log-mel maximum, and how many frames the U-Net painted."""

    frames: tuple[bytes, ...]
    mel_max: float
    rendered: int


@dataclass(frozen=True, slots=True)
class RenderError:
    """Why a request was refused; the others of its batch are unharmed."""

    field: str
    message: str
