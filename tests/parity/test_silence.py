"""Silence and what is next to it: the avatar's own picture, fades inside the mask, first sounds that are not missed.

The voice is the sandbox's, the frames are the embedded model's.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_service.stages.spans import RATE_HZ, AvatarLoop, SpanBuilder
from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.engine import Engine, EngineSettings
from inference.requests import RenderRequest, RenderResult
from inference.training.voice import SILENCE, Voice
from tests.inference_data import request as usual_request

PAL = Fraction(25)
FRAME = RATE_HZ // 25
AUDIBLE_RMS = 10 ** (-55 / 20)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(settings=EngineSettings(device="cpu"))


@pytest.fixture(scope="module")
def ada() -> AvatarBundle:
    return AvatarBundle.load(AVATARS_DIR / "ada")


@pytest.fixture(scope="module")
def voice() -> Voice:
    return Voice()


def weights(sound: NDArray[np.float64], fps: Fraction = PAL) -> list[float]:
    """The mouth weights of a turn of this sound (-1 to 1, 16 kHz)."""
    builder, frames = SpanBuilder(fps, lambda: AvatarLoop("ada@00", 1)), int(-(-len(sound) * fps // RATE_HZ))
    builder.push((sound * 32_767).clip(-32_768, 32_767).astype(np.int16).tobytes())
    builder.pad(frames)
    found: list[float] = []
    while request := builder.next_request(frames - len(found)):
        found += request.mouth_weights
    return found


def at_level(sound: NDArray[np.float64], decibels: float) -> NDArray[np.float64]:
    """The sound brought to this RMS level, in dB of full scale."""
    scaled: NDArray[np.float64] = sound * 10 ** (decibels / 20) / np.sqrt(np.mean(sound**2))
    return scaled


def render(engine: Engine, request: RenderRequest) -> RenderResult:
    (result,) = engine.render([request])
    assert isinstance(result, RenderResult), result.message
    return result


def test_silent_frames_are_the_avatars_own_pictures_and_run_no_network(engine: Engine, ada: AvatarBundle) -> None:
    silent = weights(np.zeros(8 * FRAME))
    assert silent == [0.0] * 8
    result = render(engine, usual_request(ada.reference, tuple(silent)))
    assert result.frames == ada.frames[:8]
    assert result.rendered == 0


def test_a_fade_rises_frame_by_frame_and_only_under_the_mask(engine: Engine, ada: AvatarBundle) -> None:
    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    faded = []
    for weight in steps:
        made = usual_request(ada.reference, (weight,))
        raw = RenderRequest(
            made.avatar, made.audio, made.audio_start, (0,), made.frame_start, (weight,), made.mel_max, "raw"
        )
        frame = render(engine, raw).frames[0]
        faded.append(np.frombuffer(frame, np.uint8).reshape(ada.info.height, ada.info.width, 3).astype(int))
    assert (faded[0] == ada.image(0)).all()
    (x1, y1, x2, y2), covered = ada.info.boxes[0], np.zeros(faded[0].shape[:2], bool)
    covered[y1:y2, x1:x2] = ada.mask(0) > 0
    distances = [np.abs(frame - faded[0]) for frame in faded]
    for distance in distances:
        assert not distance[~covered].any()
    for nearer, further in itertools.pairwise(distances):
        assert (further >= nearer - 1).all()  # a pixel's rounding
        assert further.sum() > nearer.sum()


@pytest.mark.parametrize("text", ["Papa bakes bread.", "Mama bakes bread.", "Baba bakes bread."])
@pytest.mark.parametrize("silence_frames", [0, 1, 5, 11, 12, 20])
def test_the_mouth_is_in_place_before_a_sentences_first_sound(text: str, silence_frames: int, voice: Voice) -> None:
    """Fully shown from two frames before anything is heard on, and when the lips close, which p does in silence."""
    speech = voice.speak(text)
    first = next(phoneme for phoneme in speech.phonemes if phoneme.symbol != SILENCE)
    sound = np.concatenate([np.zeros(silence_frames * FRAME), at_level(speech.samples.astype(np.float64), -22)])
    onset = silence_frames + int(first.start * 25)
    levels = [np.sqrt(np.mean(sound[start : start + FRAME] ** 2)) for start in range(0, len(sound), FRAME)]
    audible = next(index for index, level in enumerate(levels) if level > AUDIBLE_RMS)
    found = weights(sound)
    assert set(found[max(0, audible - 2) : audible + 1]) == {1.0}
    assert found[onset] == 1.0
    assert found[: max(0, onset - 12)] == [0.0] * max(0, onset - 12)


def test_steady_noise_below_the_gate_moves_nothing() -> None:
    noise = np.random.default_rng(1).normal(size=2 * RATE_HZ)
    assert set(weights(at_level(noise, -50))) == {0.0}
    assert set(weights(at_level(noise, -46))) == {1.0}


def test_a_very_quiet_voice_is_not_gated_away(voice: Voice) -> None:
    """At -45 dB, 20 to 30 dB below a normalised voice, the mouth still moves for most of the sentence."""
    speech = voice.speak("My boss would have loved the view, but he was busy.").samples.astype(np.float64)
    normal, quiet = (np.array(weights(at_level(speech, level))) for level in (-22, -45))
    assert (quiet > 0).sum() >= 0.7 * (normal > 0).sum()


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_next_to_no_sound_is_no_error(samples: int, engine: Engine, ada: AvatarBundle) -> None:
    frames = 1 if samples else 0
    assert len(weights(np.ones(samples))) == frames
    if frames:
        builder = SpanBuilder(PAL, lambda: AvatarLoop(ada.reference, 1))
        builder.push(np.full(samples, 32_767, np.int16).tobytes())
        builder.pad(1)
        asked = builder.next_request(1)
        assert asked is not None
        found = RenderRequest(
            asked.avatar, asked.span, asked.span_start, (0,), asked.frame_starts, asked.mouth_weights, asked.mel_max
        )
        assert len(render(engine, found).frames) == 1
