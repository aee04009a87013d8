"""Lip-sync whose pictures say what they were rendered from."""

import asyncio
import hashlib
from collections.abc import Callable

from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.errors import EngineError, EngineUnavailable


def image_of(loop_index: int, mouth_weight: float, size: int = 0) -> bytes:
    """The picture that FakeLipSync gives for a frame, filled up to `size` bytes."""
    return f"{loop_index}@{mouth_weight:.2f}".encode().ljust(size, b" ")


def image_of_sound(request: RenderRequest, frame: int) -> bytes:
    """The picture that FakeLipSync gives for a frame of a request where it `hashes`: another one for any other sound,
    place in it, running maximum or avatar."""
    sound = hashlib.sha256(request.span.tobytes()).hexdigest()
    start, loop_index = request.frame_starts[frame], request.frame_indices[frame]
    about = (request.avatar, request.span_start, start, loop_index, request.mouth_weights[frame], request.mel_max)
    return f"{sound} {about}".encode()


class FakeLipSync:
    """Takes `render_s` for each frame. Requests numbered in `fails` raise `error`, those in `hangs` never end.

    With `hashes` pictures tell of the whole request, see `image_of_sound`; `picture` gives that of a loop index.
    """

    def __init__(
        self,
        *,
        render_s: float = 0.002,
        fails: range = range(0),
        error: EngineError | None = None,
        hangs: range = range(0),
        image_bytes: int = 0,
        hashes: bool = False,
        picture: Callable[[int], bytes] | None = None,
    ) -> None:
        self._render_s = render_s
        self._fails = fails
        self._error = error or EngineUnavailable("animate", "fake", "told to fail")
        self._hangs = hangs
        self._image_bytes = image_bytes
        self._hashes = hashes
        self._picture = picture
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
        if self._hashes:
            images = tuple(image_of_sound(request, frame) for frame in range(len(request.frame_indices)))
            return RenderedSpan(images, request.mel_max + 0.25)
        if self._picture:
            return RenderedSpan(tuple(map(self._picture, request.frame_indices)), request.mel_max + 0.25)
        pictures = zip(request.frame_indices, request.mouth_weights, strict=True)
        images = tuple(image_of(index, weight, self._image_bytes) for index, weight in pictures)
        return RenderedSpan(images, request.mel_max + 0.25)

    async def ready(self) -> bool:
        """Always."""
        return True
