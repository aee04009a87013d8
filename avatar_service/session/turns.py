"""The turns of one session, one at a time: how each begins and how it ends, exactly once."""

import asyncio
from collections.abc import Awaitable, Callable

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Engines
from avatar_service.events import Event, Failure, Interrupted, State, StateChanged, TurnCompleted, TurnStarted
from avatar_service.log import bound_contextvars
from avatar_service.session.inputs import Input, TurnEnded
from avatar_service.session.turn_taking import InterruptTurn
from avatar_service.stages.tool_call_ids import ToolCallIds
from avatar_service.turn.account import account
from avatar_service.turn.converse import converse
from avatar_service.turn.degrading import TurnWatcher
from avatar_service.turn.history import History
from avatar_service.turn.traced import traced
from avatar_service.turn.turn import Turn, TurnSettings, UserInput, VideoState
from avatar_service.watching import watched

LAST_REPORT_S = 0.3
"""How long a client that reports may take to tell where it stopped."""


class Turns:
    """Runs turns; whoever starts one ends it, by `interrupt` or when it says so, and tells with `complete`."""

    def __init__(
        self,
        history: History,
        engines: Engines,
        out: Sender[Event],
        inbox: Channel[Input],
        begin_loop: Callable[[], int],
        keep: Callable[[], Awaitable[None]],
        last_id: int = 0,
    ) -> None:
        """`begin_loop` is called just before a turn's first media, `keep` whenever a turn has become more than before;
        `last_id` is that of a session that is resumed."""
        self.last_id = last_id
        self.count = 0
        """Turns that have begun."""
        self._history = history
        self._engines = engines
        self._out = out
        self._inbox = inbox
        self._begin_loop = begin_loop
        self._keep = keep
        self._video = VideoState()
        self._call_ids = ToolCallIds([call.tool_call_id for told in history.messages for call in told.tool_calls])
        self.current: Turn | None = None
        """The turn that is not over yet."""
        self.ended: TurnCompleted | None = None
        """The end of the turn before it, on this stream."""
        self._task: asyncio.Task[None] | None = None

    async def start(self, user_input: UserInput, settings: TurnSettings, tasks: asyncio.TaskGroup) -> None:
        """Begin a turn."""
        self.count += 1
        self.last_id += 1
        turn = self.current = Turn(
            self.last_id,
            user_input,
            settings.media,
            begin_loop=self._begin_loop,
            keep=self._keep,
            video=self._video,
            tool_call_ids=self._call_ids,
        )
        turn.timings.mark("speech_ended", at_s=user_input.ended_at_s)
        turn.timings.mark("turn_started")
        ids = tuple(utterance.utterance_id for utterance in user_input.utterances)
        resumes = user_input.resumes_turn_id
        await self._out.send(TurnStarted(turn.turn_id, user_input.source, ids, user_input.request_id, resumes))
        await self._out.send(StateChanged(State.THINKING, turn.turn_id))
        self._task = tasks.create_task(self._run(turn, settings))

    async def interrupt(self, decision: InterruptTurn) -> Turn:
        """Stop the current turn and wait until nothing of it runs any more; then tell the client, once, and hear from
        it where it stopped."""
        turn, task = self.current, self._task
        assert turn, "only a turn that runs is interrupted"
        assert task
        turn.timings.mark("interrupt_decided")
        task.cancel()
        await asyncio.wait({task})
        turn.timings.mark("interrupted")
        turn.stop_hearing()
        played_s = turn.play_out.position_s
        await self._out.send(Interrupted(turn.turn_id, played_s, decision.cause, decision.utterance_id))
        if turn.play_out.is_reported:
            await turn.play_out.stopped(LAST_REPORT_S)
            turn.stop_hearing()
        return turn

    async def complete(self, *, interrupted: bool = False, failure: Failure | None = None) -> None:
        """Tell how the current turn ended; it is none any more."""
        turn = self.current
        assert turn, "only a turn that runs can end"
        self.current = self._task = None
        completed = self.ended = turn.completed(interrupted=interrupted, failure=failure)
        account(turn, completed)
        await self._out.send(completed)

    async def _run(self, turn: Turn, settings: TurnSettings) -> None:
        """Run a turn to its end; an engine that fails ends the turn alone."""
        with bound_contextvars(turn_id=turn.turn_id), watched(TurnWatcher(turn, self._out)):
            failure = await traced(turn, converse(turn, settings, self._history, self._engines, self._out))
        task = asyncio.current_task()
        if not (task and task.cancelling()):  # an engine that fails while the turn is interrupted hides the cancel
            await self._inbox.send(TurnEnded(turn.turn_id, failure))
