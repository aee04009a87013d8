"""The published sizes: 850 million parameters, the engine's rewrites against diffusers' and transformers' classes."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from inference.audio_features import AudioFeatures, Span
from inference.config import MEL_MAX_LIMITS, MUSETALK_V15
from inference.decoder import WHOLE_FACE
from inference.painter import MouthPainter
from inference.preparation.latents import encode_faces
from inference.weights import Model
from tests.inference_data import speech
from tests.parity import reference as plain
from tests.parity.conftest import CPU
from tests.parity.reference import Reference
from tests.published_weights import random_networks

FRAMES = [0, 30, 61]


@pytest.mark.full
@pytest.mark.timeout(1_200)
def test_the_published_sizes_give_diffusers_results() -> None:
    """The reference computes first: the engine takes over the same networks, which need 4 GB."""
    networks = random_networks(MUSETALK_V15)
    width = MUSETALK_V15.whisper.width
    whisper = {"d_model": width, "encoder_attention_heads": 6, "encoder_layers": 4, "encoder_ffn_dim": 1_536}
    encoder = plain.whisper_encoder(whisper, networks.whisper.state_dict())
    reference = Reference(networks.unet, networks.vae, encoder)
    generator = torch.Generator().manual_seed(1)
    latents, sound = torch.randn(3, 8, 32, 32, generator=generator), speech(40_000)
    features = reference.features(sound.astype(np.float32) / 32_768)
    windows = plain.windows(features, 62, Fraction(25))
    face = np.random.default_rng(2).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    faces = reference.latents(face)
    denoised = reference.denoise(latents, windows[FRAMES])
    pixels = reference.decode(denoised[:1])

    audio = AudioFeatures(MUSETALK_V15.whisper, "padded").eval()
    audio.encoder = networks.whisper
    model = Model(replace(MUSETALK_V15, positions="padded"), audio, networks.unet, networks.vae, "")
    found_faces = encode_faces(model, np.ascontiguousarray(face[None, ..., ::-1]))
    assert float((found_faces - faces).abs().max()) <= 1e-4
    painter = MouthPainter(model, CPU, (1, 3))
    with torch.inference_mode():
        (heard,) = audio.windows([Span(sound, tuple(640 * frame for frame in FRAMES), MEL_MAX_LIMITS[0])])
        assert float((heard.tokens - audio.token_positions - windows[FRAMES]).abs().max()) <= 1e-4
        found = painter.denoise(latents, windows[FRAMES] + audio.token_positions)
        assert float((found - denoised).abs().max() / denoised.abs().max()) <= 1e-5
        (picture,) = painter.decode(denoised[:1], WHOLE_FACE)
    assert np.abs(picture.astype(int) - pixels[0, ..., ::-1]).max() <= 1
