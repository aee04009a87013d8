"""Segments of speech through the engine, cut into requests as the service cuts them."""

import numpy as np
from numpy.typing import NDArray

from inference.avatar_bundle import AvatarBundle
from inference.config import FRAME_SAMPLES, SPAN_LEFT_SAMPLES, START_MEL_MAX
from inference.drawing.render import FRAME_SIZE
from inference.engine import Engine
from inference.requests import RenderError, RenderRequest
from inference.training.speech import FIRST_REQUEST_FRAMES, Segment, request_sizes, span_of


class Measured:
    """Held-out segments rendered by the engine."""

    def __init__(self, engine: Engine, bundle: AvatarBundle) -> None:
        self._engine, self._bundle = engine, bundle

    def render(self, segment: Segment, shuffle: np.random.Generator | None = None) -> NDArray[np.uint8]:
        """Face crops [frames, 256, 256, 3] of a turn; with ``shuffle`` each frame gets the audio of another one."""
        crops, mel_max, frame = [], START_MEL_MAX, 0
        order = np.arange(len(segment.truth)) if shuffle is None else shuffle.permutation(len(segment.truth))
        for size in request_sizes(len(segment.truth), FIRST_REQUEST_FRAMES):
            if shuffle is None:
                frames, mel_max = self._request(segment, frame, tuple(range(frame, frame + size)), mel_max)
                crops += self._crops(frames, frame)
            else:
                for shown in range(frame, frame + size):
                    frames, _ = self._request(segment, int(order[shown]), (shown,), mel_max)
                    crops += self._crops(frames, shown)
            frame += size
        return np.stack(crops)

    def still(self, segment: Segment, number: int) -> NDArray[np.uint8]:
        """The whole picture [512, 512, 3] of a turn's frame, on the loop's first frame: eyes open."""
        mel_max, first = START_MEL_MAX, 0
        for size in request_sizes(len(segment.truth), FIRST_REQUEST_FRAMES):
            frames, mel_max = self._request(segment, first, (0,) * size, mel_max)
            if first <= number < first + size:
                return frames[number - first]
            first += size
        raise ValueError(f"frame {number} of a segment of {len(segment.truth)} frames")

    def _request(
        self, segment: Segment, heard: int, shown: tuple[int, ...], mel_max: float
    ) -> tuple[list[NDArray[np.uint8]], float]:
        """Frames from audio frame ``heard`` on, pasted into the loop's frames ``shown``."""
        size = len(shown)
        request = RenderRequest(
            avatar=self._bundle.reference,
            audio=span_of(segment.samples, heard, size),
            audio_start=heard * FRAME_SAMPLES - SPAN_LEFT_SAMPLES,
            frame_index=shown,
            frame_start=tuple(SPAN_LEFT_SAMPLES + FRAME_SAMPLES * i for i in range(size)),
            mouth_weight=(1.0,) * size,
            mel_max=mel_max,
            format="raw",
        )
        (result,) = self._engine.render([request])
        if isinstance(result, RenderError):
            raise RuntimeError(f"the engine refused a request: {result.message}")
        frames = [np.frombuffer(data, np.uint8).reshape(FRAME_SIZE, FRAME_SIZE, 3) for data in result.frames]
        return frames, result.mel_max

    def _crops(self, frames: list[NDArray[np.uint8]], shown: int) -> list[NDArray[np.uint8]]:
        """The face boxes of frames that are shown from position ``shown`` of the loop on."""
        crops = []
        for index, frame in enumerate(frames):
            x1, y1, x2, y2 = self._bundle.info.boxes[self._bundle.info.frame_at(shown + index)]
            crops.append(frame[y1:y2, x1:x2])
        return crops
