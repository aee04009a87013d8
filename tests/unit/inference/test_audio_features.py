"""Log-mel and encoder against transformers, window indices, positional encoding."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as ReferenceEncoder

from inference.audio_features import AudioFeatures, Span, gather_windows, positional_encoding, window_features
from inference.config import NANO, SPAN_LEFT_SAMPLES, START_MEL_MAX, span_samples
from inference.log_mel import LogMel
from inference.whisper_encoder import WhisperEncoder
from tests.inference_data import speech

THIRTY_SECONDS = 480_000
TIME = np.arange(THIRTY_SECONDS) / 16_000
SOUNDS = {
    "tone": (0.3 * np.sin(2 * math.pi * 440 * TIME)).astype(np.float32),
    "speech-like": speech(THIRTY_SECONDS).astype(np.float32) / 32_768,
    "silence": np.zeros(THIRTY_SECONDS, np.float32),
    "short": np.pad(speech(300).astype(np.float32) / 32_768, (0, THIRTY_SECONDS - 300)),
}


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(NANO.whisper).eval()


@pytest.mark.parametrize("sound", SOUNDS.values(), ids=list(SOUNDS))
def test_log_mel_is_whispers_when_the_reference_is_below_the_sounds_own_maximum(sound: NDArray[np.float32]) -> None:
    extractor = WhisperFeatureExtractor()  # type: ignore[no-untyped-call]  # untyped in transformers
    expected = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_features"]  # [1, 80, 3000]
    mel, maximum = LogMel()(torch.from_numpy(sound)[None], torch.tensor([-10.0]))
    assert np.abs(mel.numpy() - expected).max() <= 1e-4
    assert float(mel.max()) == pytest.approx((float(maximum) + 4) / 4, abs=1e-5)


def test_a_higher_reference_only_raises_the_floor() -> None:
    samples = torch.from_numpy(SOUNDS["speech-like"][:24_960])[None]
    own, maximum = LogMel()(samples, torch.tensor([-10.0]))
    carried, returned = LogMel()(samples, torch.tensor([4.0]))
    floor = (4.0 - 8.0 + 4.0) / 4
    assert float(returned) == 4.0 > float(maximum)
    assert torch.equal(carried, own.clamp(min=floor))
    assert (carried == floor).any()


def test_int16_and_float_samples_give_the_same_mel() -> None:
    samples = torch.from_numpy(speech(24_960))[None]
    reference = torch.tensor([START_MEL_MAX])
    assert torch.equal(LogMel()(samples, reference)[0], LogMel()(samples.float() / 32_768, reference)[0])


def test_the_encoder_equals_transformers_in_all_five_states(encoder: WhisperEncoder) -> None:
    size = NANO.whisper
    reference = ReferenceEncoder(
        WhisperConfig(
            d_model=size.width,
            encoder_layers=size.layers,
            encoder_attention_heads=size.heads,
            encoder_ffn_dim=size.feed_forward,
        )
    )
    reference.eval()  # type: ignore[no-untyped-call]  # untyped in transformers
    reference.load_state_dict(encoder.state_dict())
    mel = torch.randn(1, 80, 3000)
    with torch.inference_mode():
        expected = torch.stack(reference(mel, output_hidden_states=True).hidden_states, dim=2)  # [1, 1500, 5, 384]
        states = encoder(mel)
    assert states.shape == (1, 1500, 5, 384)
    assert (states - expected).abs().max() <= 1e-4
    assert states[0, :, 4].mean(dim=-1).abs().max() < 1e-5  # the last state has passed the final layer norm


def test_a_short_span_takes_positions_from_the_given_start(encoder: WhisperEncoder) -> None:
    mel = torch.randn(1, 80, 156)
    with torch.inference_mode():
        at_zero, at_seven = encoder(mel), encoder(mel, torch.tensor([7]))
    shift = encoder.embed_positions.weight[7:85] - encoder.embed_positions.weight[:78]
    assert at_zero.shape == (1, 78, 5, 384)
    assert torch.allclose(at_seven[0, :, 0] - at_zero[0, :, 0], shift, atol=1e-6)


@pytest.mark.parametrize(
    ("frame_start", "first", "last"),
    [
        (0, -4, 5),
        (640, -2, 7),
        (SPAN_LEFT_SAMPLES, 46, 55),
        (SPAN_LEFT_SAMPLES + 7 * 640, 60, 69),
        (533, -3, 6),
        (319, -4, 5),
    ],
)
def test_a_window_spans_80_ms_before_to_120_ms_after_the_frames_start(frame_start: int, first: int, last: int) -> None:
    window = window_features(frame_start)
    assert (window[0], window[-1], len(window)) == (first, last, 10)


def test_windows_flatten_time_major_and_pad_with_zeros_at_both_ends() -> None:
    length = 78
    features = (torch.arange(1, length + 1)[:, None, None] * 10.0 + torch.arange(5)[None, :, None]).expand(
        length, 5, 384
    )
    first, middle, end = gather_windows(features, [0, 16_000, 74 * 320])
    assert first.shape == (50, 384)
    assert first[:20].abs().max() == 0  # features -4 to -1 lie before the span
    assert first[20:23, 0].tolist() == [10.0, 11.0, 12.0]  # feature 0, states 0 to 2
    assert middle[:, 7].tolist() == [(46 + t + 1) * 10.0 + state for t in range(10) for state in range(5)]
    assert end[39, 0] == 78 * 10.0 + 4  # feature 77 is the last
    assert end[40:].abs().max() == 0


def test_every_window_of_a_full_span_lies_inside_it() -> None:
    features = span_samples(8) // 320
    assert window_features(SPAN_LEFT_SAMPLES)[0] >= 0
    assert window_features(SPAN_LEFT_SAMPLES + 7 * 640)[-1] < features - 8  # 160 ms clear of the reflected end


def test_the_positional_encoding_is_musetalks() -> None:
    table = positional_encoding(384)
    assert table.shape == (50, 384)
    for position, channel in [(0, 0), (0, 1), (1, 0), (49, 382), (13, 101)]:
        angle = position / 10_000 ** (channel // 2 * 2 / 384)
        assert table[position, channel] == pytest.approx(
            math.sin(angle) if channel % 2 == 0 else math.cos(angle), abs=1e-5
        )


def test_states_are_normalised_per_channel_before_the_positions_are_added() -> None:
    torch.manual_seed(0)
    audio = AudioFeatures(NANO.whisper).eval()
    span = Span(speech(span_samples(1)), (SPAN_LEFT_SAMPLES,), START_MEL_MAX)
    with torch.inference_mode():
        plain = audio.windows([span])[0].tokens - audio.token_positions
        audio.mean.fill_(3.0)
        audio.deviation.fill_(2.0)
        normalised = audio.windows([span])[0].tokens - audio.token_positions
    assert torch.allclose(normalised, (plain - 3.0) / 2.0, atol=1e-5)


def test_spans_of_different_lengths_keep_their_order() -> None:
    torch.manual_seed(0)
    audio = AudioFeatures(NANO.whisper).eval()
    spans = [Span(speech(span_samples(n), seed=n), (SPAN_LEFT_SAMPLES,) * n, START_MEL_MAX) for n in (4, 8, 4, 1)]
    with torch.inference_mode():
        together = audio.windows(spans)
        for windows, span in zip(together, spans, strict=True):
            (alone,) = audio.windows([span])
            assert windows.tokens.shape == (len(span.frame_starts), 50, 384)
            assert (windows.tokens - alone.tokens).abs().max() <= 1e-5
            assert windows.mel_max == pytest.approx(alone.mel_max, abs=1e-6)
