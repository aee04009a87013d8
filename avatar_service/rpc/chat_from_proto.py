"""What the chat model of a conversation is told, and how it answers."""

from collections.abc import Iterator

from avatar.v1 import ConverseConfig, HistoryMessage, Role
from avatar_service.engines.base import ChatOptions, Message
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.checks import at_most, given, in_range
from avatar_service.rpc.tools_from_proto import tools_from
from avatar_service.settings import OpenAISettings

DEFAULT_SYSTEM_PROMPT = (
    "You are a friendly assistant who is heard, not read. "
    "Answer in one or two short sentences, without lists or markup."
)
MODEL_CHARACTERS = 128
PROMPT_CHARACTERS = 16_000
HISTORY_MESSAGES = 200
HISTORY_CHARACTERS = 32_000


def system_prompt_from(config: ConverseConfig, root: str) -> str:
    """What the chat model is told about itself. Raises InvalidArgument."""
    at_most(f"{root}.system_prompt", config.system_prompt, PROMPT_CHARACTERS)
    return config.system_prompt or DEFAULT_SYSTEM_PROMPT


def chat_from(config: ConverseConfig, root: str, defaults: OpenAISettings) -> ChatOptions:
    """The chat model, its settings and its tools, completed with the server's. Raises InvalidArgument."""
    chat, path = config.chat, f"{root}.chat"
    at_most(f"{path}.model", chat.model, MODEL_CHARACTERS)
    in_range(f"{path}.max_output_tokens", chat.max_output_tokens, 0, 4_096)
    return ChatOptions(
        model=chat.model or defaults.chat_model,
        max_tokens=chat.max_output_tokens or defaults.max_tokens,
        temperature=given(chat, "temperature", path, defaults.temperature, 0.0, 2.0),
        tools=tools_from(config.tools, f"{root}.tools"),
        end_user_id=config.end_user_id,
    )


def history_from(config: ConverseConfig, root: str, text_characters: int) -> Iterator[Message]:
    """What was said before, each message of at most so many characters. Raises InvalidArgument."""
    path = f"{root}.history"
    if len(config.history) > HISTORY_MESSAGES:
        raise InvalidArgument(path, f"has {len(config.history)} messages; give the last {HISTORY_MESSAGES} at most")
    if sum(len(message.text) for message in config.history) > HISTORY_CHARACTERS:
        raise InvalidArgument(path, f"is longer than {HISTORY_CHARACTERS:,} characters; give less of it")
    for index, message in enumerate(config.history):
        yield _said_before(message, f"{path}[{index}]", text_characters)


def _said_before(message: HistoryMessage, path: str, text_characters: int) -> Message:
    at_most(f"{path}.text", message.text, text_characters)
    if not message.text.strip():
        raise InvalidArgument(f"{path}.text", "is empty; leave the message out")
    match message.role:
        case Role.ROLE_USER:
            return Message("user", message.text)
        case Role.ROLE_ASSISTANT:
            return Message("assistant", message.text)
        case _:
            raise InvalidArgument(f"{path}.role", "is not set; give ROLE_USER or ROLE_ASSISTANT")
