"""One `Animate` stream: the segments of the caller's voice, one after the other.

Only the loop over the segments starts and completes them, so each is completed once.
"""

import asyncio

from avatar_service.channel import Sender
from avatar_service.engines.base import LipSync
from avatar_service.events import Cause, Event, Failure, Interrupted, Notice, Source, TurnStarted
from avatar_service.log import bound_contextvars
from avatar_service.media.timeline import Timeline
from avatar_service.session.idle import IdleFrames
from avatar_service.session.segments import Segments
from avatar_service.settings import LimitSettings
from avatar_service.stages.relay import SegmentBegan
from avatar_service.turn.account import account
from avatar_service.turn.animate import animate_segment
from avatar_service.turn.traced import traced
from avatar_service.turn.turn import MediaSettings, Turn, UserInput, VideoState


class Animation:
    """Push voice into `segments`, say what else the caller wants, await `run`. Closing `segments` ends it."""

    def __init__(
        self,
        media: MediaSettings,
        lip_sync: LipSync,
        limits: LimitSettings,
        out: Sender[Event],
        *,
        idle_frames: bool = False,
    ) -> None:
        self.segments = Segments(Timeline(media.rate_hz, media.fps), limits.buffered_audio_s)
        self._media = media
        self._lip_sync = lip_sync
        self._out = out
        self._idle = IdleFrames(media, lip_sync, out) if idle_frames else None
        self._stopped: set[int] = set()
        """Segments that were stopped and are not completed yet."""
        self._completed_id = 0
        self._turn: Turn | None = None
        self._task: asyncio.Task[Failure | None] | None = None
        self._loop_index = 0
        self._video = VideoState()

    async def run(self) -> None:
        """Play every segment to its end, until the input has ended."""
        async with asyncio.TaskGroup() as tasks:
            self._be_idle(tasks)
            async for item in self.segments.waiting:
                if isinstance(item, SegmentBegan):  # what else waits here was left by a segment that was stopped
                    await self._segment(item, tasks)
                    self._be_idle(tasks)
            if self._idle:
                self._idle.stop()

    async def interrupt(self, segment_id: int = 0) -> None:
        """Stop one segment, or with 0 all whose voice has come. Voice that follows begins a new one."""
        going_on = range(self._completed_id + 1, self.segments.last_id + 1)
        stopped = {going for going in going_on if segment_id in (0, going)} - self._stopped
        if not stopped:
            await self._out.send(Notice("REQUEST_IGNORED", "interrupt: no such segment is played.", segment_id))
            return
        self._stopped |= stopped
        if self._turn and self._turn.turn_id in stopped:
            self._turn.timings.mark("interrupt_decided")
            if self._task:
                self._task.cancel()
        # Last: it may wait for room, which comes when what was stopped is gone.
        if self.segments.open_id in stopped:
            await self.segments.end()

    def report(self, segment_id: int, position_s: float, *, stopped: bool = False) -> None:
        """The caller has played a segment up to `position_s`; one that is not played at the moment is left alone."""
        if self._turn and self._turn.turn_id == segment_id:
            self._turn.play_out.reported(position_s, stopped)

    def _be_idle(self, tasks: asyncio.TaskGroup) -> None:
        if self._idle:
            self._idle.start(tasks, self._loop_index)

    async def _segment(self, began: SegmentBegan, tasks: asyncio.TaskGroup) -> None:
        turn = Turn(began.segment_id, UserInput(Source.SEGMENT), self._media, self._loop_index, video=self._video)
        turn.begin_loop = self._idle.stop if self._idle else None
        turn.timings.mark("speech_ended", at_s=began.at_s)
        turn.timings.mark("turn_started")
        if turn.turn_id in self._stopped:
            await self._complete(turn, interrupted=True)
            return
        self._turn = turn
        await self._out.send(TurnStarted(turn.turn_id, Source.SEGMENT, (), ""))
        self._task = task = tasks.create_task(self._play(turn))
        if turn.turn_id in self._stopped:  # while its start was being told
            task.cancel()
        await asyncio.wait({task})
        self._turn, self._task = None, None
        if turn.turn_id not in self._stopped:
            await self._complete(turn, failure=task.result())
            return
        turn.timings.mark("interrupted")
        await self._out.send(Interrupted(turn.turn_id, turn.play_out.position_s, Cause.REQUESTED))
        await self._complete(turn, interrupted=True)

    async def _play(self, turn: Turn) -> Failure | None:
        with bound_contextvars(turn_id=turn.turn_id):
            return await traced(turn, animate_segment(turn, self.segments.waiting, self._lip_sync, self._out))

    async def _complete(self, turn: Turn, *, interrupted: bool = False, failure: Failure | None = None) -> None:
        self._completed_id = turn.turn_id
        self._stopped.discard(turn.turn_id)
        self._loop_index = turn.next_loop_index
        completed = turn.completed(interrupted=interrupted, failure=failure)
        account(turn, completed)
        await self._out.send(completed)
