"""What can be wrong with an answer of the sandbox: the kinds of faults, their fields, and where each makes sense."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

Target = Literal["transcription", "chat", "speech", "speech_socket", "voices", "models"]
"""A group of routes that fail alike."""
FaultName = Literal[
    "status",
    "hang",
    "stall",
    "cut",
    "error_frame",
    "garbage",
    "odd_length",
    "drip",
    "empty",
    "endless",
    "content_type",
    "close",
    "refusal",
    "content_filter",
    "length",
    "no_finish",
    "broken_tool_call",
]

TARGETS: Final[tuple[Target, ...]] = get_args(Target)
CLOSE_CODES: Final = (1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000))
"""What a close frame may carry."""

_MAX_AFTER: Final = 100_000
_MAX_RETRY_AFTER_S: Final = 3600.0
_MAX_RATE: Final = 1000.0
_MAX_WORD: Final = 64


class FaultRefused(ValueError):
    """A fault or rule that cannot be injected; the message names field and allowed values."""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One fault with its fields; which of them count depends on ``name``.

    ``after`` counts outputs: SSE events, chunks or lines of speech, messages of a WebSocket; for ``content_filter`` and
    ``length`` tokens. ``rate`` is tokens a second for chat, times real time for speech. ``code`` is the vendor's word
    in an error body, or a WebSocket's close code.
    """

    name: FaultName
    after: int = 0
    status: int = 500
    retry_after_s: float | None = None
    code: str | int | None = None
    error: str | None = None
    rate: float = 1.0
    arguments: Literal["cut", "not_json"] = "cut"


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a fault: what it may hold, in words and as a check."""

    allowed: str
    is_allowed: Callable[[Any], bool]
    required: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class _Kind:
    targets: tuple[Target, ...]
    fields: Mapping[str, _Field]


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any, least: float, most: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_WORD and value.isascii() and value.isprintable()


_AFTER: Final = _Field(f"a whole number from 0 to {_MAX_AFTER}", lambda value: _is_whole(value, 0, _MAX_AFTER))
_AFTER_TEXT: Final = _Field(_AFTER.allowed, _AFTER.is_allowed, default=8)
_STATUS: Final = _Field("a whole number from 400 to 599", lambda value: _is_whole(value, 400, 599), required=True)
_RETRY_AFTER: Final = _Field(
    f"a number of seconds from 0 to {_MAX_RETRY_AFTER_S:g}", lambda value: _is_number(value, 0.0, _MAX_RETRY_AFTER_S)
)
_WORD: Final = _Field(f"1 to {_MAX_WORD} printable ASCII characters", _is_word)
_CLOSE: Final = _Field(
    "a close code: 1000 to 1003, 1007 to 1014 or 3000 to 4999",
    lambda value: _is_whole(value, 1000, 4999) and value in CLOSE_CODES,
    default=1011,
)
_RATE: Final = _Field(f"a number from 0.01 to {_MAX_RATE:g}", lambda value: _is_number(value, 0.01, _MAX_RATE), True)
_ARGUMENTS: Final = _Field("'cut' or 'not_json'", lambda value: value in ("cut", "not_json"), default="cut")

_STREAMED: Final[tuple[Target, ...]] = ("transcription", "chat", "speech", "speech_socket")
_VOICED: Final[tuple[Target, ...]] = ("speech", "speech_socket")
_CHAT: Final[tuple[Target, ...]] = ("chat",)
_KINDS: Final[Mapping[FaultName, _Kind]] = {
    "status": _Kind(TARGETS, {"status": _STATUS, "retry_after_s": _RETRY_AFTER, "code": _WORD}),
    "hang": _Kind(TARGETS, {}),
    "stall": _Kind(TARGETS, {"after": _AFTER}),
    "cut": _Kind(TARGETS, {"after": _AFTER}),
    "error_frame": _Kind(_STREAMED, {"after": _AFTER, "code": _WORD}),
    "garbage": _Kind(TARGETS, {"after": _AFTER}),
    "odd_length": _Kind(_VOICED, {}),
    "drip": _Kind(("chat", *_VOICED), {"rate": _RATE}),
    "empty": _Kind(TARGETS, {}),
    "endless": _Kind(_STREAMED, {}),
    "content_type": _Kind(TARGETS, {}),
    "close": _Kind(("speech_socket",), {"code": _CLOSE, "after": _AFTER, "error": _WORD}),
    "refusal": _Kind(_CHAT, {}),
    "content_filter": _Kind(_CHAT, {"after": _AFTER}),
    "length": _Kind(_CHAT, {"after": _AFTER_TEXT}),
    "no_finish": _Kind(_CHAT, {"after": _AFTER}),
    "broken_tool_call": _Kind(_CHAT, {"arguments": _ARGUMENTS}),
}
FAULT_NAMES: Final[tuple[FaultName, ...]] = tuple(_KINDS)


def targets_of(name: FaultName) -> tuple[Target, ...]:
    """Return where a fault makes sense."""
    return _KINDS[name].targets


def parse_fault(given: Mapping[str, Any]) -> InjectedFault:
    """Return the fault of ``{"fault": NAME, ...}``; ``FaultRefused`` names the field and what it may hold."""
    name = next((name for name in _KINDS if name == given.get("fault")), None)
    if name is None:
        raise FaultRefused(f"fault must be one of {', '.join(_KINDS)}, not {shown(given.get('fault'))}")
    kind = _KINDS[name]
    for field in given:
        if field != "fault" and field not in kind.fields:
            own = ", ".join(kind.fields) or "no field"
            raise FaultRefused(f"{shown(field)} is no field of {name}, which has {own}")
    values: dict[str, Any] = {}
    for field, allowed in kind.fields.items():
        value = given.get(field)
        if value is None:
            if allowed.required:
                raise FaultRefused(f"{field} must be {allowed.allowed}; it is missing")
            if allowed.default is not None:
                values[field] = allowed.default
        elif not allowed.is_allowed(value):
            raise FaultRefused(f"{field} must be {allowed.allowed}, not {shown(value)}")
        else:
            values[field] = value
    return InjectedFault(name, **values)


def check_target(fault: InjectedFault, target: Target) -> None:
    """Refuse a fault that makes no sense at ``target``; ``FaultRefused`` names where it does."""
    targets = targets_of(fault.name)
    if target not in targets:
        raise FaultRefused(f"fault {fault.name} makes no sense on {target}; it does on {', '.join(targets)}")


def shown(value: Any) -> str:
    """Return a value as a message may show it."""
    text = repr(value)
    return text if len(text) <= _MAX_WORD else text[:_MAX_WORD] + "..."
