"""WAV files of every usual kind become mono 16-bit samples; anything else is refused with one clear line."""

import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_client.errors import FileError
from avatar_client.wav import WavAudio, read_wav, resample


def write_wav(path: Path, data: bytes, width: int, channels: int = 1, rate_hz: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate_hz, 0, "NONE", "not compressed"))
        file.writeframes(data)
    return path


def sine(rate_hz: int = 16_000) -> NDArray[np.float64]:
    values: NDArray[np.float64] = 0.5 * np.sin(2 * np.pi * 300 * np.arange(rate_hz // 5) / rate_hz)
    return values


def encode(values: NDArray[np.float64], width: int) -> bytes:
    """Little-endian PCM of `width` bytes a sample; 8-bit PCM is unsigned."""
    if width == 1:
        return bytes((values * 127 + 128).round().astype(np.uint8))
    integers: NDArray[np.int32] = (values * (2 ** (8 * width - 1) - 1)).round().astype("<i4")
    return integers.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_width_and_channel_count_is_read(tmp_path: Path, width: int, channels: int) -> None:
    data = encode(np.repeat(sine(), channels), width)
    audio = read_wav(write_wav(tmp_path / "question.wav", data, width, channels))
    assert (audio.rate_hz, audio.samples.dtype.name) == (16_000, "int16")
    np.testing.assert_allclose(audio.samples, sine() * 32767, atol=260 if width == 1 else 2)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 96_000])
def test_the_rate_is_kept(tmp_path: Path, rate_hz: int) -> None:
    audio = read_wav(write_wav(tmp_path / "question.wav", encode(sine(rate_hz), 2), 2, rate_hz=rate_hz))
    assert audio.rate_hz == rate_hz
    assert audio.duration_s == pytest.approx(0.2, abs=1e-3)


def test_channels_are_averaged(tmp_path: Path) -> None:
    pairs = np.stack([np.full(800, 8000), np.full(800, -4000)], axis=1).astype("<i2")
    audio = read_wav(write_wav(tmp_path / "question.wav", pairs.tobytes(), 2, channels=2))
    np.testing.assert_allclose(audio.samples, 2000, atol=2)


def test_resampling_keeps_duration_and_pitch() -> None:
    source = WavAudio((sine(96_000) * 32767).astype(np.int16), 96_000)
    audio = resample(source, 16_000)
    assert audio.rate_hz == 16_000
    assert audio.duration_s == pytest.approx(source.duration_s, abs=2e-3)
    spectrum = np.abs(np.fft.rfft(audio.samples))
    assert np.argmax(spectrum) * audio.rate_hz / len(audio.samples) == pytest.approx(300, abs=6)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"dear diary, " * 50, "not a WAV file; convert it with `ffmpeg -i .*question.wav"),
        (b"", "not a WAV file"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not a WAV file|holds no audio"),
    ],
)
def test_what_is_not_audio_is_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "diary.wav"
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"diary\.wav: ({problem})"):
        read_wav(path)


def test_a_wav_file_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no audio samples"):
        read_wav(write_wav(tmp_path / "empty.wav", b"", 2))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.wav: no such file"):
        read_wav(tmp_path / "nothing.wav")
