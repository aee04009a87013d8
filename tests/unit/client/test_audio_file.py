"""Audio files of every usual kind become mono 16-bit pieces; anything else is refused with one clear line."""

import tracemalloc
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_client.audio_file import AudioFile, as_samples
from avatar_client.errors import FileError
from tests.unit.client.audio_files import click, onset_s, write_audio

ACCEPTED = "give a WAV, FLAC, MP3 or Ogg file"


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


def read(path: Path, rate_hz: int = 0) -> NDArray[np.int16]:
    return as_samples(b"".join(AudioFile(path).pieces(rate_hz)))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_width_and_channel_count_is_read(tmp_path: Path, width: int, channels: int) -> None:
    data = encode(np.repeat(sine(), channels), width)
    path = write_wav(tmp_path / "question.wav", data, width, channels)
    assert AudioFile(path).rate_hz == 16_000
    np.testing.assert_allclose(read(path), sine() * 32767, atol=260 if width == 1 else 2)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 96_000])
def test_the_rate_is_kept(tmp_path: Path, rate_hz: int) -> None:
    path = write_wav(tmp_path / "question.wav", encode(sine(rate_hz), 2), 2, rate_hz=rate_hz)
    audio = AudioFile(path)
    assert audio.rate_hz == rate_hz
    assert audio.duration_s == pytest.approx(0.2, abs=1e-3)
    assert len(read(path)) == rate_hz // 5


def test_channels_are_averaged(tmp_path: Path) -> None:
    pairs = np.stack([np.full(800, 8000), np.full(800, -4000)], axis=1).astype("<i2")
    path = write_wav(tmp_path / "question.wav", pairs.tobytes(), 2, channels=2)
    np.testing.assert_allclose(read(path), 2000, atol=2)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".ogg"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_keeps_its_words_where_they_were(tmp_path: Path, suffix: str, channels: int) -> None:
    """MP3 and Opus encoders put silence before the first sample, which is to be cut off again."""
    if (suffix, channels) == (".ogg", 1):
        channels = 2  # libav's own Vorbis encoder is for two channels
    rate_hz = 48_000 if suffix == ".opus" else 44_100
    samples = np.stack([click(0.5, 1.0, rate_hz)] * channels)
    heard = read(write_audio(tmp_path / f"question{suffix}", samples, rate_hz))
    assert onset_s(heard, rate_hz) == pytest.approx(0.5, abs=0.01)
    assert len(heard) / rate_hz == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("own_hz", "asked_hz"), [(96_000, 16_000), (4_000, 16_000), (44_100, 48_000), (22_050, 8_000)])
def test_resampling_keeps_duration_pitch_and_place(tmp_path: Path, own_hz: int, asked_hz: int) -> None:
    tone = (np.concatenate([np.zeros(own_hz // 2), sine(own_hz), np.zeros(own_hz // 2)]) * 32767).astype(np.int16)
    heard = read(write_audio(tmp_path / "question.wav", tone, own_hz), asked_hz)
    assert len(heard) / asked_hz == pytest.approx(len(tone) / own_hz, abs=1e-3)
    assert onset_s(heard, asked_hz) == pytest.approx(onset_s(tone, own_hz), abs=1e-3)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * asked_hz / len(heard) == pytest.approx(300, abs=6)


def test_pieces_are_of_one_size_and_the_last_is_what_is_left(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "question.wav", np.arange(1_000, dtype=np.int16))
    pieces = list(AudioFile(path).pieces(piece_s=0.02))
    assert [len(piece) // 2 for piece in pieces] == [320, 320, 320, 40]
    np.testing.assert_array_equal(as_samples(b"".join(pieces)), np.arange(1_000))


def test_silence_follows_in_the_same_pieces(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "question.wav", np.full(1_000, 7, np.int16))
    pieces = list(AudioFile(path).pieces(piece_s=0.02, closing_s=0.04))
    assert [len(piece) // 2 for piece in pieces] == [320, 320, 320, 320, 320, 40]
    assert as_samples(b"".join(pieces)).tolist() == [7] * 1_000 + [0] * 640


def test_a_long_file_is_not_held_in_memory(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", bytes(2 * 16_000 * 300), 2)  # 9.6 MB
    pieces = AudioFile(path).pieces()
    tracemalloc.start()
    count = sum(1 for _ in pieces)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 7_500
    assert peak_bytes < 1_000_000


def test_a_name_with_a_colon_is_a_file(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "http:question.wav", click(0.1, 0.2, 16_000))
    assert len(read(path)) == 3_200


def picture(path: Path) -> Path:
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(stream.encode(None))
    return path


def silent_video(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("diary.wav", b"dear diary, " * 50, "is not an audio file, or is damaged"),
        ("noise.mp3", np.random.default_rng(1).bytes(20_000), "is not an audio file, or is damaged"),
        ("head.wav", b"RIFF\x24\x00\x00\x00WAVE", "is not an audio file, or is damaged"),
        ("empty.wav", b"", "is empty"),
        ("diary.txt", b"dear diary\n" * 500, "holds text but no sound"),
    ],
)
def test_what_is_not_audio_is_refused_by_name(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError) as caught:
        AudioFile(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {problem}; {ACCEPTED}"


def test_a_video_without_sound_and_a_picture_are_named_for_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=f"film.mp4: holds video but no sound; {ACCEPTED}"):
        AudioFile(silent_video(tmp_path / "film.mp4"))
    with pytest.raises(FileError, match=f"face.jpg: holds a picture but no sound; {ACCEPTED}"):
        AudioFile(picture(tmp_path / "face.jpg"))


def test_a_wav_file_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"silence\.wav: .*no audio samples"):
        AudioFile(write_wav(tmp_path / "silence.wav", b"", 2))


def test_a_missing_file_a_folder_and_a_forbidden_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=rf"nothing\.wav: no such file; {ACCEPTED}"):
        AudioFile(tmp_path / "nothing.wav")
    with pytest.raises(FileError, match=rf"{tmp_path}: is a folder; {ACCEPTED}"):
        AudioFile(tmp_path)


def test_a_wav_file_that_was_cut_gives_what_there_is(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "question.wav", click(0.1, 2.0, 16_000))
    path.write_bytes(path.read_bytes()[:20_000])
    heard = read(path)
    assert len(heard) == pytest.approx(10_000, abs=100)
    assert onset_s(heard, 16_000) == pytest.approx(0.1, abs=0.001)


def test_a_file_cut_within_its_header_is_called_damaged(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "question.flac", click(0.1, 2.0, 16_000))
    path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(FileError, match="is not an audio file, or is damaged"):
        AudioFile(path)
