"""The chat model's calls of tools that the client has not answered yet: a record without a clock.

The session asks one turn's tools at a time. Its timer calls `timed_out`; a barge-in or another turn calls `cancel`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from avatar_service.engines.base import Message
from avatar_service.media.types import ToolCall
from avatar_service.session.inputs import ToolResult

NO_RESULT = "no result came in time"
"""What the chat model is told of a call whose result did not come."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Calls whose results did not come in time, and all messages of the round: those calls are told as failed."""

    turn_id: int
    tool_call_ids: tuple[str, ...]
    messages: tuple[Message, ...]


class PendingTools:
    """The calls of one turn, and the results so far.

    A complete round is told as messages in the vendors' order: the assistant's message with the calls and no text,
    then one message of the role `tool` for each call.
    """

    def __init__(self) -> None:
        self._turn_id = 0
        self._calls: tuple[ToolCall, ...] = ()
        self._results: dict[str, str] = {}

    @property
    def turn_id(self) -> int:
        """The turn whose calls wait; 0 if none do."""
        return self._turn_id

    def asked(self, turn_id: int, calls: Sequence[ToolCall]) -> None:
        """A turn asks for tools; what another turn asked for is forgotten, so cancel that first. Twice is as once."""
        if turn_id == self._turn_id or not calls:
            return
        self._turn_id, self._calls, self._results = turn_id, tuple(calls), {}

    def unknown(self, results: Sequence[ToolResult]) -> tuple[str, ...]:
        """Those of the results' ids that no call waits for, because they are wrong, answered, cancelled or late."""
        return tuple(result.tool_call_id for result in results if result.tool_call_id not in self._missing)

    def answered(self, results: Sequence[ToolResult]) -> tuple[Message, ...] | None:
        """Take results in; the round's messages once the last has come. Unknown ids, and second answers, are left."""
        for result in results:
            if result.tool_call_id in self._missing:
                self._results[result.tool_call_id] = _failed(result.output) if result.failed else result.output
        return self._messages() if self._calls and not self._missing else None

    def cancel(self) -> tuple[int, tuple[str, ...]] | None:
        """Forget the calls; the turn that asked and the ids that still wait, None if there are none."""
        if not self._calls:
            return None
        cancelled = self._turn_id, self._missing
        self._forget()
        return cancelled

    def timed_out(self) -> TimedOut | None:
        """End the wait: what is missing has failed. None if nothing waits."""
        if not self._calls:
            return None
        turn_id, missing = self._turn_id, self._missing
        self._results.update((tool_call_id, _failed(NO_RESULT)) for tool_call_id in missing)
        return TimedOut(turn_id, missing, self._messages())

    @property
    def _missing(self) -> tuple[str, ...]:
        return tuple(call.tool_call_id for call in self._calls if call.tool_call_id not in self._results)

    def _messages(self) -> tuple[Message, ...]:
        results = (Message("tool", self._results[call.tool_call_id], (), call.tool_call_id) for call in self._calls)
        messages = (Message("assistant", "", self._calls), *results)
        self._forget()
        return messages

    def _forget(self) -> None:
        self._turn_id, self._calls, self._results = 0, (), {}


def _failed(why: str) -> str:
    """How the chat model is told of a failure, in words that it cannot take for a result."""
    return json.dumps({"error": why or "the tool failed"}, ensure_ascii=False)
