"""What ``nano`` shows for single sounds, on every avatar of this repository, measured in the pixels of the engine.

All sounds are equally loud, so a mouth that only follows loudness fails here. A geometric reader measures; no network
judges, and nothing is compared with what the drawing would be.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.engine import Engine, EngineSettings
from inference.training.lip_reader import LipReader, Reading
from inference.training.mouth_sheet import draw_sheet, main, shapes
from inference.training.rendering import Measured
from inference.training.sounds import KINDS, RMS, Sound, say, silence
from inference.training.voice import Voice
from inference.weights import NANO_DIR, Model

SHIPPED = sorted(path.parent.name for path in AVATARS_DIR.glob("*/avatar.json"))
CPU = torch.device("cpu")
SETTINGS = EngineSettings(device="cpu")
SHUT_PIXELS = 1.0
VOWELS = ("aa", "ee", "oo")


@dataclass(frozen=True, slots=True)
class Sitter:
    """One avatar with all sounds rendered: face crops [frames, 256, 256, 3] and their readings, by kind of sound."""

    measured: Measured
    reader: LipReader
    crops: dict[str, NDArray[np.uint8]]
    readings: dict[str, list[Reading]]

    def typical(self, kind: str) -> Reading:
        """The median mouth over all frames of a kind of sound."""
        found = self.readings[kind]
        return Reading(median(r.opening for r in found), median(r.width for r in found))

    def roundness(self, kind: str) -> float:
        return median(r.roundness for r in self.readings[kind])


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice()


@pytest.fixture(scope="module")
def sounds(voice: Voice) -> dict[str, Sound]:
    return {kind: say(voice, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(NANO_DIR, (AVATARS_DIR,), SETTINGS)


@pytest.fixture(scope="module")
def sitters(engine: Engine, sounds: dict[str, Sound]) -> dict[str, Sitter]:
    return {avatar: sit(engine, avatar, sounds) for avatar in SHIPPED}


@pytest.fixture(params=SHIPPED)
def sitter(request: pytest.FixtureRequest, sitters: dict[str, Sitter]) -> Sitter:
    return sitters[str(request.param)]


def sit(engine: Engine, avatar: str, sounds: dict[str, Sound]) -> Sitter:
    bundle = AvatarBundle.load(AVATARS_DIR / avatar)
    x1, y1, x2, y2 = bundle.info.boxes[0]
    reader = LipReader.for_face(bundle.image(0)[y1:y2, x1:x2])
    measured = Measured(engine, bundle)
    crops = {kind: measured.render(sound.segment)[sound.all_frames()] for kind, sound in sounds.items()}
    return Sitter(measured, reader, crops, {kind: [reader.read(crop) for crop in crops[kind]] for kind in KINDS})


def test_all_sounds_are_equally_loud(sounds: dict[str, Sound]) -> None:
    for sound in sounds.values():
        assert sound.rms() == pytest.approx(RMS, rel=0.02)
        assert len(sound.all_frames()) >= 8


def test_aa_opens_far_wider_than_ee_and_oo(sitter: Sitter) -> None:
    openings = {kind: sitter.typical(kind).opening for kind in VOWELS}
    assert openings["aa"] > 1.6 * openings["ee"]
    assert openings["aa"] > 1.6 * openings["oo"]
    assert openings["aa"] > 15


def test_ee_is_spread_and_oo_is_rounded(sitter: Sitter) -> None:
    spread, rounded = sitter.typical("ee"), sitter.typical("oo")
    assert rounded.width < 0.7 * spread.width
    assert spread.width - rounded.width > 24
    assert sitter.roundness("oo") > 1.05 * sitter.roundness("ee")


def test_mm_is_shut_and_every_vowel_is_open(sitter: Sitter) -> None:
    assert sitter.typical("mm").opening < SHUT_PIXELS
    for kind in VOWELS:
        assert sitter.typical(kind).opening > 3.5


def test_ff_lets_a_slit_open_between_teeth_and_lip(sitter: Sitter) -> None:
    assert SHUT_PIXELS < sitter.typical("ff").opening < 0.6 * sitter.typical("aa").opening


def test_silence_keeps_the_mouth_shut(sitter: Sitter) -> None:
    assert max(sitter.reader.opening(crop) for crop in sitter.measured.render(silence())) < SHUT_PIXELS


@pytest.mark.parametrize("factor", [0.5, 2.0], ids=["6 dB quieter", "6 dB louder"])
def test_the_same_sound_at_another_level_moves_the_lips_alike(sitter: Sitter, voice: Voice, factor: float) -> None:
    sound = say(voice, "aa", factor * RMS)
    crops = sitter.measured.render(sound.segment)[sound.all_frames()]
    openings = np.array([reading.opening for reading in sitter.readings["aa"]])
    again = np.array([sitter.reader.opening(crop) for crop in crops])
    assert np.abs(again - openings).mean() < 1.5
    assert np.abs(again.mean() / openings.mean() - 1) < 0.08


def test_without_the_unet_s_weights_no_sound_moves_the_mouth(
    sitters: dict[str, Sitter], sounds: dict[str, Sound]
) -> None:
    model = Model.load(NANO_DIR, CPU)
    for parameter in model.unet.parameters():
        parameter.zero_()
    dead = Engine(model, (AVATARS_DIR,), SETTINGS, CPU)
    for avatar, alive in sitters.items():
        dead_mouths, mouths = (
            [_mouth(each.measured.still(sounds[kind].segment, sounds[kind].clearest())) for kind in ("aa", "mm")]
            for each in (Sitter(Measured(dead, AvatarBundle.load(AVATARS_DIR / avatar)), alive.reader, {}, {}), alive)
        )
        assert _apart(*mouths) > 8
        assert _apart(*dead_mouths) < 1
        assert min(_apart(with_, without) for with_, without in zip(mouths, dead_mouths, strict=True)) > 5


def test_another_avatar_is_another_face_with_a_mouth_of_its_own_colours(
    sitters: dict[str, Sitter], sounds: dict[str, Sound]
) -> None:
    for one, other in itertools.permutations(sitters, 2):
        for kind in KINDS:
            assert _apart(sitters[one].crops[kind][0], sitters[other].crops[kind][0]) > 15
        painted = _chin(sitters[one].crops["mm"][0])
        assert np.abs(painted - _chin(_source(one))).max() < 8
        assert np.abs(painted - _chin(_source(other))).max() > 20


def test_the_picture_for_documents_shows_six_different_mouths_under_the_same_eyes(
    sitters: dict[str, Sitter], voice: Voice
) -> None:
    frames = shapes(sitters[SHIPPED[0]].measured, voice)
    assert [label.partition(",")[0] for label in frames] == ["silence", *KINDS]
    for first, second in itertools.combinations([kind for kind in frames if not kind.startswith("mm")], 2):
        assert _apart(_mouth(frames[first]), _mouth(frames[second])) > 1.5
        assert _apart(frames[first][:220], frames[second][:220]) == 0
    row = list(frames.values())
    sheet = np.asarray(draw_sheet([frames]))
    assert sheet.shape[0] > row[0].shape[0]
    assert sheet.shape[1] > sum(frame.shape[1] for frame in row)


def test_the_picture_for_documents_needs_bundles_and_says_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["mouth_sheet", "--avatars", str(tmp_path), "--out", str(tmp_path / "sheet.jpg")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert f"--avatars {tmp_path}: no bundles there; name a folder such as {AVATARS_DIR}" in capsys.readouterr().err


def _mouth(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The surroundings of the mouth in a whole frame: avatars sit in the middle of it."""
    return frame[260:360, 200:312]


def _source(avatar: str) -> NDArray[np.uint8]:
    """The closed face crop of an avatar's first frame."""
    bundle = AvatarBundle.load(AVATARS_DIR / avatar)
    x1, y1, x2, y2 = bundle.info.boxes[0]
    return bundle.image(0)[y1:y2, x1:x2]


def _chin(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean colour of the skin below the lower lip, RGB."""
    colour: NDArray[np.float64] = crop[206:218, 110:146].astype(np.float64).mean(axis=(0, 1))
    return colour


def _apart(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean difference of two pictures."""
    return float(np.abs(first.astype(np.int16) - second).mean())
