"""What ElevenLabs's clients say on a WebSocket, checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from avatar_service.sandbox.text_buffer import DEFAULT_SCHEDULE

_MIN_CHUNK_CHARS: Final = 50
_MAX_CHUNK_CHARS: Final = 500
_MAX_SCHEDULE: Final = 50
_UNPARSABLE: Final = (
    "Could not parse input message, make sure it is a json and follows the schema outlined in protocol."
)


class SocketRefusal(Exception):
    """The connection cannot go on; ``message`` and ``error`` go to the caller before it is closed with 1008."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(error)
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """One message. ``text`` is None if it carries none."""

    text: str | None
    context_id: str | None
    flush: bool
    try_trigger: bool
    close_context: bool
    close_socket: bool
    key: str | None
    voice_settings: Mapping[str, Any] | None
    schedule: tuple[float, ...] | None


def parse_message(data: str | None) -> ClientMessage:
    """Return the message; raises ``SocketRefusal`` for what is none. ``data`` None is a message that is not text."""
    try:
        body = json.loads(data or "")
    except (ValueError, RecursionError) as error:
        raise SocketRefusal("invalid_input_message", _UNPARSABLE) from error
    if not isinstance(body, dict):
        raise SocketRefusal("invalid_input_message", _UNPARSABLE)
    settings = _field(body, "voice_settings", dict)
    config = _field(body, "generation_config", dict)
    if config is None:
        config = _field(body, "generator_config", dict)  # its name in later messages
    return ClientMessage(
        text=_field(body, "text", str),
        context_id=_field(body, "context_id", str) or _field(body, "contextId", str),
        flush=_field(body, "flush", bool) is True,
        try_trigger=_field(body, "try_trigger_generation", bool) is True,
        close_context=_field(body, "close_context", bool) is True,
        close_socket=_field(body, "close_socket", bool) is True,
        key=_key(body),
        voice_settings=None if settings is None else {name: v for name, v in settings.items() if v is not None},
        schedule=_schedule(config),
    )


def _field(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise SocketRefusal("invalid_input_message", f"{_UNPARSABLE} Field: {name}.")
    return value


def _key(body: Mapping[str, Any]) -> str | None:
    """Return the key of a first message: ``xi_api_key`` or ``xi-api-key``, or a bearer token."""
    key: str | None = _field(body, "xi_api_key", str) or _field(body, "xi-api-key", str)
    bearer: str | None = _field(body, "authorization", str)
    return key or (bearer.removeprefix("Bearer ") if bearer else None)


def _schedule(config: Mapping[str, Any] | None) -> tuple[float, ...] | None:
    """Return the chunk lengths; the vendor's default for a configuration without."""
    if config is None:
        return None
    lengths = config.get("chunk_length_schedule")
    if lengths is None:
        return DEFAULT_SCHEDULE
    is_schedule = isinstance(lengths, list) and 0 < len(lengths) <= _MAX_SCHEDULE
    if not is_schedule or not all(_is_length(length) for length in lengths):
        raise SocketRefusal(
            "invalid_chunk_length_schedule",
            f"chunk_length_schedule must hold 1 to {_MAX_SCHEDULE} numbers from {_MIN_CHUNK_CHARS} to "
            f"{_MAX_CHUNK_CHARS}.",
        )
    return tuple(float(length) for length in lengths)


def _is_length(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and _MIN_CHUNK_CHARS <= value <= _MAX_CHUNK_CHARS
