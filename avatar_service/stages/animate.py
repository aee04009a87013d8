"""Voice to lip-synced frames.

One request of a turn is in flight at a time: each needs the running maximum that the one before returned. Where
rendering falls behind play-out, a request of which more than half would come too late to be shown is left out: so a
renderer that is too slow shows some frames in time, rather than all of them too late.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from avatar_service import clock
from avatar_service.background import running
from avatar_service.channel import Channel
from avatar_service.engines.base import LipSync, RenderedSpan, RenderRequest
from avatar_service.errors import EngineError, EngineTimeout
from avatar_service.media.play_out import PlayOut
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.spans import RATE_HZ, SpanBuilder
from avatar_service.timings import Timings
from avatar_service.tracing import staged

RETRY_AFTER_S = 0.5
"""Pause after a failed request; frames hold meanwhile. With half a second until a connection is found again, a second
for a request that a dead model still holds, and the rendering itself, frames are back within 3 s."""
LATE_S = 2.0
"""How long after a request its frames count as lost, if they should have been seen by then; they are awaited still."""
PATIENCE_S = 6.0
"""Longest that a paced turn waits for one request: its voice is held for 10 s of rendering at most (`SPEECH_MS` in
turn/capacities.py) and must not run dry behind a renderer that hangs."""


TOGETHER_MS = 1_000
"""Most voice that is resampled at once."""


class RenderWatcher(Protocol):
    """Is told of what becomes of a turn's render requests."""

    async def lost(self, error: EngineError) -> None:
        """A request failed, or is late; frames are held."""

    async def rendered(self) -> None:
        """Frames with a moving mouth have come, and are sent after this."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that is rendered: when it was sent, and up to where its frames are of use."""

    at_s: float
    middle_s: float


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
        watcher: RenderWatcher,
    ) -> None:
        self._lip_sync = lip_sync
        self._timeline = timeline
        self._play_out = play_out
        self._frames = frames
        self._timings = timings
        self._watcher = watcher
        self._spans = spans
        self._resampler = Resampler(timeline.rate_hz, RATE_HZ)
        self._next_index = 0
        self._failed_until_s = 0.0
        self._took_s = deque[float](maxlen=2)
        self._asked: _Asked | None = None
        self.rendering = Rendering()

    @staged("animate")
    async def animate(self, chunks: Channel[SpeechChunk]) -> None:
        """Render every frame of the voice; the last chunk's frame is the last."""
        try:
            async with running(self._tell_when_late()):
                await self._animate(chunks)
        finally:
            self._frames.close()

    async def _animate(self, chunks: Channel[SpeechChunk]) -> None:
        total = 0
        async for chunk in chunks:
            voice = self._taken(chunk, chunks)
            total += len(voice)
            self._spans.push(self._resampler.push(b"".join(voice)))
            while request := self._spans.next_request():
                await self._render(request)
        self._spans.push(self._resampler.flush())
        self._spans.pad(total)
        while request := self._spans.next_request(frames_left=total - self._next_index):
            await self._render(request)

    def _taken(self, chunk: SpeechChunk, chunks: Channel[SpeechChunk]) -> list[bytes]:
        """The voice of a chunk, and of what waits behind it up to a second: resampled together, they cost hardly more
        than one."""
        voice, most = [chunk.pcm], self._timeline.chunks_in(TOGETHER_MS)
        while len(voice) < most and (more := chunks.take()):
            voice.append(more.pcm)
        return voice

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
            rendered = await self._answer(request, middle_s)
        except EngineError as error:
            self.rendering.failures += 1
            self.rendering.skipped += count
            self._failed_until_s = clock.now() + RETRY_AFTER_S
            await self._watcher.lost(error)
            return
        self._timings.mark("first_frame_rendered")
        self._took_s.append(clock.now() - began_s)
        self._spans.mel_max = rendered.mel_max
        moving = sum(weight > 0 for weight in request.mouth_weights)
        self.rendering.rendered += moving
        if moving:  # pictures of a silent avatar may be at hand without any renderer
            await self._watcher.rendered()
        for index, (image, loop_index) in enumerate(zip(rendered.images, request.frame_indices, strict=True), first):
            await self._frames.send(Frame(index, image, loop_index))

    async def _answer(self, request: RenderRequest, middle_s: float) -> RenderedSpan:
        """The frames, if they come before nobody waits for them any more. Raises EngineError."""
        patience_s = None if self._play_out.reaches_at(0.0) is None else PATIENCE_S
        self._asked = _Asked(clock.now(), middle_s)
        try:
            async with asyncio.timeout(patience_s):
                return await self._lip_sync.render(request)
        except TimeoutError as error:
            raise _late(PATIENCE_S) from error
        finally:
            self._asked = None

    async def _tell_when_late(self) -> None:
        """Tell, once for each request, that frames are lost while it hangs, long before that is given up."""
        told: _Asked | None = None
        while True:
            asked, pause_s = self._asked, LATE_S
            if asked and asked is not told:
                pause_s = asked.at_s + LATE_S - clock.now()
                if pause_s <= 0 and self._play_out.is_over(asked.middle_s):
                    told = asked
                    await self._watcher.lost(_late(LATE_S))
            await asyncio.sleep(pause_s if pause_s > 0 else LATE_S)

    @property
    def _expected_s(self) -> float:
        """How long a request will take at least: the shorter of the last two, since one alone may have been held up."""
        return min(self._took_s) if len(self._took_s) == 2 else 0.0


def _late(after_s: float) -> EngineTimeout:
    return EngineTimeout("animate", "lip-sync", f"no frames within {after_s:g} s")
