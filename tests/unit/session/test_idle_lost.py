"""The silent avatar while its pictures cannot be had: it goes on with those that are kept, and returns by itself."""

import asyncio
from dataclasses import replace

import pytest
import structlog

from avatar_service import clock
from avatar_service.engines.base import RenderedSpan, RenderRequest
from avatar_service.engines.loop_frames import LoopFrames
from avatar_service.session.idle import RETRY_AFTER_S
from tests.fakes.lip_sync import FakeLipSync
from tests.scenario import MEDIA
from tests.unit.session.test_idle import FRAME_S, phases


async def test_when_the_first_pictures_cannot_be_had_it_pauses_and_tries_again() -> None:
    async with phases(FakeLipSync(render_s=0.0, fails=range(3))) as shown:
        shown.start(0)
        await asyncio.sleep(5.0)
    times_s = [at_s for at_s, _ in shown.frames]
    assert RETRY_AFTER_S <= times_s[0] <= 3 * RETRY_AFTER_S + 0.01
    assert shown.indices == list(range(len(shown.frames)))
    assert times_s[-1] > 4.9


class Dead(FakeLipSync):
    """From `dies_at_s` to `lives_at_s` no pictures can be had, or they hang."""

    def __init__(self, dies_at_s: float, lives_at_s: float, hangs: bool) -> None:
        super().__init__(render_s=0.0)
        self._began_s, self._dies_at_s, self._lives_at_s, self._hanging = clock.now(), dies_at_s, lives_at_s, hangs

    async def render(self, request: RenderRequest) -> RenderedSpan:
        """As far as it lives."""
        if self._dies_at_s <= clock.now() - self._began_s < self._lives_at_s:
            self.requests.append(request)
            if self._hanging:
                await asyncio.sleep(10.0)
            raise self._error
        return await super().render(request)


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_the_loop_goes_on_with_what_is_kept_and_the_rest_returns_by_itself(hangs: bool) -> None:
    """Two of three parts of the loop are kept when the renderer dies; in place of the third the one before is held."""
    kept = LoopFrames(Dead(0.2, 6.0, hangs))
    async with phases(kept, media=replace(MEDIA, loop_length=24)) as shown:  # type: ignore[arg-type]  # any will do
        shown.start(0)
        await asyncio.sleep(20.0)
    began_s = shown.frames[0][0]
    dead = {frame.loop_index for at_s, frame in shown.frames if 1.0 < at_s - began_s < 6.0}
    alive = {frame.loop_index for at_s, frame in shown.frames if at_s - began_s > (16.5 if hangs else 7.0)}
    assert (dead, alive) == (set(range(16)), set(range(24)))
    for at_s, frame in shown.frames:
        assert frame.index * FRAME_S == pytest.approx(at_s - began_s, abs=2 * FRAME_S + 1e-6)
        assert frame.loop_index == frame.index % 24
    assert shown.frames[-1][0] > 19.9


async def test_a_loss_is_logged_once_however_many_pictures_it_takes() -> None:
    with structlog.testing.capture_logs() as logs:
        kept = LoopFrames(Dead(0.2, 6.0, hangs=False))
        async with phases(kept, media=replace(MEDIA, loop_length=24)) as shown:  # type: ignore[arg-type]  # as above
            shown.start(0)
            await asyncio.sleep(10.0)
    assert [entry["event"] for entry in logs] == ["idle_frames_lost"]
