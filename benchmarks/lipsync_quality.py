"""How well the bundled avatars' lips follow speech: ``make bench-lipsync-quality``.

Two voices: held-out sentences of the voice that training speaks with, and one that training never heard. The baseline
of a lip figure is what the probe, a small network from the same windows to the mouth's numbers, reaches on the same
sentences; that of a picture is the drawn truth after encoding and decoding; of a shuffled figure the unshuffled one.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.held_out_voice import held_out_voice
from benchmarks.report import Figure, write_report
from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.drawing.avatars import AVATARS, DrawnAvatar
from inference.engine import Engine, EngineSettings
from inference.training.measure import held_out_segments
from inference.training.probe import PROBE_FILE, Normaliser, ask, load_probe
from inference.training.quality import Lips, Quality, autoencoder_bound, compare_lips, measure, outlines
from inference.training.speech import FIRST_REQUEST_FRAMES, Segment, encode_segment, load_audio_features
from inference.weights import NANO_DIR, WHISPER_FILE, Model

SENTENCES = 24  # of the training voice
GOAL_R = {"training voice": 0.85, "held-out voice": 0.75}
GOAL_LAG = 1.0  # frames, either way
GOAL_CLOSED_PBM, GOAL_CLOSED_SILENCE = 0.80, 0.99
GOAL_SSIM = 0.85
GOAL_SHUFFLED_R = 0.2


@dataclass(frozen=True, slots=True)
class Voice:
    """Sentences, and the mouths [frames, 6] that the probe hears in each."""

    name: str
    segments: list[Segment]
    probed: list[NDArray[np.float32]]


def voices(weights: Path, model: Model) -> list[Voice]:
    """Both voices, heard by the probe that belongs to these weights."""
    probe = load_probe(weights.parent / PROBE_FILE, model.config.whisper.width)
    normaliser, audio = Normaliser(model.audio.mean, model.audio.deviation), load_audio_features(weights / WHISPER_FILE)
    found = []
    for name, segments in zip(GOAL_R, (held_out_segments(SENTENCES), held_out_voice()), strict=True):
        heard = [ask(probe, encode_segment(audio, each, FIRST_REQUEST_FRAMES), normaliser) for each in segments]
        found.append(Voice(name, segments, heard))
    return found


def figures_of(engine: Engine, model: Model, avatar: DrawnAvatar, bundle: AvatarBundle, voice: Voice) -> list[Figure]:
    """One avatar with one voice."""
    quality, take = measure(engine, bundle, avatar, voice.segments)
    truth = [outlines(segment.truth, avatar.look) for segment in voice.segments]
    bound = compare_lips(voice.segments, [outlines(mouths, avatar.look) for mouths in voice.probed], truth)
    likeness = autoencoder_bound(model.vae, take.pairs, bundle)
    where = f"{avatar.id}, {voice.name}: "
    return [
        *lip_figures(where, quality.lips, bound, GOAL_R[voice.name]),
        Figure(where + "SSIM of the mouth", quality.likeness.ssim_mouth, "", likeness.ssim_mouth, GOAL_SSIM, "higher"),
        Figure(where + "PSNR of the mouth", quality.likeness.psnr_mouth_db, "dB", likeness.psnr_mouth_db),
        Figure(where + "PSNR, lower half", quality.likeness.psnr_lower_half_db, "dB", likeness.psnr_lower_half_db),
        *loudness_figures(where, quality),
    ]


def lip_figures(where: str, lips: Lips, bound: Lips, goal_r: float) -> list[Figure]:
    """The lips' movement against the truth, beside what the probe reaches."""
    return [
        Figure(where + "opening against truth, r", lips.r_opening, "", bound.r_opening, goal_r, "higher"),
        Figure(where + "best lag, either way", abs(lips.lag_frames), "frames", abs(bound.lag_frames), GOAL_LAG),
        Figure(where + "width, r", lips.r_width, "", bound.r_width),
        Figure(where + "roundness, r", lips.r_roundness, "", bound.r_roundness),
        Figure(where + "closed on p, b, m", lips.closed_on_pbm, "", bound.closed_on_pbm, GOAL_CLOSED_PBM, "higher"),
        Figure(
            where + "closed in silence",
            lips.closed_in_silence,
            "",
            bound.closed_in_silence,
            GOAL_CLOSED_SILENCE,
            "higher",
        ),
    ]


def loudness_figures(where: str, quality: Quality) -> list[Figure]:
    """What shows that the lips follow sounds, not loudness or chance."""
    shuffled, plain = abs(quality.shuffled_r_loudness), quality.r_loudness
    return [
        Figure(where + "opening against loudness, r", plain, "", quality.truth_r_loudness),
        Figure(where + "the same, windows shuffled", shuffled, "", plain, GOAL_SHUFFLED_R),
        Figure(where + "opening, windows shuffled, r", quality.shuffled_r_opening, "", quality.lips.r_opening),
        Figure(where + "closed on p, b, m, shuffled", quality.shuffled_closed_on_pbm, "", quality.lips.closed_on_pbm),
    ]


def main() -> None:
    """Measure, print, write ``out/bench/lipsync-quality.json``."""
    parser = argparse.ArgumentParser(description="How well the bundled avatars' lips follow speech.")
    parser.add_argument("--weights", type=Path, default=NANO_DIR, help="weights folder (default: the bundled model)")
    parser.add_argument("--avatars", type=Path, default=AVATARS_DIR, help="bundles (default: the bundled avatars)")
    parser.add_argument("--name", default="lipsync-quality", help="of the report (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Model.load(arguments.weights, torch.device("cpu"))
    engine = Engine.load(arguments.weights, [arguments.avatars], EngineSettings(device="cpu", threads=1))
    figures = []
    for voice in voices(arguments.weights, model):
        for avatar in AVATARS:
            bundle = AvatarBundle.load(arguments.avatars / avatar.id)
            figures += figures_of(engine, model, avatar, bundle, voice)
    write_report(arguments.name, figures)


if __name__ == "__main__":
    main()
