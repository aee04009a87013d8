"""Other speakers and surroundings: what is asked for changes, and the sounds stay where they are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.config import SAMPLE_RATE_HZ
from inference.training.acoustics import (
    TELEPHONE_HZ,
    at_level,
    babble,
    beside_the_voice,
    by_telephone,
    hum,
    in_room,
    noise,
    through_surroundings,
)
from inference.training.make_speech import segments
from inference.training.speech import gate, silent_to_the_end
from inference.training.timbre import Timbre, VoiceFrames, random_timbre, retune, stretch
from inference.training.voice import SILENCE, Speech, Voice, change_pitch, trim_end

TEXT = "Maybe five boys bought blue cups."
PITCH_HZ = (60, 420)


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice()


@pytest.fixture(scope="module")
def plain(voice: Voice) -> Speech:
    return voice.speak(TEXT)


def pitch(samples: NDArray[np.float32]) -> float:
    """The median F0 in Hz, by autocorrelation of the loud parts."""
    found = []
    lags = np.arange(SAMPLE_RATE_HZ // PITCH_HZ[1], SAMPLE_RATE_HZ // PITCH_HZ[0])
    for start in range(0, len(samples) - 1024, 320):
        part = samples[start : start + 1024] * np.hanning(1024)
        alike = np.fft.irfft(np.abs(np.fft.rfft(part, 4096)) ** 2)
        best = lags[np.argmax(alike[lags])]
        if (part**2).mean() > 1e-4 and alike[best] > 0.45 * alike[0]:
            found.append(SAMPLE_RATE_HZ / best)
    return float(np.median(found))


@pytest.mark.parametrize("timbre", [Timbre(formants=0.84), Timbre(pitch=0.5), Timbre(1.2, 1.4, 1.1, 1.0, -2.0)])
def test_another_speaker_has_the_same_durations(voice: Voice, plain: Speech, timbre: Timbre) -> None:
    other = voice.speak(TEXT, timbre=timbre)
    assert other.phonemes == plain.phonemes
    assert len(other.samples) == len(plain.samples)
    assert not np.array_equal(other.samples, plain.samples)


def test_pitch_moves_by_its_factor_and_formants_leave_it(voice: Voice, plain: Speech) -> None:
    own = pitch(plain.samples)
    assert pitch(voice.speak(TEXT, timbre=Timbre(formants=1.12)).samples) == pytest.approx(own, rel=0.06)
    assert pitch(voice.speak(TEXT, timbre=Timbre(pitch=0.6)).samples) == pytest.approx(0.6 * own, rel=0.12)


def test_no_timbre_is_the_voice_itself(voice: Voice, plain: Speech) -> None:
    assert np.allclose(voice.speak(TEXT, timbre=Timbre()).samples, plain.samples, atol=2e-3)


@pytest.mark.parametrize("factor", [0.84, 1.0, 1.15])
def test_a_formant_goes_to_its_factor(factor: float) -> None:
    spectrum = np.full((601, 2), -9.0, np.float32)
    spectrum[200] = 1.0
    stretched = stretch(spectrum, factor)
    assert stretched.shape == spectrum.shape
    assert int(stretched[:, 0].argmax()) == pytest.approx(200 * factor, abs=1)


def test_unvoiced_frames_stay_unvoiced() -> None:
    empty = np.zeros((601, 4), np.float32)
    f0 = np.array([-3.0, 200.0, 260.0, 0.5], np.float32)
    retuned = retune(VoiceFrames(empty, empty, empty, empty, empty, f0), Timbre(pitch=0.5, intonation=0.0)).f0
    assert list(retuned) == pytest.approx([-3.0, 115.0, 115.0, 0.5])


def test_a_faster_pace_is_shorter_and_its_durations_cover_it(voice: Voice, plain: Speech) -> None:
    faster = voice.speak(TEXT, pace=1.3)
    assert [p.symbol for p in faster.phonemes] == [p.symbol for p in plain.phonemes]
    assert faster.duration < 0.9 * plain.duration
    assert faster.phonemes[-1].end == pytest.approx(faster.duration, abs=0.026)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_playing_faster_scales_every_duration_exactly(plain: Speech, factor: float) -> None:
    played = change_pitch(plain, factor)
    assert len(played.samples) == pytest.approx(len(plain.samples) / factor, abs=2)
    for before, after in zip(plain.phonemes, played.phonemes, strict=True):
        assert (after.start, after.end) == pytest.approx((before.start / factor, before.end / factor))


def test_a_room_keeps_the_direct_sound_and_adds_a_tail() -> None:
    click = np.zeros(SAMPLE_RATE_HZ, np.float32)
    click[1000] = 1.0
    heard = in_room(click, np.random.default_rng(1))
    assert heard.shape == click.shape
    assert int(np.abs(heard).argmax()) == 1000
    assert not heard[:990].round(6).any()
    assert 0.01 < float((heard[1032:] ** 2).sum()) < 0.3


def test_a_telephone_leaves_its_band_alone() -> None:
    time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    for hertz, kept in ((100.0, False), (1_000.0, True), (6_000.0, False)):
        tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)
        share = by_telephone(tone)[2000:].std() / tone.std()
        assert share > 0.9 if kept else share < 0.05, (hertz, TELEPHONE_HZ)


@pytest.mark.parametrize("make", [noise, hum])
def test_sounds_beside_the_voice_are_as_long_as_asked(make: object) -> None:
    assert callable(make)
    sound = make(3_201, np.random.default_rng(2))
    assert abs(len(sound) - 3_201) <= 1
    assert at_level(sound, 0.01).std() == pytest.approx(0.01, rel=0.05)


def test_babble_is_many_talkers_and_not_the_voice_in_time(plain: Speech) -> None:
    many = babble(plain.samples, np.random.default_rng(3))
    assert abs(float(np.corrcoef(many, plain.samples)[0, 1])) < 0.35


def test_noise_is_below_the_voice(plain: Speech) -> None:
    rms = float(plain.samples.std())
    sounds = [beside_the_voice(plain.samples, rms, np.random.default_rng(seed)) for seed in range(30)]
    loudness = [float(sound.std()) / rms for sound in sounds]
    assert 0 < sum(level == 0 for level in loudness) < 25, "some segments are clean, some are not"
    assert max(loudness) < 10 ** (-11.9 / 20)


def test_a_voice_can_stop_at_once_and_its_sounds_stay(plain: Speech) -> None:
    cut = trim_end(plain, 0.04)
    assert cut.phonemes[:-1] == plain.phonemes[:-1]
    assert cut.phonemes[-1].end - cut.phonemes[-1].start == pytest.approx(0.04, abs=0.001)
    assert cut.duration == pytest.approx(cut.phonemes[-1].end)
    assert np.array_equal(cut.samples, plain.samples[: len(cut.samples)])
    assert trim_end(cut, 1.0) is cut, "what is short already stays"


def test_a_gate_silences_the_pauses_alone(plain: Speech) -> None:
    gated, last = gate(plain), plain.phonemes[-1]
    assert last.symbol == SILENCE
    middle = int((last.start + last.end) / 2 * SAMPLE_RATE_HZ)
    assert plain.samples[middle] != 0.0
    assert gated[middle] == 0.0
    first, end = (int(edge * SAMPLE_RATE_HZ) for edge in (plain.phonemes[0].end, plain.phonemes[3].end))
    assert np.array_equal(gated[first:end], plain.samples[first:end])


def test_the_last_silence_lasts_to_the_end(plain: Speech) -> None:
    extended = silent_to_the_end(plain.phonemes, 9.0)
    assert extended[:-1] == plain.phonemes[:-1]
    assert extended[-1].end == 9.0
    assert silent_to_the_end(plain.phonemes[:3], 9.0) == plain.phonemes[:3], "a sound does not last"


def test_a_seed_names_the_augmentation(plain: Speech, voice: Voice) -> None:
    assert random_timbre(np.random.default_rng(5)) == random_timbre(np.random.default_rng(5))
    assert random_timbre(np.random.default_rng(5)) != random_timbre(np.random.default_rng(6))
    first, again = (through_surroundings(plain.samples, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)
    one, other = (next(segments(voice, 9, held_out=False)) for _ in range(2))
    assert np.array_equal(one.samples, other.samples)
    assert np.array_equal(one.truth, other.truth)
