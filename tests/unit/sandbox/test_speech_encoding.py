"""Speech as a stream of encoded pieces."""

from itertools import pairwise

import numpy as np
import pytest

from avatar_service.sandbox.audio import Samples, to_pcm16
from avatar_service.sandbox.speech_encoding import SpeechEncoder, SpeechPiece
from avatar_service.sandbox.speech_formats import CONVERT_FORMATS, STREAM_FORMATS

RATE_HZ = 24_000
SECONDS = 1.3


def speech() -> Samples:
    time_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    samples: Samples = (0.4 * np.sin(2 * np.pi * 300 * time_s) * np.sin(np.pi * time_s / SECONDS)).astype(np.float32)
    return samples


def encode(name: str, cut: int, rate_hz: float = RATE_HZ) -> list[SpeechPiece]:
    """Encode the speech in parts of ``cut`` samples."""
    samples = speech()
    encoder = SpeechEncoder(CONVERT_FORMATS[name], rate_hz)
    pieces: list[SpeechPiece] = []
    for start in range(0, len(samples), cut):
        pieces += encoder.encode(samples[start : start + cut], last=start + cut >= len(samples))
    assert encoder.source_s == pytest.approx(len(samples) / rate_hz)
    assert encoder.duration_s == pytest.approx(len(samples) / rate_hz, abs=0.001)
    return pieces


def joined(pieces: list[SpeechPiece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


@pytest.mark.parametrize("name", ["pcm_24000", "pcm_44100", "mp3_44100_128", "ulaw_8000", "wav_16000"])
def test_the_bytes_do_not_depend_on_how_speech_arrives(name: str) -> None:
    assert joined(encode(name, 1_000_000)) == joined(encode(name, 7777)) == joined(encode(name, 241))


def test_pcm_at_the_voices_own_rate_is_the_samples() -> None:
    assert joined(encode("pcm_24000", 5000)) == to_pcm16(speech())


@pytest.mark.parametrize("name", sorted(STREAM_FORMATS))
def test_pieces_follow_each_other_and_cover_the_speech(name: str) -> None:
    pieces = encode(name, 9000)
    assert all(piece.data for piece in pieces)
    assert all(earlier.end_s <= later.start_s + 1e-9 for earlier, later in pairwise(pieces))
    assert pieces[0].end_s <= 0.15, "the first bytes do not wait for the whole"
    assert pieces[-1].end_s == pytest.approx(SECONDS, abs=0.001)


def test_a_lower_pitch_takes_longer() -> None:
    pieces = encode("pcm_24000", 9000, rate_hz=0.8 * RATE_HZ)
    assert len(joined(pieces)) / 48_000 == pytest.approx(SECONDS / 0.8, abs=0.001)


def test_the_rate_of_bits_is_what_the_name_says() -> None:
    for kbit_s in (32, 64, 96, 128, 192):
        size = len(joined(encode(f"mp3_44100_{kbit_s}", 9000)))
        assert size * 8 / SECONDS / 1000 == pytest.approx(kbit_s, rel=0.08)


def test_opus_leaves_as_one_ogg_page_for_each_20_ms() -> None:
    pieces = encode("opus_48000_64", 9000)
    assert all(piece.data.startswith(b"OggS") for piece in pieces)
    assert len(pieces) == pytest.approx(SECONDS / 0.02, abs=2)


def test_a_stream_without_speech_ends() -> None:
    encoder = SpeechEncoder(STREAM_FORMATS["pcm_24000"], RATE_HZ)
    assert encoder.encode(np.zeros(0, np.float32), last=True) == []
