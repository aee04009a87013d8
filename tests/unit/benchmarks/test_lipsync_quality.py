"""The lip-sync report: each goal is checked on the figure it belongs to, beside the probe's bound."""

from dataclasses import replace

import numpy as np

from benchmarks.lipsync_quality import GOAL_R, lip_figures, loudness_figures
from inference.audio_features import AudioFeatures
from inference.config import NANO
from inference.training.measure import held_out_segments
from inference.training.probe import PROBE_FILE, Normaliser, ask, load_probe
from inference.training.quality import Likeness, Lips, Quality
from inference.training.speech import FIRST_REQUEST_FRAMES, encode_segment, load_audio_features
from inference.weights import AUDIO_NORM_FILE, NANO_DIR, WHISPER_FILE, read_tensors

GOOD = Lips(r_opening=0.9, lag_frames=-1, r_width=0.7, r_roundness=0.7, closed_on_pbm=0.8, closed_in_silence=0.99)
BOUND = Lips(r_opening=0.95, lag_frames=0, r_width=0.9, r_roundness=0.9, closed_on_pbm=1.0, closed_in_silence=1.0)


def failing(lips: Lips) -> list[str]:
    return [figure.name for figure in lip_figures("", lips, BOUND, GOAL_R["training voice"]) if figure.holds is False]


def test_each_goal_belongs_to_its_figure() -> None:
    assert failing(GOOD) == []
    assert failing(replace(GOOD, r_opening=0.84)) == ["opening against truth, r"]
    assert failing(replace(GOOD, lag_frames=-2)) == ["best lag, either way"]
    assert failing(replace(GOOD, closed_on_pbm=0.79)) == ["closed on p, b, m"]
    assert failing(replace(GOOD, closed_in_silence=0.98)) == ["closed in silence"]


def test_the_bound_stands_beside_the_figure() -> None:
    assert [figure.baseline for figure in lip_figures("", GOOD, BOUND, 0.85)] == [0.95, 0, 0.9, 0.9, 1.0, 1.0]


def test_lips_that_follow_loudness_without_the_sounds_fail() -> None:
    quality = Quality(100, GOOD, Likeness(0.9, 30.0, 34.0), 0.6, 0.6, -0.3, 0.1, 0.5)
    assert [figure.holds for figure in loudness_figures("", quality)].count(False) == 1


def test_the_shipped_probe_hears_the_mouth() -> None:
    audio = load_audio_features(NANO_DIR / WHISPER_FILE)
    shapes = AudioFeatures(NANO.whisper)
    norm = read_tensors(NANO_DIR / AUDIO_NORM_FILE, {"mean": shapes.mean, "deviation": shapes.deviation})
    probe = load_probe(NANO_DIR.parent / PROBE_FILE, NANO.whisper.width)
    (segment,) = held_out_segments(1)
    heard = ask(
        probe, encode_segment(audio, segment, FIRST_REQUEST_FRAMES), Normaliser(norm["mean"], norm["deviation"])
    )
    assert heard.shape == segment.truth.shape
    assert np.corrcoef(heard[:, 0], segment.truth[:, 0])[0, 1] > 0.95
