"""The tools of one session: what its client is told of the calls, and what the next turn is given of their results."""

import asyncio

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import Message
from avatar_service.events import Event, Notice, Source, ToolCallsCancelled
from avatar_service.session.inputs import Input, ToolResult, ToolResults, ToolsTimedOut
from avatar_service.session.timer import Timer
from avatar_service.session.tool_calls import PendingTools
from avatar_service.turn.turn import Turn, UserInput


class ToolRounds:
    """One round of calls at a time: those that the current turn, or the one before, asked for."""

    def __init__(self, out: Sender[Event], inbox: Channel[Input], tasks: asyncio.TaskGroup) -> None:
        self._out = out
        self._tasks = tasks
        self._timer = Timer(inbox)
        self._pending = PendingTools()
        self._asked_by = 0
        self._complete: tuple[Message, ...] = ()
        """The round of a turn that is still being played."""
        self._has_given_up = False

    @property
    def turn_id(self) -> int:
        """The turn whose calls wait for results; 0 if none do."""
        return self._pending.turn_id

    def ask(self, turn: Turn) -> None:
        """Take in what a turn asks for, once its client was told."""
        if turn.reply.tool_calls and turn.turn_id != self._asked_by:
            self._asked_by = turn.turn_id
            self._pending.asked(turn.turn_id, turn.reply.tool_calls)

    def wait(self, within_s: float) -> None:
        """The turn that asked is over: await its results no longer than this."""
        self._timer.set(within_s, ToolsTimedOut(self.turn_id), self._tasks)

    async def take(self, item: ToolResults | ToolsTimedOut, turn: Turn | None) -> tuple[Message, ...]:
        """Take in what has become of the calls; returns the round when it is complete and `turn`, which runs, does not
        stand before it."""
        if isinstance(item, ToolsTimedOut):
            return await self._timed_out(item.turn_id)
        if turn:
            self.ask(turn)
        await self._results(item.results)
        return () if turn else self.complete()

    def complete(self) -> tuple[Message, ...]:
        """The messages of the round if all results are there, to be used once."""
        complete, self._complete = self._complete, ()
        if complete:
            self._timer.stop()
        return complete

    async def cancel(self) -> None:
        """Nobody waits for the results any more: tell the client, if some have not come."""
        self._timer.stop()
        if cancelled := self._pending.cancel():
            await self._out.send(ToolCallsCancelled(*cancelled))

    async def give_up(self) -> tuple[Message, ...]:
        """The client will send nothing more: the chat model is told once that no result came, as by the round that is
        returned. If it asks again, that is cancelled and leads to nothing."""
        if self._has_given_up:
            await self.cancel()
            return ()
        self._has_given_up = True
        return await self._timed_out(self.turn_id)

    async def _results(self, results: tuple[ToolResult, ...]) -> None:
        turn_id = self.turn_id
        for tool_call_id in self._pending.unknown(results):
            message = f"tool_results: nobody waits for a result of `{tool_call_id}`."
            await self._out.send(Notice("REQUEST_IGNORED", message, turn_id))
        self._complete = self._pending.answered(results) or self._complete

    async def _timed_out(self, turn_id: int) -> tuple[Message, ...]:
        missed = self._pending.timed_out() if turn_id == self.turn_id else None
        if not missed:
            return ()
        self._timer.stop()
        message = "Results of tools did not come in time: the chat model is told so and goes on."
        await self._out.send(Notice("TOOL_TIMEOUT", message, missed.turn_id))
        await self._out.send(ToolCallsCancelled(missed.turn_id, missed.tool_call_ids))
        return missed.messages


def from_tools(messages: tuple[Message, ...]) -> UserInput:
    """What the turn after a round of tools is given."""
    return UserInput(Source.TOOL_RESULTS, tool_messages=messages)
