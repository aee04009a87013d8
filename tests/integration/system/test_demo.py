"""`make demo`'s command, and what a person sees and hears in its video."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_service.stages.mouth import HANGOVER_MS
from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.training.lip_reader import LipReader

pytestmark = pytest.mark.timeout(600)
"""The first test waits for as many demos as a busy machine needs."""
ROOT = Path(__file__).parents[3]
FPS = 25
TRIES = 3
HELD_S = 180.0
"""By then a demo is over, on a busy machine too."""
SHUT_PIXELS = 1.5
"""What video compression makes of lips that touch."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo's video, what the command printed, and how many frames of the video show the picture before them because
    a busy machine had not rendered them in time."""

    video: Path
    printed: str
    held: int


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo with the fewest frames held, of as many as a busy machine needs for none."""
    demos: list[Demo] = []
    while len(demos) < TRIES and not (demos and demos[-1].held == 0):
        out = tmp_path_factory.mktemp("demo") / "demo.mp4"
        printed = _hold(out)
        held = re.search(r"frames held +(\d+) ", printed)
        assert held, printed
        demos.append(Demo(out, printed, int(held[1])))
    return min(demos, key=lambda each: each.held)


def _hold(out: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "avatar_service", "demo", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HELD_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_it_prints_the_question_the_answer_and_the_latencies(demo: Demo) -> None:
    assert "capital of France?" in demo.printed
    assert "Paris" in demo.printed
    for name in ("transcription_time", "time_to_first_token", "time_to_first_frame", "total_latency"):
        assert name in demo.printed


def test_the_video_is_h264_and_aac_of_the_same_length(demo: Demo) -> None:
    with av.open(str(demo.video)) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert video.average_rate == FPS
        assert min(video.width, video.height) >= 512
        assert audio.rate == 48_000
        frames = sum(1 for _ in file.decode(video))
    with av.open(str(demo.video)) as file:
        samples = sum(frame.samples for frame in file.decode(audio=0))
    assert abs(frames / FPS - samples / 48_000) <= 1 / FPS + 1024 / 48_000


def test_the_question_lies_beside_it(demo: Demo) -> None:
    assert (demo.video.parent / "question.wav").stat().st_size > 16_000


def test_the_mouth_moves_while_it_speaks(demo: Demo) -> None:
    with av.open(str(demo.video)) as file:
        pictures = np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)]).astype(np.float32)
    height = pictures.shape[1]
    changes = np.abs(np.diff(pictures, axis=0)).mean(axis=2)  # [frames, rows]
    lower, upper = changes[:, height // 2 : height * 3 // 4].mean(), changes[:, : height // 4].mean()
    assert lower > 2 * upper


def test_the_lips_are_shut_in_silence_and_open_with_the_words(demo: Demo) -> None:
    bundle = AvatarBundle.load(AVATARS_DIR / "ada")
    x1, y1, x2, y2 = bundle.info.boxes[0]
    reader = LipReader.for_face(bundle.image(0)[y1:y2, x1:x2])
    with av.open(str(demo.video)) as file:
        pictures = [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in file.decode(video=0)]
    openings = np.array([reader.opening(_face(picture, bundle, index)) for index, picture in enumerate(pictures)])
    with av.open(str(demo.video)) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loud_db = np.array([_level_db(samples, index) for index in range(len(openings))])
    open_in_silence = np.count_nonzero(openings[loud_db < -50] >= SHUT_PIXELS)
    assert open_in_silence <= demo.held, "only a frame that was not rendered may show what was before"
    assert openings[-1] < SHUT_PIXELS
    assert openings.max() > 6
    assert len({round(opening) for opening in openings}) >= 5


def _face(picture: NDArray[np.uint8], bundle: AvatarBundle, index: int) -> NDArray[np.uint8]:
    """The face crop of a frame; the video's first frame shows the loop's first picture."""
    x1, y1, x2, y2 = bundle.info.boxes[bundle.info.frame_at(index)]
    return picture[y1:y2, x1:x2]


def _level_db(samples: NDArray[np.float32], index: int) -> float:
    """Loudness around a frame, from as far before as lips take to close to the frame after."""
    around = samples[max(0, index - HANGOVER_MS * FPS // 1000) * 48_000 // FPS : (index + 2) * 48_000 // FPS]
    return float(20 * np.log10(np.sqrt(np.mean(np.square(around))) + 1e-9))
