"""Audio in and out of the sandbox's models."""

import io
import wave

import numpy as np
import pytest

from avatar_service.sandbox.audio import (
    Resampler,
    Samples,
    UndecodableAudioError,
    decode,
    leading_silence,
    to_pcm16,
)


def tone(seconds: float, rate_hz: int, frequency_hz: float = 440.0) -> Samples:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    samples: Samples = (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)
    return samples


def wav(samples: Samples, rate_hz: int, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as recording:
        recording.setnchannels(channels)
        recording.setsampwidth(2)
        recording.setframerate(rate_hz)
        recording.writeframes(to_pcm16(np.repeat(samples, channels)))
    return buffer.getvalue()


def test_leading_silence_ends_with_the_first_loud_sample() -> None:
    speech = np.concatenate([np.zeros(8000, np.float32), tone(0.5, 24_000)])
    assert 8000 <= leading_silence(speech) < 8024  # the tone's first millisecond is quiet


def test_pure_silence_has_no_beginning_of_speech() -> None:
    assert leading_silence(np.zeros(500, np.float32)) == 0


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_uploads_of_any_rate_become_16_khz_mono(rate_hz: int, channels: int) -> None:
    decoded = decode(wav(tone(1.0, rate_hz), rate_hz, channels), max_s=2.0)
    assert abs(len(decoded) - 16_000) <= 40
    middle = decoded[2000:14_000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(np.argmax(spectrum)) * 16_000 / len(middle) == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("upload", [b"", b"not audio at all", b"RIFF" + bytes(200)])
def test_what_is_not_audio_is_refused(upload: bytes) -> None:
    with pytest.raises(UndecodableAudioError):
        decode(upload, max_s=2.0)


def test_audio_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(UndecodableAudioError, match="longer than 1 seconds"):
        decode(wav(tone(1.5, 16_000), 16_000), max_s=1.0)


def test_pcm_is_little_endian_and_clipped() -> None:
    assert to_pcm16(np.array([0.0, 1.0, -2.0, 1 / 32767], np.float32)) == b"\x00\x00\xff\x7f\x01\x80\x01\x00"


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 44_100, 48_000])
def test_resampling_in_pieces_keeps_the_duration(rate_hz: int) -> None:
    speech = tone(1.0, 24_000)
    resampler = Resampler(24_000, rate_hz)
    pieces = [
        resampler.resample(speech[start : start + 6000], last=start == 18_000) for start in range(0, 24_000, 6000)
    ]
    assert sum(len(piece) for piece in pieces) == pytest.approx(rate_hz, abs=1)
