"""Pictures of silent avatars, fetched once a process.

A silent frame is the avatar's own picture, whatever is heard around it, so it need not be asked for again: idle avatars
and pauses in a voice cost no trip to the renderer.
"""

import asyncio
from collections import OrderedDict

from avatar_service.engines.base import LipSync, RenderedSpan, RenderRequest
from avatar_service.errors import EngineError

CACHE_BYTES = 64 << 20
"""Most bytes of pictures that are kept: some ten avatars of 100 pictures of 512 x 512 pixels."""

Key = tuple[str, tuple[int, ...]]
"""An avatar, and pictures of its loop."""


class LoopFrames:
    """Lip-sync that remembers silent pictures, least recently used out first.

    Requests for the same ones share one call, and its failure.
    """

    def __init__(self, lip_sync: LipSync, limit_bytes: int = CACHE_BYTES) -> None:
        self._lip_sync = lip_sync
        self._limit_bytes = limit_bytes
        self._pictures = OrderedDict[tuple[str, int], bytes]()
        self._bytes = 0
        self._fetching: dict[Key, asyncio.Future[RenderedSpan]] = {}

    @property
    def kept_bytes(self) -> int:
        """Bytes of the pictures that are kept."""
        return self._bytes

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """Render the frames of one request. Raises EngineError."""
        if any(request.mouth_weights):
            return await self._lip_sync.render(request)
        images = self._kept(request)
        if len(images) < len(request.frame_indices):
            images = (await self._fetched(request)).images
        return RenderedSpan(images, request.mel_max)  # silence leaves the running maximum as it is

    def _kept(self, request: RenderRequest) -> tuple[bytes, ...]:
        """Those of the pictures that are there."""
        keys = [key for index in request.frame_indices if (key := (request.avatar, index)) in self._pictures]
        for key in keys:
            self._pictures.move_to_end(key)
        return tuple(self._pictures[key] for key in keys)

    async def _fetched(self, request: RenderRequest) -> RenderedSpan:
        """All of the pictures, from a call that is under way or from one of our own."""
        key = (request.avatar, request.frame_indices)
        while going := self._fetching.get(key):
            await asyncio.wait({going})
            if not going.cancelled():  # whose caller was cancelled leaves it to the next
                return going.result()
        call = self._fetching[key] = asyncio.get_running_loop().create_future()
        try:
            rendered = await self._lip_sync.render(request)
            call.set_result(rendered)
        except EngineError as error:
            call.set_exception(error)
            call.exception()  # looked at: where nobody else waits the loop would log it
            raise
        finally:
            del self._fetching[key]
            call.cancel()  # says to those who wait that nothing came of it, unless something did
        self._keep(request, rendered)
        return rendered

    def _keep(self, request: RenderRequest, rendered: RenderedSpan) -> None:
        for index, image in zip(request.frame_indices, rendered.images, strict=True):
            self._bytes += len(image) - len(self._pictures.get((request.avatar, index), b""))
            self._pictures[request.avatar, index] = image
            self._pictures.move_to_end((request.avatar, index))
        while self._bytes > self._limit_bytes:
            _, dropped = self._pictures.popitem(last=False)
            self._bytes -= len(dropped)
