"""The conversation as the chat model is told it: what the user said and what the user heard."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from avatar_service.engines.base import Message

LONGEST = 40
"""Messages kept; the oldest fall out first."""


class History:
    """Messages of one session, oldest first, without the system prompt. Written when a turn is over, not before."""

    def __init__(self, before: Sequence[Message] = ()) -> None:
        """`before` is what was said in earlier sessions, as the client tells it, or earlier in this one."""
        self._messages = list(before)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What a session that goes on elsewhere begins with."""
        return tuple(self._messages)

    def prompt(self, system_prompt: str, said: str = "", tool_messages: Sequence[Message] = ()) -> list[Message]:
        """Everything the model is to answer from: what was, and what a turn brings. Changes nothing."""
        system = [Message("system", system_prompt)] if system_prompt else []
        return system + _joined(self._messages, _turn(said, tool_messages))

    def answered(self, said: str = "", heard: str = "", tool_messages: Sequence[Message] = ()) -> None:
        """A turn is over: the user said `said`, tools returned, the user heard `heard`; any of them may be nothing.

        What is said after an unanswered message is joined to that, and what is heard after a reply to that.
        """
        messages = _joined(self._messages, _turn(said, tool_messages, heard))[-LONGEST:]
        while messages and messages[0].role == "tool":  # vendors refuse a result without its call
            del messages[0]
        self._messages = messages


def _turn(said: str, tool_messages: Sequence[Message], heard: str = "") -> list[Message]:
    user = [Message("user", said)] if said else []
    assistant = [Message("assistant", heard)] if heard else []
    return [*user, *tool_messages, *assistant]


def _joined(messages: Sequence[Message], more: Iterable[Message]) -> list[Message]:
    """Both in order, where two messages of the user or of the assistant meet as one."""
    joined = list(messages)
    for message in more:
        before = joined[-1] if joined else None
        if before and before.role == message.role and message.role in ("user", "assistant") and not before.tool_calls:
            joined[-1] = replace(message, text=f"{before.text} {message.text}".strip())
        else:
            joined.append(message)
    return joined
