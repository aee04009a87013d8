"""The pieces of training: timed speech, mouth truth, the split, requests as served, resuming."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.config import FPS, FRAME_SAMPLES, SPAN_LEFT_SAMPLES, SPAN_RIGHT_SAMPLES
from inference.drawing import brows
from inference.drawing.appearance import MARCUS, random_appearance
from inference.drawing.eyes import Pose
from inference.training import speech as speech_module
from inference.training.autoencoder import encoder_of, psnr, train_autoencoder
from inference.training.faces import Faces, Sitter, load_faces, make_faces, pool_key
from inference.training.losses import MOUTH_ROWS, mouth_weights, picture_loss
from inference.training.make_speech import speech_key
from inference.training.mouth import mouth_track
from inference.training.pipeline import POOL_FILE, SHARES, SPEECH_FILE, Plan, run_stage
from inference.training.runs import Run, Schedule, Start
from inference.training.sentences import is_held_out, split
from inference.training.speech import SpeechSet, make_segment, request_sizes, silent_segment, span_of
from inference.training.voice import SILENCE, Phoneme, Voice, change_pitch, join, merge_marks, trim_start
from inference.weights import NANO_DIR, Model

TEXT = "Maybe five boys bought blue cups, by the bay."
OPEN, TUCK = 0, 5


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice()


def test_durations_cover_the_audio_exactly(voice: Voice) -> None:
    speech = voice.speak(TEXT)
    assert speech.phonemes[0].start == 0.0
    assert all(a.end == b.start for a, b in zip(speech.phonemes, speech.phonemes[1:], strict=False))
    assert speech.phonemes[-1].end == pytest.approx(speech.duration, abs=0.026)


def test_sounds_are_where_their_phonemes_are(voice: Voice) -> None:
    speech = voice.speak("Seven sisters sold sixty sofas.")
    spectrum = np.abs(np.fft.rfft(speech.samples[: len(speech.samples) // 320 * 320].reshape(-1, 320), axis=1)) ** 2
    high = spectrum[:, 90:].sum(axis=1)  # above 4.5 kHz, each 20 ms
    times = (np.arange(len(high)) + 0.5) * 0.02
    sibilant = np.zeros(len(high), dtype=bool)
    for phoneme in speech.phonemes:
        if phoneme.symbol == "s":
            sibilant |= (times >= phoneme.start) & (times < phoneme.end)
    assert high[sibilant].mean() > 3 * high[~sibilant].mean()


def test_marks_join_their_sound_and_punctuation_is_silence() -> None:
    merged = merge_marks(list("_hˈa t,_"), [0.3, 0.1, 0.05, 0.1, 0.04, 0.1, 0.2, 0.1])
    assert [p.symbol for p in merged] == [SILENCE, "h", "a", "t", SILENCE]
    assert [round(p.end - p.start, 3) for p in merged] == [0.3, 0.1, 0.17, 0.12, 0.3]


def test_pitch_scales_the_times_with_the_samples(voice: Voice) -> None:
    speech = voice.speak("Hello there.")
    higher = change_pitch(speech, 1.2)
    assert higher.duration == pytest.approx(speech.duration / 1.2, rel=0.01)
    assert higher.phonemes[-1].end == pytest.approx(speech.phonemes[-1].end / 1.2, rel=0.01)


def test_trimming_and_joining_keep_phonemes_contiguous(voice: Voice) -> None:
    first, second = trim_start(voice.speak("Good morning."), 0.05), voice.speak("We are open.")
    assert first.phonemes[0].end == pytest.approx(0.05, abs=0.001)
    both = join([first, second])
    assert both.phonemes[-1].end == pytest.approx(both.duration, abs=0.06)
    assert len(both.phonemes) == len(first.phonemes) + len(second.phonemes)


@pytest.mark.parametrize("symbol", list("pbm"))
@pytest.mark.parametrize("start", [0.40, 0.413, 0.427])
def test_a_short_closure_between_open_vowels_closes_at_least_one_frame(symbol: str, start: float) -> None:
    phonemes = (
        Phoneme(SILENCE, 0.0, 0.1),
        Phoneme("ɑ", 0.1, start),
        Phoneme(symbol, start, start + 0.03),
        Phoneme("ɑ", start + 0.03, 0.8),
    )
    track = mouth_track(phonemes, 20)
    middle = int((start + 0.015) * FPS)
    assert track[middle - 1 : middle + 2, OPEN].min() < 0.01
    assert track[5:8, OPEN].max() > 0.5


@pytest.mark.parametrize("symbol", list("fv"))
def test_f_and_v_tuck_the_lip(symbol: str) -> None:
    phonemes = (Phoneme("ɑ", 0.0, 0.4), Phoneme(symbol, 0.4, 0.45), Phoneme("i", 0.45, 0.8))
    track = mouth_track(phonemes, 20)
    assert track[9:12, TUCK].max() > 0.98
    assert track[:6, TUCK].max() < 0.05


def test_vowels_have_their_own_mouths() -> None:
    def middle(symbol: str) -> list[float]:
        return list(mouth_track((Phoneme(symbol, 0.0, 0.6),), 15)[7])

    aa, ee, oo = middle("ɑ"), middle("i"), middle("u")
    assert aa[0] > 2 * max(ee[0], oo[0])
    assert ee[1] > 0.8 > 0.2 > oo[1]
    assert oo[2] > 0.9 > 0.1 > ee[2]


def test_silence_is_shut() -> None:
    assert not silent_segment(np.random.default_rng(0)).truth.any()
    track = mouth_track((Phoneme("ɑ", 0.0, 0.3), Phoneme(SILENCE, 0.3, 1.2)), 30)
    assert track[12:29].max() < 0.01


def test_the_split_by_hash_has_no_overlap() -> None:
    train, held = split(3, 400, held_out=False), split(3, 60, held_out=True)
    assert not set(train) & set(held)
    assert all(is_held_out(text) for text in held)
    assert len(set(train)) == 400


def test_segments_are_whole_frames_and_repeat_for_a_seed(voice: Voice) -> None:
    first, again = (make_segment(voice, [TEXT], np.random.default_rng(8), augment=True) for _ in range(2))
    assert len(first.samples) == len(first.truth) * FRAME_SAMPLES
    assert np.array_equal(first.samples, again.samples)
    assert first.samples.dtype == np.int16


def test_requests_are_cut_as_a_turn_is_served() -> None:
    assert request_sizes(25, 4) == [4, 8, 8, 5]
    assert request_sizes(3, 4) == [3]
    samples = np.arange(1, 20 * FRAME_SAMPLES + 1, dtype=np.int16)
    span = span_of(samples, 4, 8)
    assert len(span) == SPAN_LEFT_SAMPLES + 8 * FRAME_SAMPLES + SPAN_RIGHT_SAMPLES
    assert span[SPAN_LEFT_SAMPLES] == samples[4 * FRAME_SAMPLES]
    assert not span[: SPAN_LEFT_SAMPLES - 4 * FRAME_SAMPLES].any(), "before the segment there is silence"
    assert span[-1] == samples[4 * FRAME_SAMPLES + len(span) - SPAN_LEFT_SAMPLES - 1]


def test_windows_are_time_major() -> None:
    features = np.arange(2 * 24 * 5 * 3, dtype=np.float16).reshape(2, 24, 5, 3)
    speech = SpeechSet(features, np.array([0, 1], np.int32), np.array([0, 14], np.int32), np.zeros((2, 6), np.float32))
    windows = speech.windows(np.array([1]))
    assert windows.shape == (1, 50, 3)
    assert np.array_equal(windows[0, 5 * 2 + 3], features[1, 14 + 2, 3])


def test_the_loss_weighs_the_mouth_most() -> None:
    weights = mouth_weights(6.0)
    target = torch.zeros(1, 3, 256, 256)
    mouth, cheek = target.clone(), target.clone()
    mouth[..., MOUTH_ROWS[0] + 20 : MOUTH_ROWS[0] + 30, 120:130] = 0.5
    cheek[..., MOUTH_ROWS[0] + 20 : MOUTH_ROWS[0] + 30, 20:30] = 0.5
    assert picture_loss(mouth, target, weights) > 4 * picture_loss(cheek, target, weights)
    assert picture_loss(target, target, weights).item() == 0.0


def test_a_run_resumes_from_the_stored_step(tmp_path: Path) -> None:
    def step_of(network: nn.Linear) -> "list[float]":
        seen: list[float] = []

        def step(rng: np.random.Generator, spent: float) -> Tensor:
            seen.append(float(rng.random()))
            loss: Tensor = network(torch.ones(1, 2)).square().sum()
            return loss

        run = Run("tiny", network, Schedule(0.05 * (1 + len(list(tmp_path.iterdir()))), 1e-3, 1e-4), tmp_path)
        started = run.steps
        run.train(step)
        assert run.steps == started + len(seen)
        return [float(started), *seen]

    first = step_of(nn.Linear(2, 2))
    network = nn.Linear(2, 2)
    second = step_of(network)
    assert first[0] == 0
    assert second[0] == len(first) - 1, "the second run goes on where the first stopped"
    assert second[1] not in first[1:], "and draws other random numbers"


@pytest.fixture(scope="module")
def sitters() -> list[Sitter]:
    mouths = np.array([[0.5, 0.2, 0.0, 0.4, 0.1, 0.0], [0.2, 0.0, 1.0, 0.0, 0.0, 0.0]], np.float32)
    stranger = random_appearance(np.random.default_rng(3))
    return [Sitter(MARCUS, Pose(), True, mouths), Sitter(stranger, Pose(dx=1.0), False, mouths)]


@pytest.fixture(scope="module")
def faces(sitters: list[Sitter], tmp_path_factory: pytest.TempPathFactory) -> Faces:
    folder = tmp_path_factory.mktemp("faces")
    make_faces(folder, sitters, processes=1, shard=1)
    return load_faces(folder)


def test_a_pool_has_each_sitter_closed_and_with_every_mouth(faces: Faces, sitters: list[Sitter]) -> None:
    assert len(faces.lower) == 2 * 3
    assert list(faces.sitter) == [0, 0, 0, 1, 1, 1]
    assert list(faces.bundled) == [True, False]
    closed = faces.crops(np.array([0, 3]))
    assert np.array_equal(closed, faces.references)
    assert np.abs(faces.lower[1].astype(int) - faces.lower[0]).max() > 60


def test_a_pool_s_name_changes_with_the_drawing_the_mouths_and_the_poses(sitters: list[Sitter]) -> None:
    first = sitters[0]
    others = [
        replace(first, look=replace(first.look, smile=1.0)),
        replace(first, pose=Pose(dx=0.5)),
        replace(first, mouths=first.mouths[:1]),
    ]
    keys = {pool_key([sitter]) for sitter in [first, *others]}
    assert len(keys) == 4
    assert pool_key([first]) in keys


def test_a_pool_s_name_changes_with_the_code_that_draws(sitters: list[Sitter], monkeypatch: pytest.MonkeyPatch) -> None:
    before = pool_key(sitters[:1])
    monkeypatch.setattr(brows, "HAIRS", 8)
    assert pool_key(sitters[:1]) != before


def test_stages_that_train_ask_for_the_pool_first(tmp_path: Path) -> None:
    run = Plan(tmp_path, tmp_path / "assets", 60.0, 5)
    with pytest.raises(FileNotFoundError, match="run the stage faces first"):
        run_stage("autoencoder", run)
    with pytest.raises(FileNotFoundError, match="run the stage speech first"):
        run_stage("probe", run)
    (tmp_path / POOL_FILE).write_text('{"folder": "pool-abc"}')
    (tmp_path / SPEECH_FILE).write_text('{"folder": "speech-abc"}')
    assert run.pool == tmp_path / "pool-abc"
    assert run.speech == tmp_path / "speech-abc"


def test_the_budget_is_shared_and_trained_weights_keep_their_autoencoder(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path, 100.0, 5)
    adapted = replace(plan, start=Start(NANO_DIR))
    for run in (plan, adapted):
        assert sum(run.budget_of(stage) for stage in SHARES) == pytest.approx(100.0)
    assert plan.budget_of("autoencoder") > 0
    assert adapted.budget_of("autoencoder") == 0


def test_no_budget_leaves_the_weights_as_they_are(faces: Faces, tmp_path: Path) -> None:
    kept = train_autoencoder(faces, tmp_path, 0.0, Start(NANO_DIR))
    shipped = Model.load(NANO_DIR, torch.device("cpu")).vae.state_dict()
    assert all(torch.equal(value, shipped[name]) for name, value in cast(nn.Module, kept).state_dict().items())


def test_the_speech_s_name_changes_with_its_augmentation(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    before = speech_key(voice)
    assert speech_key(voice) == before
    monkeypatch.setattr(speech_module, "OTHER_SPEAKERS", 0.1)
    assert speech_key(voice) != before


def test_training_starts_from_given_weights_and_goes_on_from_its_own(faces: Faces, tmp_path: Path) -> None:
    rows = np.arange(len(faces.lower))
    from_noise = train_autoencoder(faces, tmp_path / "noise", 0.001)
    started = train_autoencoder(faces, tmp_path / "started", 0.001, Start(NANO_DIR))
    assert psnr(started, faces, rows) > psnr(from_noise, faces, rows) + 8, "one step does not spoil trained weights"
    again = train_autoencoder(faces, tmp_path / "started", 0.001)
    ours, theirs = encoder_of(started).state_dict(), encoder_of(again).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), "the checkpoint wins"
