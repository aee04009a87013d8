"""Log-mel, Whisper's states, windows and token positions: the engine's against transformers'."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.audio_features import AudioFeatures, Span, gather_windows, heard, positional_encoding
from inference.log_mel import LogMel
from inference.weights import Model
from tests.inference_data import speech
from tests.parity import reference as plain
from tests.parity.reference import PIECE, RATE_HZ, Reference

OWN_MAXIMUM = -10.0
"""A running log-mel maximum below every sound's: the clip's own counts, as upstream has it."""
LIMIT = 1e-4
RATES = [Fraction(rate) for rate in (15, 20, 24, 25, 30, 48, 49, 50, 60)] + [Fraction(30_000, 1_001)]


def tone(samples: int) -> NDArray[np.int16]:
    wave = 9_000 * np.sin(2 * math.pi * 440 / RATE_HZ * np.arange(samples))
    return np.asarray(wave, np.int16)


SOUNDS = {
    "tone": tone(40_000),
    "speech-like": speech(60_000),
    "silence": np.zeros(20_000, np.int16),
    "one sample": speech(1),
    "fewer than one window": speech(399),
    "30 s": speech(PIECE),
    "30 s and a sample": speech(PIECE + 1),
}
CLIPS = {name: SOUNDS[name] for name in ("tone", "speech-like", "silence", "one sample", "fewer than one window")}


def as_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    return samples.astype(np.float32) / 32_768


def padded(piece: NDArray[np.int16]) -> Tensor:
    return torch.from_numpy(np.pad(piece, (0, PIECE - len(piece))))[None]  # [1, 480000]


@pytest.mark.parametrize("sound", SOUNDS.values(), ids=list(SOUNDS))
def test_log_mel_is_that_of_the_hugging_face_extractor(sound: NDArray[np.int16]) -> None:
    for start in range(0, len(sound), PIECE):
        piece = sound[start : start + PIECE]
        mel, _ = LogMel()(padded(piece), torch.tensor([OWN_MAXIMUM]))
        expected = plain.log_mel(as_float(piece))
        assert mel.shape == expected.shape == (1, 80, 3_000)
        assert (mel - expected).abs().max() <= LIMIT


@torch.inference_mode()
def test_30_s_through_the_encoder_give_transformers_five_states(model: Model, reference: Reference) -> None:
    sound = speech(PIECE)
    expected = reference.features(as_float(sound))
    (features,), _ = model.audio.features(padded(sound), torch.tensor([OWN_MAXIMUM]))
    assert features.shape == expected.shape == (1_500, 5, model.config.whisper.width)
    assert (features - expected).abs().max() <= LIMIT


@torch.inference_mode()
def test_the_last_state_has_passed_the_final_norm(model: Model) -> None:
    (features,), _ = model.audio.features(padded(speech(PIECE)), torch.tensor([OWN_MAXIMUM]))
    norm = model.audio.encoder.layer_norm
    last = (features[:, 4] - norm.bias) / norm.weight  # [1500, C]
    assert last.mean(dim=1).abs().max() <= 1e-4
    assert (last.var(dim=1, correction=0) - 1).abs().max() <= 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30_000, 1_001)], ids=str)
@pytest.mark.parametrize("sound", CLIPS.values(), ids=list(CLIPS))
def test_a_padded_clip_has_upstreams_windows_at_every_frame(
    sound: NDArray[np.int16], fps: Fraction, model: Model, reference: Reference
) -> None:
    """The first and the last frames too, whose windows reach outside the clip: there the features are zeros."""
    frames = plain.frame_count(len(sound), fps)
    starts = tuple(math.floor(frame * RATE_HZ / fps) for frame in range(frames + 1))
    (found,) = model.audio.windows([Span(sound, starts, OWN_MAXIMUM)])
    expected = plain.windows(reference.features(as_float(sound)), frames + 1, fps)
    assert (found.tokens - model.audio.token_positions - expected).abs().max() <= LIMIT
    assert not expected[0, :20].any()


@torch.inference_mode()
def test_silence_before_the_segment_is_no_part_of_the_clip(model: Model) -> None:
    """A turn's first spans begin before it; upstream has zero features there and hears nothing of it."""
    sound, left = speech(30_000), 16_000
    (clip,) = model.audio.windows([Span(sound, (0, 640), OWN_MAXIMUM)])
    before = np.concatenate([speech(left, seed=5), sound])
    (span,) = model.audio.windows([Span(before, (left, left + 640), OWN_MAXIMUM, start=-left)])
    assert torch.equal(clip.tokens, span.tokens)


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("samples", [0, 1, 624, 16_000, PIECE - 1, PIECE, PIECE + 1, PIECE + 16_000])
def test_a_frames_window_begins_four_features_before_it_at_every_rate(fps: Fraction, samples: int) -> None:
    """Audio of any length, none at all included, raises nothing and gives every frame that it covers."""
    features = torch.arange(1.0, samples // 320 + 1)[:, None, None].expand(-1, 5, 2)
    frames = plain.frame_count(samples, fps)
    starts = [math.floor(frame * RATE_HZ / fps) for frame in range(frames)]
    found = gather_windows(features, starts)
    assert found.shape == (frames, 50, 2)
    for frame in {*range(0, frames, 11), *range(max(0, frames - 3), frames)}:
        window = found[frame]
        first = math.floor(frame * 50 / fps) - 4
        inside = [index + 1 if 0 <= index < len(features) else 0 for index in range(first, first + 10)]
        assert window[::5, 0].tolist() == inside
        assert window[4::5, 1].tolist() == inside


def test_at_25_fps_upstreams_own_left_padding_gives_the_same_windows() -> None:
    """Upstream pads by 2 ceil(50 / fps) features: four at 25 fps, at which it was trained."""
    features = torch.randn(75, 5, 3)
    theirs = plain.windows(features, 37, Fraction(25), left=2 * math.ceil(50 / 25))
    assert torch.equal(gather_windows(features, range(0, 37 * 640, 640)), theirs)


def test_a_token_is_five_times_its_feature_plus_its_state() -> None:
    features = torch.arange(400.0).reshape(80, 5, 1)
    (window,) = gather_windows(features, [40 * 320])
    assert window[:, 0].tolist() == [5.0 * (36 + token // 5) + token % 5 for token in range(50)]


@pytest.mark.parametrize("width", [48, 384])
def test_token_positions_are_sines_and_cosines_to_the_last_bits(width: int) -> None:
    found, expected = positional_encoding(width), plain.positions(width)
    assert (found - expected).abs().max() <= 5e-6  # the angles reach 49, of which fp32 resolves 4e-6
    ulp = torch.finfo(torch.float16).eps / 2
    assert (found.half().float() - expected.half().float()).abs().max() <= ulp


@torch.inference_mode()
def test_the_same_sound_gives_the_same_windows_to_the_bit(model: Model) -> None:
    span = Span(speech(24_960), (16_000, 16_640), OWN_MAXIMUM)
    first, second = (model.audio.windows([span])[0] for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert first.mel_max == second.mel_max


@torch.inference_mode()
def test_true_positions_are_those_of_a_whole_piece(model: Model) -> None:
    """Numbered by their place, a span's first states differ from the whole pass by nothing but the span's edges."""
    sound, start = speech(PIECE), 12 * RATE_HZ
    (whole,), _ = model.audio.features(padded(sound), torch.tensor([OWN_MAXIMUM]))
    audio = AudioFeatures(model.config.whisper, "true").eval()
    audio.encoder = model.audio.encoder
    (found,) = audio.windows([Span(sound[start : start + 24_960], (8_000,), _maximum(sound), start)])
    expected = whole[(start + 8_000) // 320 - 4 :][:10, 0]  # [10, C], state 0 of each
    assert (found.tokens[0, ::5] - audio.token_positions[::5] - expected).abs().max() <= LIMIT


@torch.inference_mode()
def test_spans_of_different_places_share_a_pass_and_each_gets_its_own_numbers(model: Model) -> None:
    """Before the segment, at its start, within it, across the 30 s, and behind them."""
    audio = AudioFeatures(model.config.whisper, "true").eval()
    audio.encoder = model.audio.encoder
    starts = (-8_000, 0, 48_000, PIECE - 320, PIECE + 48_000)
    spans = [Span(speech(16_000 + max(0, -start)), (12_000,), 0.5, start) for start in starts]
    passes: list[int] = []
    hook = audio.encoder.register_forward_hook(lambda _module, _inputs, output: passes.append(len(output)))
    together = audio.windows(spans)
    hook.remove()
    assert passes == [5]
    for span, windows in zip(spans, together, strict=True):
        (alone,) = audio.windows([span])
        assert (windows.tokens - alone.tokens).abs().max() <= 1e-5
    assert (together[1].tokens - together[2].tokens).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("start", "position"),
    [(-8_000, 0), (0, 0), (48_000, 150), (PIECE - 16_000, 1_450), (PIECE - 320, 1_450), (PIECE, 0), (PIECE + 640, 2)],
)
def test_places_start_again_every_30_s_and_a_span_always_fits(start: int, position: int) -> None:
    """Upstream's pieces. A span that crosses into the next piece is numbered to the end of the one it begins in."""
    part = heard(Span(speech(16_000 + max(0, -start)), (0,), 0.5, start), "true", 1_500)
    assert (part.position, part.features) == (position, 50)


def _maximum(sound: NDArray[np.int16]) -> float:
    return float(LogMel()(torch.from_numpy(sound)[None], torch.tensor([OWN_MAXIMUM]))[1])
