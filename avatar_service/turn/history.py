"""The conversation as the chat model is told it: what the user said and what the user heard."""

from collections.abc import Sequence

from avatar_service.engines.base import Message

LONGEST = 40
"""Messages kept; the oldest fall out first."""


class History:
    """Messages of one session, oldest first, without the system prompt."""

    def __init__(self, before: Sequence[Message] = ()) -> None:
        """`before` is what was said in earlier sessions, as the client tells it."""
        self._messages = list(before)

    def add_user(self, text: str) -> None:
        """The user said `text`; after an unanswered message it is joined to that."""
        if self._messages and self._messages[-1].role == "user":
            text = f"{self._messages.pop().text} {text}"
        self._messages.append(Message("user", text))

    def add_heard(self, text: str) -> None:
        """The user heard the avatar say `text`; nothing heard leaves nothing."""
        if text:
            self._messages.append(Message("assistant", text))
        del self._messages[:-LONGEST]

    def prompt(self, system_prompt: str) -> list[Message]:
        """Everything the model is to answer from."""
        return [Message("system", system_prompt), *self._messages] if system_prompt else list(self._messages)
