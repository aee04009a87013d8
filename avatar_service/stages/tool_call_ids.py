"""Names of the chat model's tool calls that are unique in a session.

Vendors make up ids of their own, and some repeat them (`call_0` in every reply) or leave them empty; a late result
would then answer the wrong call. What the vendor gave is kept wherever it can be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from avatar_service.media.types import ToolCall

LONGEST_ID = 64
"""Characters that the contract allows."""
OURS = "avatar_call_"
"""How the ids of this service begin; the turn and the call's number follow."""
KEPT = 4_096
"""Ids that are remembered; beyond them every call gets one of ours, which need no memory."""


class ToolCallIds:
    """The ids that a session has used; `used` are those of a session that is resumed."""

    def __init__(self, used: Sequence[str] = ()) -> None:
        self._used = set(used[-KEPT:])

    def unique(self, turn_id: int, calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
        """The calls of one turn's reply, renamed where their ids are used, empty or too long."""
        return tuple(self._renamed(turn_id, calls))

    def _renamed(self, turn_id: int, calls: Sequence[ToolCall]) -> Iterator[ToolCall]:
        for number, call in enumerate(calls, 1):
            given = call.tool_call_id
            usable = 0 < len(given) <= LONGEST_ID and not given.startswith(OURS)
            if usable and len(self._used) < KEPT and given not in self._used:
                self._used.add(given)
                yield call
            else:
                yield replace(call, tool_call_id=f"{OURS}{turn_id}_{number}")
