"""Lip-sync whose pictures say what they were rendered from."""

import asyncio

from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.errors import EngineError, EngineUnavailable


def image_of(loop_index: int, mouth_weight: float, size: int = 0) -> bytes:
    """The picture that FakeLipSync gives for a frame, filled up to `size` bytes."""
    return f"{loop_index}@{mouth_weight:.2f}".encode().ljust(size, b" ")


class FakeLipSync:
    """Takes `render_s` for each frame. Requests numbered in `fails` raise `error`, those in `hangs` never end."""

    def __init__(
        self,
        *,
        render_s: float = 0.002,
        fails: range = range(0),
        error: EngineError | None = None,
        hangs: range = range(0),
        image_bytes: int = 0,
    ) -> None:
        self._render_s = render_s
        self._fails = fails
        self._error = error or EngineUnavailable("animate", "fake", "told to fail")
        self._hangs = hangs
        self._image_bytes = image_bytes
        self.requests: list[RenderRequest] = []
        self.cancelled = 0

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """Render the frames of one request; `mel_max` rises by 0.25 with each, to show that it is carried on."""
        number = len(self.requests)
        self.requests.append(request)
        try:
            if number in self._hangs:
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(self._render_s * len(request.frame_indices))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if number in self._fails:
            raise self._error
        pictures = zip(request.frame_indices, request.mouth_weights, strict=True)
        images = tuple(image_of(index, weight, self._image_bytes) for index, weight in pictures)
        return RenderedSpan(images, request.mel_max + 0.25)

    async def ready(self) -> bool:
        """Always."""
        return True
