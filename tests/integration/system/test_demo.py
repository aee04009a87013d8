"""`make demo`'s command, and what a person sees and hears in its video."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
FPS = 25


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "demo.mp4"
    run = subprocess.run(
        [sys.executable, "-m", "avatar_service", "demo", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return out, run.stdout


def test_it_prints_the_question_the_answer_and_the_latencies(demo: tuple[Path, str]) -> None:
    _, printed = demo
    assert "capital of France?" in printed
    assert "Paris" in printed
    for name in ("transcription_time", "time_to_first_token", "time_to_first_frame", "total_latency"):
        assert name in printed


def test_the_video_is_h264_and_aac_of_the_same_length(demo: tuple[Path, str]) -> None:
    with av.open(str(demo[0])) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.average_rate == FPS
        assert min(video.width, video.height) >= 512
        assert audio.rate == 48_000
        frames = sum(1 for _ in file.decode(video))
    with av.open(str(demo[0])) as file:
        samples = sum(frame.samples for frame in file.decode(audio=0))
    assert abs(frames / FPS - samples / 48_000) <= 1 / FPS + 1024 / 48_000


def test_the_question_lies_beside_it(demo: tuple[Path, str]) -> None:
    assert (demo[0].parent / "question.wav").stat().st_size > 16_000


def test_the_mouth_moves_while_it_speaks(demo: tuple[Path, str]) -> None:
    with av.open(str(demo[0])) as file:
        pictures = np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)]).astype(np.float32)
    height = pictures.shape[1]
    changes = np.abs(np.diff(pictures, axis=0)).mean(axis=2)  # [frames, rows]
    lower, upper = changes[:, height // 2 : height * 3 // 4].mean(), changes[:, : height // 4].mean()
    assert lower > 2 * upper
