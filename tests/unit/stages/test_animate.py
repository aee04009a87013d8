"""Voice to lip-synced frames."""

import asyncio
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.errors import EngineError, Fault
from avatar_service.media.play_out import PlayOut
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.animate import LATE_S, PATIENCE_S, RETRY_AFTER_S, Animator
from avatar_service.stages.spans import AvatarLoop, SpanBuilder, SpanPolicy
from avatar_service.timings import Timings
from tests.fakes.lip_sync import FakeLipSync
from tests.unit.stages.collecting import closed_channel

LOOP = AvatarLoop("ada@00", length=10, first_index=4)
POLICY = SpanPolicy()
LEFT_CONTEXT, FIRST_FRAMES, FRAMES = POLICY.left_context, POLICY.first_frames, POLICY.frames


def voice(chunks: int, timeline: Timeline) -> list[SpeechChunk]:
    return [
        SpeechChunk(index, np.full(timeline.chunk_samples(index), 3_000, np.int16).tobytes()) for index in range(chunks)
    ]


class Animation:
    """One animator over a whole voice."""

    def __init__(
        self, lip_sync: FakeLipSync, rate_hz: int = 24_000, fps: Fraction = Fraction(25), *, unpaced: bool = False
    ) -> None:
        self.lip_sync = lip_sync
        self.timeline = Timeline(rate_hz, fps)
        self.play_out = PlayOut(unpaced=unpaced)
        self.frames = Channel[Frame]("frames", 10_000)
        self.failures: list[EngineError] = []
        self.answers = 0
        self.asked_at_s: list[float] = []
        self.timings = Timings()
        spans = SpanBuilder(fps, lambda: LOOP)
        self.animator = Animator(self, self.timeline, spans, self.play_out, self.frames, self.timings, self)

    async def render(self, request: RenderRequest) -> RenderedSpan:
        self.asked_at_s.append(clock.now())
        return await self.lip_sync.render(request)

    async def lost(self, error: EngineError) -> None:
        self.failures.append(error)

    async def rendered(self) -> None:
        self.answers += 1

    async def animate(self, chunks: int) -> list[Frame]:
        """The frames of so many chunks of voice."""
        await self.animator.animate(await closed_channel(voice(chunks, self.timeline)))
        return [frame async for frame in self.frames]


@pytest.mark.parametrize("chunks", [1, 3, 4, 5, 11, 12, 13, 50])
@pytest.mark.parametrize(
    ("rate_hz", "fps"), [(24_000, Fraction(25)), (16_000, Fraction(25)), (44_100, Fraction(30_000, 1_001))]
)
async def test_there_is_one_frame_for_each_chunk_and_the_loop_goes_on(rate_hz: int, fps: Fraction, chunks: int) -> None:
    animation = Animation(FakeLipSync(), rate_hz, fps)
    frames = await animation.animate(chunks)
    assert [frame.index for frame in frames] == list(range(chunks))
    assert [frame.loop_index for frame in frames] == [(4 + index) % 10 for index in range(chunks)]
    assert animation.animator.rendering.rendered == chunks


async def test_the_model_hears_the_voice_at_16_khz() -> None:
    animation = Animation(FakeLipSync(), rate_hz=48_000)
    await animation.animate(50)
    span = animation.lip_sync.requests[3].span
    middle = span[LEFT_CONTEXT : LEFT_CONTEXT + FRAMES * 640]
    assert np.abs(middle.astype(int) - 3_000).max() <= 5


async def test_the_model_hears_the_voice_to_its_last_sample() -> None:
    animation = Animation(FakeLipSync(), rate_hz=48_000)
    await animation.animate(4)
    span = animation.lip_sync.requests[0].span.astype(int)
    assert span[LEFT_CONTEXT + 4 * 640 - 5 :].max() > 2_000
    assert np.abs(span[LEFT_CONTEXT + 4 * 640 + 50 :]).max() < 100


async def test_requests_go_one_after_the_other_and_carry_the_running_maximum() -> None:
    animation = Animation(FakeLipSync(render_s=0.01))
    await animation.animate(50)
    requests = animation.lip_sync.requests
    assert [len(request.frame_indices) for request in requests] == [FIRST_FRAMES] + [FRAMES] * 5 + [6]
    assert [request.mel_max for request in requests] == [0.5 + 0.25 * number for number in range(7)]
    assert animation.timings.between_s("render_started", "first_frame_rendered") == pytest.approx(0.04)


async def test_after_a_failure_it_pauses_then_goes_on_with_what_can_still_be_shown() -> None:
    animation = Animation(FakeLipSync(fails=range(1, 2)))
    animation.play_out.sent(100.0)
    frames = await animation.animate(100)
    assert len(animation.failures) == 1
    missing = set(range(100)) - {frame.index for frame in frames}
    assert set(range(4, 12)) <= missing
    assert max(missing) < 4 + 8 + 1.0 * 25 + 8
    assert animation.animator.rendering.failures == 1
    assert animation.animator.rendering.skipped == len(missing)


async def test_frames_whose_time_is_over_are_not_rendered() -> None:
    animation = Animation(FakeLipSync(render_s=0.0))
    animation.play_out.sent(100.0)
    await asyncio.sleep(2.0)
    frames = await animation.animate(100)
    assert frames[0].index == pytest.approx(50, abs=FRAMES)
    assert animation.animator.rendering.skipped == frames[0].index


async def test_cancelling_leaves_no_request_awaited_and_closes_the_frames() -> None:
    animation = Animation(FakeLipSync(hangs=range(1)))
    animating = asyncio.create_task(animation.animate(50))
    await asyncio.sleep(1.0)
    animating.cancel()
    await asyncio.wait({animating})
    assert animation.lip_sync.cancelled == 1
    assert [frame async for frame in animation.frames] == []


async def test_no_voice_asks_for_nothing() -> None:
    animation = Animation(FakeLipSync())
    assert await animation.animate(0) == []
    assert animation.lip_sync.requests == []


async def test_a_renderer_that_fails_is_asked_again_after_half_a_second() -> None:
    animation = Animation(FakeLipSync(fails=range(1, 100)))
    animation.play_out.sent(4.0)
    began_s = clock.now()
    await animation.animate(100)
    asked_s = [at_s - began_s for at_s in animation.asked_at_s]
    assert len(animation.failures) == len(asked_s) - 1
    assert {round(after - before, 1) for before, after in pairwise(asked_s[1:])} == {RETRY_AFTER_S}


async def test_frames_that_hang_are_told_of_long_before_their_request_is_given_up() -> None:
    animation = Animation(FakeLipSync(hangs=range(1)))
    animation.play_out.sent(10.0)
    animating = asyncio.ensure_future(animation.animate(500))
    for after_s, failures in ((LATE_S - 0.1, 0), (0.2, 1), (PATIENCE_S - LATE_S - 0.2, 1), (0.2, 2)):
        await asyncio.sleep(after_s)
        assert len(animation.failures) == failures
    frames = await animating
    assert {(error.stage, error.fault) for error in animation.failures} == {("animate", Fault.TIMEOUT)}
    assert animation.asked_at_s[1] - animation.asked_at_s[0] == pytest.approx(PATIENCE_S + RETRY_AFTER_S)
    assert frames[0].index * 0.04 == pytest.approx(PATIENCE_S + RETRY_AFTER_S, abs=0.32)


async def test_frames_of_a_turn_that_is_not_paced_are_never_late() -> None:
    animation = Animation(FakeLipSync(render_s=10.0), unpaced=True)
    assert len(await animation.animate(20)) == 20
    assert animation.failures == []


async def test_only_frames_in_which_the_mouth_moves_show_that_a_renderer_answers() -> None:
    """Pictures of the silent avatar are at hand without one."""
    animation = Animation(FakeLipSync())
    silence = [SpeechChunk(index, bytes(2 * animation.timeline.chunk_samples(index))) for index in range(40)]
    await animation.animator.animate(await closed_channel(silence))
    assert animation.lip_sync.requests
    assert animation.answers == 0
    speaking = Animation(FakeLipSync())
    await speaking.animate(20)
    assert speaking.answers == len(speaking.lip_sync.requests)
