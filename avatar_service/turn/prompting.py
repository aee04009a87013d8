"""What the chat model is asked in one turn."""

from avatar_service.engines.base import Message
from avatar_service.turn.history import History
from avatar_service.turn.turn import Turn, TurnSettings

GO_ON = "Your last message was cut off. Go on exactly where it stops, and repeat nothing of it."
"""Said to the model, as the system, behind its own unfinished words."""


def prompt(turn: Turn, settings: TurnSettings, history: History) -> list[Message]:
    """The conversation so far with what this turn brings: words of the user, results of tools, or the avatar's own
    words that the model is to go on from."""
    given = turn.user_input
    if not given.recited:
        return history.prompt(settings.system_prompt, turn.said, given.tool_messages)
    messages = history.prompt(settings.system_prompt, "", [Message("assistant", given.text)] if given.text else [])
    goes_on = messages[-1].role == "assistant"
    return [*messages, Message("system", GO_ON)] if goes_on else messages
