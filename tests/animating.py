"""An `Animate` stream as a script with times, run through one Animation in virtual time with the fake lip-sync.

    recording = await Animating().voice(0.0, own_voice(2.0)).run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED

Times are seconds since the stream began, on the loop's clock.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from avatar_service import clock
from avatar_service.session.animation import Animation
from avatar_service.turn.turn import MediaSettings
from tests.fakes.lip_sync import FakeLipSync
from tests.scenario import LIMITS, LONGEST_S, MEDIA, Recording

Action = Callable[[Animation], Awaitable[None]]


def own_voice(duration_s: float, seed: int = 1, rate_hz: int = 24_000) -> bytes:
    """A loud voice of which no two parts are alike: mono 16-bit PCM."""
    noise = np.random.default_rng(seed).normal(0.0, 4_000.0, round(duration_s * rate_hz))
    return noise.astype("<i2").tobytes()


@dataclass
class Animating:
    """What the caller sends; each method returns the script."""

    lip_sync: FakeLipSync = field(default_factory=FakeLipSync)
    media: MediaSettings = MEDIA
    buffered_s: float = 30.0
    idle_frames: bool = False
    _actions: list[tuple[float, Action]] = field(default_factory=list)
    _open_until_s: float = 0.0

    def voice(self, at_s: float, pcm: bytes, *, message_s: float | None = None, rate: float | None = None) -> Self:
        """Voice in one message, or in messages of `message_s`; with `rate` they come at so many times real time."""
        size = 2 * round((message_s or 1e6) * self.media.rate_hz)
        for begin in range(0, len(pcm), size):
            piece = pcm[begin : begin + size]
            sent_at_s = at_s + ((begin + len(piece)) / (2 * self.media.rate_hz) / rate if rate else 0.0)
            self.do(sent_at_s, lambda animation, piece=piece: animation.segments.push(piece))  # type: ignore[misc]  # a default binds it
        return self

    def end(self, at_s: float) -> Self:
        """The segment is complete."""
        return self.do(at_s, lambda animation: animation.segments.end())

    def interrupt(self, at_s: float, segment_id: int = 0) -> Self:
        """Stop what is played."""
        return self.do(at_s, lambda animation: animation.interrupt(segment_id))

    def report(self, at_s: float, segment_id: int, position_s: float) -> Self:
        """The caller tells its play-out position."""

        async def report(animation: Animation) -> None:
            animation.report(segment_id, position_s)

        return self.do(at_s, report)

    def do(self, at_s: float, action: Action) -> Self:
        """Anything, at a time."""
        self._actions.append((at_s, action))
        return self

    def open_until(self, at_s: float) -> Self:
        """Half-close then; without this it is done after the last action."""
        self._open_until_s = at_s
        return self

    def configured(self, **media: Any) -> Self:
        """Other media settings."""
        self.media = replace(self.media, **media)
        return self

    async def run(self) -> Recording:
        """Hold the stream to its end."""
        recording = Recording()
        limits = LIMITS.model_copy(update={"buffered_audio_s": self.buffered_s})
        animation = Animation(self.media, self.lip_sync, limits, recording, idle_frames=self.idle_frames)
        async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._caller(animation))
            await animation.run()
        return recording

    async def _caller(self, animation: Animation) -> None:
        began_s = clock.now()
        for at_s, action in sorted(self._actions, key=lambda timed: timed[0]):
            await _sleep_until(began_s + at_s)
            await action(animation)
        await _sleep_until(began_s + self._open_until_s)
        await animation.segments.close()


async def _sleep_until(time_s: float) -> None:
    if (wait_s := time_s - clock.now()) > 0:
        await asyncio.sleep(wait_s)
