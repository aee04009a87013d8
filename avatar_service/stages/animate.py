"""Voice to lip-synced frames.

One request of a turn is in flight at a time: each needs the running maximum that the one before returned. Where
rendering falls behind play-out, a request of which more than half would come too late to be shown is left out: so a
renderer that is too slow shows some frames in time, rather than all of them too late.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import LipSync, RenderRequest
from avatar_service.errors import EngineError
from avatar_service.media.play_out import PlayOut
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.spans import RATE_HZ, SpanBuilder
from avatar_service.timings import Timings

RETRY_AFTER_S = 1.0
"""Pause after a failed request; frames hold meanwhile."""


@dataclass(slots=True)
class Rendering:
    """What became of a turn's frames; `rendered` leaves out those that show the avatar's own picture."""

    rendered: int = 0
    skipped: int = 0
    failures: int = 0


class Animator:
    """Renders one turn's voice."""

    def __init__(
        self,
        lip_sync: LipSync,
        timeline: Timeline,
        spans: SpanBuilder,
        play_out: PlayOut,
        frames: Channel[Frame],
        timings: Timings,
        on_failure: Callable[[EngineError], Awaitable[None]],
    ) -> None:
        self._lip_sync = lip_sync
        self._timeline = timeline
        self._play_out = play_out
        self._frames = frames
        self._timings = timings
        self._on_failure = on_failure
        self._spans = spans
        self._resampler = Resampler(timeline.rate_hz, RATE_HZ)
        self._next_index = 0
        self._failed_until_s = 0.0
        self._took_s = deque[float](maxlen=2)
        self.rendering = Rendering()

    async def animate(self, chunks: Channel[SpeechChunk]) -> None:
        """Render every frame of the voice; the last chunk's frame is the last."""
        total = 0
        try:
            async for chunk in chunks:
                total = chunk.index + 1
                self._spans.push(self._resampler.push(chunk.pcm))
                while request := self._spans.next_request():
                    await self._render(request)
            self._spans.push(self._resampler.flush())
            self._spans.pad(total)
            while request := self._spans.next_request(frames_left=total - self._next_index):
                await self._render(request)
        finally:
            self._frames.close()

    async def _render(self, request: RenderRequest) -> None:
        first, count = self._next_index, len(request.frame_indices)
        self._next_index += count
        pause_s = max(0.0, self._failed_until_s - clock.now())
        middle_s = self._timeline.offset_s(first + (count + 1) // 2)
        if self._play_out.is_over(middle_s, in_s=pause_s + self._expected_s):
            self.rendering.skipped += count
            return
        await asyncio.sleep(pause_s)
        self._timings.mark("render_started")
        began_s = clock.now()
        try:
            rendered = await self._lip_sync.render(request)
        except EngineError as error:
            self.rendering.failures += 1
            self.rendering.skipped += count
            self._failed_until_s = clock.now() + RETRY_AFTER_S
            await self._on_failure(error)
            return
        self._timings.mark("first_frame_rendered")
        self._took_s.append(clock.now() - began_s)
        self._spans.mel_max = rendered.mel_max
        self.rendering.rendered += sum(weight > 0 for weight in request.mouth_weights)
        for index, (image, loop_index) in enumerate(zip(rendered.images, request.frame_indices, strict=True), first):
            await self._frames.send(Frame(index, image, loop_index))

    @property
    def _expected_s(self) -> float:
        """How long a request will take at least: the shorter of the last two, since one alone may have been held up."""
        return min(self._took_s) if len(self._took_s) == 2 else 0.0
