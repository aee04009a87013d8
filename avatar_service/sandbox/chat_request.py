"""What a request for a chat completion may say, checked as OpenAI checks it.

Parameters without an effect on this model (penalties, ``logit_bias``, ``reasoning_effort`` and the like) are let pass;
what would change the shape of the answer and cannot be served is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from avatar_service.sandbox.brevity import ReplyLimit, reply_limit
from avatar_service.sandbox.catalogue import CHAT_MODELS
from avatar_service.sandbox.chat_tools import Tool, ToolChoice, check_schema, parse_choice, parse_tools
from avatar_service.sandbox.errors import VendorError, openai_error
from avatar_service.sandbox.smollm import Message, Sampling

_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_MAX_STOPS: Final = 4
_UNSERVED: Final = ("logprobs", "functions", "function_call", "audio", "web_search_options")
_NO_JSON_WORD: Final = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
)
_ANY_JSON: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string", "maxLength": 80}, {"type": "number"}, {"type": "boolean"}]},
}
"""What ``json_object`` allows here: an object without others in it, as the small model would nest them for ever."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What of the body matters here.

    ``question`` is the last user message, ``results`` are the tools' results after it. ``schema`` is what the reply's
    JSON must be valid against, if it must be JSON.
    """

    model: str
    messages: list[Message]
    question: str
    results: tuple[str, ...]
    limit: ReplyLimit
    max_tokens: int | None
    stop: tuple[str, ...]
    sampling: Sampling | None
    schema: Mapping[str, Any] | None
    tools: tuple[Tool, ...]
    choice: ToolChoice
    parallel_calls: bool
    stream: bool
    include_usage: bool

    @property
    def said(self) -> str:
        """What the assistant has said since the last user message."""
        since = [index for index, message in enumerate(self.messages) if message["role"] == "user"]
        behind = self.messages[since[-1] :] if since else self.messages
        return " ".join(message["content"] for message in behind if message["role"] == "assistant")


def parse_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Check the body; raises the vendor's error naming the parameter."""
    model = _model(body.get("model"))
    _check_served(body)
    messages = _messages(body.get("messages"))
    questions = [message["content"] for message in messages if message["role"] == "user"]
    question = questions[-1] if questions else ""
    tools = parse_tools(body.get("tools"))
    max_tokens = _max_tokens(body)
    return ChatRequest(
        model=model,
        messages=messages,
        question=question,
        results=_results(messages),
        limit=reply_limit(question, max_tokens),
        max_tokens=max_tokens,
        stop=_stop(body.get("stop")),
        sampling=_sampling(body),
        schema=_schema(body.get("response_format"), messages),
        tools=tools,
        choice=parse_choice(body.get("tool_choice"), tools),
        parallel_calls=body.get("parallel_tool_calls") is not False,
        stream=body.get("stream") is True,
        include_usage=_include_usage(body),
    )


def invalid(param: str, what: str) -> VendorError:
    """OpenAI's answer to a value that is wrong."""
    return openai_error(400, "invalid_value", f"Invalid value for '{param}': {what}.", param)


def _model(model: Any) -> str:
    if not isinstance(model, str) or not model:
        raise openai_error(400, "missing_required_parameter", "you must provide a model parameter", "model")
    if model not in CHAT_MODELS:
        message = f"The model `{model[:80]}` does not exist or you do not have access to it."
        raise openai_error(404, "model_not_found", message, "model")
    return model


def _check_served(body: Mapping[str, Any]) -> None:
    """Refuse what would need another shape of answer."""
    if body.get("n") not in (None, 1):
        raise openai_error(400, "unsupported_value", "This sandbox serves one choice: 'n' must be 1.", "n")
    for name in _UNSERVED:
        if body.get(name):
            raise openai_error(400, "unsupported_parameter", f"This sandbox does not serve '{name}'.", name)
    if body.get("modalities") not in (None, ["text"]):
        raise openai_error(400, "unsupported_value", "This sandbox serves the modality 'text'.", "modalities")


def _messages(given: Any) -> list[Message]:
    if not isinstance(given, list) or not given:
        raise invalid("messages", "expected a non-empty array")
    awaited: set[str] = set()
    messages = []
    for number, message in enumerate(given):
        where = f"messages[{number}]"
        checked = _message(message, where)
        if checked["role"] == "tool":
            _take_result(message, awaited, where)
        elif awaited:
            raise _unanswered(awaited, where)
        else:
            awaited = _call_ids(message, where)
        messages.append(checked)
    if awaited:
        raise _unanswered(awaited, "messages")
    return messages


def _message(given: Any, where: str) -> Message:
    if not isinstance(given, dict):
        raise invalid(where, "expected an object")
    role = _ROLES.get(str(given.get("role")))
    if role is None:
        raise invalid(f"{where}.role", f"this sandbox serves {', '.join(_ROLES)}")
    content = given.get("content")
    if content is None and role == "assistant" and given.get("tool_calls"):
        content = ""
    if isinstance(content, list):
        parts = [part.get("text", part.get("refusal")) for part in content if isinstance(part, dict)]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(content) else None
    if not isinstance(content, str):
        raise invalid(f"{where}.content", "expected a string or an array of text parts")
    # Half of a surrogate pair, which JSON can carry, is no text.
    return {"role": role, "content": content.encode(errors="replace").decode()}


def _call_ids(message: Mapping[str, Any], where: str) -> set[str]:
    """Return the ids of an assistant message's calls, which the next messages must answer."""
    calls = message.get("tool_calls") or []
    if message.get("role") != "assistant":
        return set()
    ids = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if len(ids) < len(calls) or not all(isinstance(call_id, str) for call_id in ids):
        raise invalid(f"{where}.tool_calls", "expected calls with an id")
    return {str(call_id) for call_id in ids}


def _take_result(message: Mapping[str, Any], awaited: set[str], where: str) -> None:
    """Strike a tool message's call off those that are awaited."""
    call_id = message.get("tool_call_id")
    if call_id not in awaited:
        message_text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
        raise openai_error(400, None, f"Invalid parameter: {message_text}", f"{where}.role")
    awaited.discard(str(call_id))


def _unanswered(ids: set[str], where: str) -> VendorError:
    return openai_error(
        400,
        None,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(ids))[:200]}",
        where,
    )


def _results(messages: Sequence[Message]) -> tuple[str, ...]:
    """Return the tools' results that the reply is to answer with: those at the end."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, message["content"])
    return tuple(results)


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    given = [name for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    if len(given) > 1:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise openai_error(400, "invalid_parameter_combination", message, "max_tokens")
    if not given:
        return None
    value = body[given[0]]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise invalid(given[0], "expected an integer of at least 1")
    return value


def _stop(given: Any) -> tuple[str, ...]:
    stops = [given] if isinstance(given, str) else given or []
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(stop, str) for stop in stops):
        raise invalid("stop", f"expected a string or an array of at most {_MAX_STOPS} strings")
    return tuple(stops)


def _sampling(body: Mapping[str, Any]) -> Sampling | None:
    """Return how tokens are drawn; None, which takes the likeliest, for a request without a seed."""
    temperature = _number(body, "temperature", 0.0, 2.0, 1.0)
    top_p = _number(body, "top_p", 0.0, 1.0, 1.0)
    for name in ("presence_penalty", "frequency_penalty"):
        _number(body, name, -2.0, 2.0, 0.0)
    seed = body.get("seed")
    if seed is None or temperature == 0.0:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise invalid("seed", "expected an integer")
    return Sampling(temperature, top_p, seed % 2**32)


def _number(body: Mapping[str, Any], name: str, least: float, most: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise invalid(name, f"expected a number from {least:g} to {most:g}")
    return float(value)


def _schema(given: Any, messages: Sequence[Message]) -> Mapping[str, Any] | None:
    match given:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            if not any("json" in message["content"].lower() for message in messages):
                raise openai_error(400, None, _NO_JSON_WORD, "messages")
            return _ANY_JSON
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return check_schema(schema, "response_format")
    raise invalid("response_format", "this sandbox serves 'text', 'json_object' and 'json_schema'")


def _include_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is not None and body.get("stream") is not True:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise openai_error(400, None, message, "stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
