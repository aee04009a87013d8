"""How far a request's short span is from 30 s of context: ``python -m benchmarks.context``.

MuseTalk encodes 30 s of speech at once. A render request carries only the sound around its own frames, so its features
differ. Here sentences of the sandbox's voice go through the service's own cut into requests and the real Whisper
encoder of the embedded model, with several contexts and look-aheads, and each frame's window is compared with the one
of a 30 s pass over the same speech.

Cosine and relative L2 are means over frames of a window's 50 x 384 numbers, as MuseTalk's U-Net gets them ("raw"), and
with each channel brought to mean 0 and deviation 1, as nano's does ("normalised"): a few channels of Whisper are so
large that they alone decide a raw figure. A figure's name is the way of numbering (``inference.audio_features``), then
left context and look-ahead in milliseconds.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar_service.engines.base import RenderRequest
from avatar_service.sandbox.audio import to_pcm16
from avatar_service.sandbox.hibari import RATE_HZ as VOICE_HZ
from avatar_service.sandbox.hibari import HibariVoice, Manner
from avatar_service.stages.spans import DEFAULT_POLICY, RATE_HZ, AvatarLoop, SpanBuilder, SpanPolicy
from benchmarks.report import Figure, write_report
from inference.audio_features import AudioFeatures, Span, gather_windows
from inference.config import FPS, FRAME_SAMPLES, MEL_MAX_LIMITS, Positions
from inference.weights import NANO_DIR, Model

TEXT = (
    "Good morning, and welcome back. Maybe you have heard of the old bridge by the harbour? Five boats passed below it "
    "before the storm came up. My boss would have loved the view, but he was busy weighing boxes of fresh fish. "
    "Please bring both umbrellas, a warm jumper, and something to read."
)
LEFT_MS = (200, 500, 1_000, 2_000, 4_000)
LOOK_AHEAD_MS = (0, 80, 120, 240, 500)
WHOLE_SAMPLES = 30 * RATE_HZ


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like the windows of a policy are to those of the whole pass: means over frames."""

    raw_cosine: float
    raw_l2: float
    cosine: float
    l2: float


def speak(text: str = TEXT) -> NDArray[np.int16]:
    """The text in the sandbox's voice, 16 kHz [samples], a whole number of frames of 25 fps."""
    voice = HibariVoice.load()
    spoken = np.concatenate([voice.speak(sentence, Manner()).samples for sentence in voice.read(text)])
    samples = np.frombuffer(to_pcm16(soxr.resample(spoken, VOICE_HZ, RATE_HZ)), np.int16)
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES]


def requests(speech: NDArray[np.int16], policy: SpanPolicy, hear: Callable[[RenderRequest], float]) -> int:
    """Cut speech as a turn does; ``hear`` is given each request and returns the new log-mel maximum. Returns frames."""
    builder, frames = SpanBuilder(Fraction(FPS), lambda: AvatarLoop("any@0", 1), policy), len(speech) // FRAME_SAMPLES
    builder.push(speech.tobytes())
    builder.pad(frames)
    left = frames
    while request := builder.next_request(frames_left=left):
        builder.mel_max = hear(request)
        left -= len(request.frame_indices)
    return frames


class Contexts:
    """The windows of one speech, whole and cut."""

    def __init__(self, model: Model, speech: NDArray[np.int16]) -> None:
        """``speech`` lasts 30 s at most."""
        self._encoder, self._size, self._speech = model.audio.encoder, model.config.whisper, speech
        self._mean, self._deviation = model.audio.mean.repeat(10, 1), model.audio.deviation.repeat(10, 1)  # [50, C]
        samples = torch.from_numpy(np.pad(speech, (0, WHOLE_SAMPLES - len(speech))))[None]  # [1, 480000]
        features, _ = self._audio("span").features(samples, torch.tensor([MEL_MAX_LIMITS[0]]))  # [1, 1500, 5, C]
        starts = range(0, len(speech), FRAME_SAMPLES)
        self.whole = gather_windows(features[0, : len(speech) // 320], starts)  # [frames, 50, C]

    def _audio(self, positions: Positions) -> AudioFeatures:
        """The audio front end of the published model, which normalises nothing."""
        audio = AudioFeatures(self._size, positions).eval()
        audio.encoder = self._encoder
        return audio

    def cut(self, policy: SpanPolicy, positions: Positions) -> Tensor:
        """Windows [frames, 50, C] of requests of this policy."""
        audio, found = self._audio(positions), []

        def hear(request: RenderRequest) -> float:
            span = Span(request.span, request.frame_starts, request.mel_max, request.span_start)
            (windows,) = audio.windows([span])
            found.append(windows.tokens - audio.token_positions)
            return windows.mel_max

        requests(self._speech, policy, hear)
        return torch.cat(found)

    def likeness(self, windows: Tensor) -> Likeness:
        """Compare with the whole pass."""
        raw = _compare(windows, self.whole)
        normal = _compare((windows - self._mean) / self._deviation, (self.whole - self._mean) / self._deviation)
        return Likeness(*raw, *normal)


def _compare(windows: Tensor, whole: Tensor) -> tuple[float, float]:
    """Mean cosine and mean relative L2 over frames of windows [frames, 50, C]."""
    a, b = windows.flatten(1), whole.flatten(1)  # [frames, 50 C]
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)
    return float(cosine.mean()), float(((a - b).norm(dim=1) / b.norm(dim=1)).mean())


def policies() -> list[tuple[str, SpanPolicy, Positions]]:
    """Every left context at the usual look-ahead, every look-ahead at the usual left context, both ways of counting."""
    samples = RATE_HZ // 1_000
    varied = [(left, DEFAULT_POLICY.look_ahead // samples) for left in LEFT_MS]
    varied += [(DEFAULT_POLICY.left_context // samples, ahead) for ahead in LOOK_AHEAD_MS]
    found: list[tuple[str, SpanPolicy, Positions]] = []
    for positions in ("span", "true"):
        for left, ahead in dict.fromkeys(varied):
            policy = replace(DEFAULT_POLICY, left_context=left * samples, look_ahead=ahead * samples)
            found.append((f"{positions} {left}/{ahead}", policy, positions))
    return [*found, ("padded 1000/240", DEFAULT_POLICY, "padded")]


def figures(name: str, found: Likeness) -> Sequence[Figure]:
    """One policy's figures."""
    return (
        Figure(f"{name}: cosine, raw", found.raw_cosine, ""),
        Figure(f"{name}: relative L2, raw", found.raw_l2, ""),
        Figure(f"{name}: cosine, normalised", found.cosine, ""),
        Figure(f"{name}: relative L2, normalised", found.l2, ""),
    )


@torch.inference_mode()
def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context", description=__doc__)
    parser.parse_args()
    contexts = Contexts(Model.load(NANO_DIR, torch.device("cpu")), speak())
    report = [
        figure
        for name, policy, positions in policies()
        for figure in figures(name, contexts.likeness(contexts.cut(policy, positions)))
    ]
    write_report("context", report)


if __name__ == "__main__":
    main()
