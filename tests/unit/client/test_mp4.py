"""MP4 files are exact and playable; they are read back with another library call, not trusted."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_client.errors import FileError
from avatar_client.mp4 import Mp4File

SIZE = 64
RATE_HZ = 24_000


def grey(level: int) -> NDArray[np.uint8]:
    return np.full((SIZE, SIZE, 3), level, np.uint8)


def tone(samples: int) -> NDArray[np.int16]:
    values: NDArray[np.int16] = (8000 * np.sin(2 * np.pi * 400 * np.arange(samples) / RATE_HZ)).astype(np.int16)
    return values


def levels(path: Path) -> list[int]:
    """The grey level of every frame, rounded to tens."""
    with av.open(str(path)) as container:
        return [round(frame.to_ndarray(format="rgb24").mean() / 10) * 10 for frame in container.decode(video=0)]


def sound(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def durations_s(path: Path) -> tuple[float, float]:
    """Duration of video and audio as the file's header has it."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        return (
            float((video.duration or 0) * (video.time_base or 0)),
            float((audio.duration or 0) * (audio.time_base or 0)),
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answer.mp4"


def recorder(path: Path, fps: Fraction = Fraction(25), rate_hz: int = RATE_HZ) -> Mp4File:
    return Mp4File(path, fps, SIZE, SIZE, rate_hz)


def test_the_file_is_h264_at_the_exact_rate_and_aac_at_48_khz(path: Path) -> None:
    with recorder(path) as file:
        file.begin_turn()
        for index in range(50):
            file.add_audio(tone(960))
            file.add_frame(index, grey(100))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        assert (video.average_rate, video.frames) == (Fraction(25), 50)
        assert (audio.codec_context.name, audio.rate, audio.channels) == ("aac", 48_000, 1)


@pytest.mark.parametrize(
    ("fps", "rate_hz"), [(Fraction(25), 24_000), (Fraction(30_000, 1001), 22_050), (Fraction(50), 44_100)]
)
def test_voice_and_pictures_are_equally_long(path: Path, fps: Fraction, rate_hz: int) -> None:
    with recorder(path, fps, rate_hz) as file:
        for _ in range(3):
            file.begin_turn()
            file.add_audio(tone(rate_hz))
            file.add_frame(0, grey(100))
    video_s, audio_s = durations_s(path)
    assert video_s >= 3.0
    assert abs(video_s - audio_s) <= 1 / fps


def test_a_missing_frame_repeats_the_one_before_it(path: Path) -> None:
    with recorder(path) as file:
        file.begin_turn()
        file.add_audio(tone(6 * 960))
        file.add_frame(0, grey(50))
        file.add_frame(1, grey(100))
        file.add_frame(4, grey(150))
    assert levels(path) == [50, 100, 100, 100, 150, 150]


def test_a_turn_without_its_first_frames_begins_with_the_picture_shown_before(path: Path) -> None:
    with recorder(path) as file:
        file.show(grey(80))
        file.begin_turn()
        file.add_audio(tone(4 * 960))
        file.add_frame(2, grey(150))
    assert levels(path) == [80, 80, 150, 150]


def test_turns_follow_one_another_without_a_gap(path: Path) -> None:
    with recorder(path) as file:
        for level in (50, 150):
            file.begin_turn()
            file.add_audio(tone(3 * 960))
            for index in range(3):
                file.add_frame(index, grey(level))
        assert file.duration_s == pytest.approx(0.24)
    assert levels(path) == [50, 50, 50, 150, 150, 150]


def test_sound_stays_where_it_was_on_the_way_to_48_khz(path: Path) -> None:
    samples = np.zeros(RATE_HZ, np.int16)
    samples[12_000:14_400] = tone(2_400)
    with recorder(path) as file:
        file.begin_turn()
        for first in range(0, RATE_HZ, 960):
            file.add_audio(samples[first : first + 960])
            file.add_frame(first // 960, grey(100))
    heard = np.flatnonzero(np.abs(sound(path)) > 0.05)
    assert heard[0] / 48_000 == pytest.approx(0.5, abs=0.005)
    assert heard[-1] / 48_000 == pytest.approx(0.6, abs=0.005)


def test_a_caption_changes_the_lower_third_and_nothing_above(tmp_path: Path) -> None:
    for name, caption in (("plain", ""), ("captioned", "How far is the moon?")):
        with Mp4File(tmp_path / f"{name}.mp4", Fraction(25), 256, 256, RATE_HZ) as file:
            file.begin_turn(caption)
            file.add_audio(tone(960))
            file.add_frame(0, np.full((256, 256, 3), 120, np.uint8))
    pictures = []
    for name in ("plain", "captioned"):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            pictures.append(next(container.decode(video=0)).to_ndarray(format="gray").astype(int))
    difference = np.abs(pictures[1] - pictures[0])
    assert difference[:160].max() < 8
    assert difference[171:].max() > 60


def test_the_file_appears_only_when_it_is_complete(path: Path) -> None:
    file = recorder(path)
    file.begin_turn()
    file.add_audio(tone(960))
    file.add_frame(0, grey(100))
    assert not path.exists()
    file.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["answer.mp4"]


def test_a_recording_of_nothing_leaves_no_file(path: Path) -> None:
    recorder(path).close()
    assert list(path.parent.iterdir()) == []


def test_a_name_that_is_no_mp4_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"answer\.avi: only MP4 files.*ends in \.mp4"):
        recorder(tmp_path / "answer.avi")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        recorder(tmp_path / "taken" / "answer.mp4")
