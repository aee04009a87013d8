"""The weights in this repository: the mouth follows the sounds, closes when it should, and is the avatar's own.

A geometric reader measures the lips in the rendered pixels; no network judges.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.config import FRAME_SAMPLES
from inference.drawing.mouth_shape import MAX_GAP
from inference.engine import Engine, EngineSettings
from inference.training.agreement import correlation
from inference.training.lip_reader import LipReader
from inference.training.rendering import Measured
from inference.training.sentences import is_held_out
from inference.training.speech import Segment, make_segment
from inference.training.voice import Voice
from inference.weights import NANO_DIR, Model

TEXT = "The choir has always wanted a jar of honey behind the school, maybe five or six."
CPU = torch.device("cpu")
CLOSED_PIXELS = 1.0
SHIPPED = sorted(path.parent.name for path in AVATARS_DIR.glob("*/avatar.json"))


@pytest.fixture(scope="module", params=SHIPPED)
def bundle(request: pytest.FixtureRequest) -> AvatarBundle:
    return AvatarBundle.load(AVATARS_DIR / str(request.param))


@pytest.fixture(scope="module")
def measured(bundle: AvatarBundle) -> Measured:
    return Measured(Engine.load(NANO_DIR, (AVATARS_DIR,), EngineSettings(device="cpu")), bundle)


@pytest.fixture(scope="module")
def segment() -> Segment:
    assert is_held_out(TEXT), "the sentence must not be one of training's"
    return make_segment(Voice(), [TEXT], np.random.default_rng(1), augment=False)


@pytest.fixture(scope="module")
def reader(bundle: AvatarBundle) -> LipReader:
    x1, y1, x2, y2 = bundle.info.boxes[0]
    return LipReader.for_face(bundle.image(0)[y1:y2, x1:x2])


@pytest.fixture(scope="module")
def openings(measured: Measured, segment: Segment, reader: LipReader) -> NDArray[np.float64]:
    return read(reader, measured.render(segment))


def read(reader: LipReader, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.array([reader.opening(crop) for crop in crops])


def true_openings(segment: Segment) -> NDArray[np.float64]:
    return segment.truth[:, 0].astype(np.float64) * MAX_GAP


def test_the_lips_follow_a_sentence_they_never_heard(openings: NDArray[np.float64], segment: Segment) -> None:
    assert correlation([openings], [true_openings(segment)]) > 0.75
    assert openings.max() > 8


def test_another_moment_s_sound_gives_another_mouth(measured: Measured, segment: Segment, reader: LipReader) -> None:
    start = segment.truth[:50]
    short = Segment(segment.samples[: 50 * FRAME_SAMPLES], start, segment.phonemes)
    shuffled = read(reader, measured.render(short, np.random.default_rng(2)))
    assert abs(correlation([shuffled], [true_openings(short)])) < 0.4


def test_lips_shut_for_m_b_and_p(openings: NDArray[np.float64], segment: Segment) -> None:
    closures = [p for p in segment.phonemes if p.symbol in "mbp"]
    assert closures
    for phoneme in closures:
        frame = int((phoneme.start + phoneme.end) / 2 * 25)
        assert openings[frame - 1 : frame + 2].min() < CLOSED_PIXELS


@pytest.mark.parametrize("level", [0.0, 0.002])
def test_silence_and_faint_noise_keep_the_mouth_shut(measured: Measured, reader: LipReader, level: float) -> None:
    noise = np.random.default_rng(3).normal(0.0, level, 12 * FRAME_SAMPLES) * 32767
    silence = Segment(noise.astype(np.int16), np.zeros((12, 6), np.float32), ())
    assert read(reader, measured.render(silence)).max() < CLOSED_PIXELS


def test_lips_follow_the_sounds_and_not_their_loudness(
    measured: Measured, segment: Segment, reader: LipReader, openings: NDArray[np.float64]
) -> None:
    quiet = replace(segment, samples=(segment.samples * 0.4).astype(np.int16))
    again = read(reader, measured.render(quiet))
    assert correlation([again], [openings]) > 0.9
    assert again.mean() > 0.75 * openings.mean()


def test_the_unet_does_the_work(bundle: AvatarBundle, measured: Measured, segment: Segment) -> None:
    model = Model.load(NANO_DIR, CPU)
    for parameter in model.unet.parameters():
        parameter.zero_()
    without = Measured(Engine(model, (AVATARS_DIR,), EngineSettings(device="cpu"), CPU), bundle)
    short = Segment(segment.samples[: 12 * FRAME_SAMPLES], segment.truth[:12], segment.phonemes)
    difference = np.abs(without.render(short).astype(int) - measured.render(short))
    assert difference[:, 160:230, 90:166].mean() > 5


def test_assets_are_small_and_no_pickles() -> None:
    files = [path for path in Path(NANO_DIR).parent.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors", ".jpg"}
    assert sum(path.stat().st_size for path in Path(NANO_DIR).iterdir()) < 25e6
