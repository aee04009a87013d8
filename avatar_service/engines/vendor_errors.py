"""Every error of the vendors' libraries, and of the transports under them, as an EngineError: one table for all.

What is wrong is read from the vendor's machine code, else from the status, else from the type of the exception. Its
texts are never read: a message holds statuses, codes of the table and names of types, which are words of ours.
"""

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Final

import elevenlabs.core.api_error
import elevenlabs.core.parse_error
import httpx
import httpx2
import openai
import websockets

from avatar_service.engines.vendor import Vendor
from avatar_service.errors import AvatarError, EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.media.wire_audio import MalformedAudio

BY_CODE: Final[Mapping[str, Fault]] = {
    # OpenAI's `code` and `type`, and those that servers of its protocol have taken over.
    "invalid_api_key": Fault.AUTHENTICATION,
    "authentication_error": Fault.AUTHENTICATION,
    "account_deactivated": Fault.AUTHENTICATION,
    "unsupported_country_region_territory": Fault.PERMISSION,
    "permission_error": Fault.PERMISSION,
    "insufficient_quota": Fault.QUOTA,
    "billing_hard_limit_reached": Fault.QUOTA,
    "billing_not_active": Fault.QUOTA,
    "model_not_found": Fault.NOT_FOUND,
    "not_found_error": Fault.NOT_FOUND,
    "content_policy_violation": Fault.FILTERED,
    "content_filter": Fault.FILTERED,
    "moderation_blocked": Fault.FILTERED,
    "invalid_prompt": Fault.FILTERED,
    "context_length_exceeded": Fault.BAD_REQUEST,
    "rate_limit_exceeded": Fault.RATE_LIMIT,
    "rate_limit_error": Fault.RATE_LIMIT,
    "slow_down": Fault.RATE_LIMIT,
    "server_error": Fault.OVERLOADED,
    "server_is_overloaded": Fault.OVERLOADED,
    "engine_overloaded": Fault.OVERLOADED,
    "overloaded_error": Fault.OVERLOADED,
    # ElevenLabs' `detail.code`, `detail.status` (its older name) and `detail.type`, and `error` of its socket.
    "missing_api_key": Fault.AUTHENTICATION,
    "needs_authorization": Fault.AUTHENTICATION,
    "missing_permissions": Fault.PERMISSION,
    "authorization_error": Fault.PERMISSION,
    "detected_unusual_activity": Fault.PERMISSION,
    "output_format_not_allowed": Fault.PERMISSION,
    "quota_exceeded": Fault.QUOTA,
    "payment_required": Fault.QUOTA,
    "voice_not_found": Fault.NOT_FOUND,
    "max_character_limit_exceeded": Fault.BAD_REQUEST,
    "text_too_long": Fault.BAD_REQUEST,
    "content_against_policy": Fault.FILTERED,
    "too_many_concurrent_requests": Fault.RATE_LIMIT,
    "concurrent_limit_exceeded": Fault.RATE_LIMIT,
    "system_busy": Fault.OVERLOADED,
    "internal_error": Fault.OVERLOADED,
    "input_timeout_exceeded": Fault.CONNECTION,
    "max_active_conversations": Fault.OVERLOADED,
}
"""What a vendor's machine code says; it comes before the status, which is often more general."""

BY_STATUS: Final[Mapping[int, Fault]] = {
    401: Fault.AUTHENTICATION,
    402: Fault.QUOTA,
    403: Fault.PERMISSION,
    404: Fault.NOT_FOUND,
    405: Fault.NOT_FOUND,
    407: Fault.AUTHENTICATION,
    408: Fault.TIMEOUT,
    409: Fault.OVERLOADED,
    410: Fault.NOT_FOUND,
    425: Fault.OVERLOADED,
    429: Fault.RATE_LIMIT,
    451: Fault.PERMISSION,
    501: Fault.NOT_FOUND,
    504: Fault.TIMEOUT,
}
"""Statuses of HTTP with a meaning of their own."""

BY_HUNDRED: Final[Mapping[int, Fault]] = {
    2: Fault.MALFORMED,  # the libraries raise a success whose answer they cannot read
    3: Fault.NOT_FOUND,  # the API is not there: it redirects nobody
    4: Fault.BAD_REQUEST,
    5: Fault.OVERLOADED,
}
"""All other statuses, by their first digit."""

BY_CLOSE_CODE: Final[Mapping[int, Fault]] = {
    1003: Fault.BAD_REQUEST,
    1007: Fault.BAD_REQUEST,
    1008: Fault.BAD_REQUEST,
    1009: Fault.BAD_REQUEST,
    1011: Fault.OVERLOADED,
    1012: Fault.OVERLOADED,
    1013: Fault.OVERLOADED,
    3000: Fault.AUTHENTICATION,
    3003: Fault.PERMISSION,
    3008: Fault.TIMEOUT,
}
"""Codes with which a server closes a WebSocket (RFC 6455 7.4, IANA's registry); all others are a broken connection."""

BY_EXCEPTION: Final[tuple[tuple[type[Exception], Fault], ...]] = (
    (openai.APITimeoutError, Fault.TIMEOUT),
    (openai.APIConnectionError, Fault.CONNECTION),
    (openai.APIResponseValidationError, Fault.MALFORMED),
    (openai.ContentFilterFinishReasonError, Fault.FILTERED),
    (openai.LengthFinishReasonError, Fault.MALFORMED),
    (openai.APIError, Fault.OVERLOADED),  # an error event within a stream: the server gave up
    (openai.OpenAIError, Fault.MALFORMED),
    (elevenlabs.core.parse_error.ParsingError, Fault.MALFORMED),
    (httpx.TimeoutException, Fault.TIMEOUT),
    (httpx2.TimeoutException, Fault.TIMEOUT),
    (httpx.DecodingError, Fault.MALFORMED),
    (httpx2.DecodingError, Fault.MALFORMED),
    (httpx.HTTPError, Fault.CONNECTION),
    (httpx2.HTTPError, Fault.CONNECTION),
    (httpx.StreamError, Fault.CONNECTION),
    (httpx2.StreamError, Fault.CONNECTION),
    (httpx.InvalidURL, Fault.BAD_REQUEST),
    (httpx2.InvalidURL, Fault.BAD_REQUEST),
    (websockets.InvalidURI, Fault.BAD_REQUEST),
    (websockets.InvalidHandshake, Fault.MALFORMED),
    (websockets.WebSocketException, Fault.CONNECTION),
    (TimeoutError, Fault.TIMEOUT),
    (OSError, Fault.CONNECTION),  # sockets, names of hosts, TLS
    (EOFError, Fault.CONNECTION),
    # The libraries build their objects from whatever came, so what is no answer at all fails anywhere in our reading.
    (ValueError, Fault.MALFORMED),  # JSON, UTF-8, base64, pydantic
    (TypeError, Fault.MALFORMED),
    (AttributeError, Fault.MALFORMED),
    (LookupError, Fault.MALFORMED),
    (ArithmeticError, Fault.MALFORMED),  # JSON may hold Infinity
    (RecursionError, Fault.MALFORMED),  # and be as deep as it likes
)
"""Exceptions without code and status; the first that fits. Any other is an error of ours, and passes."""

REQUEST_IDS: Final = ("x-request-id", "request-id")
"""Headers with the vendor's name of a request: OpenAI's, ElevenLabs'."""
REQUEST_ID: Final = re.compile(r"[\w.:-]{1,128}", re.ASCII)
"""What such a name may look like; anything else is not kept."""

LARGEST: Final = 1e8
"""Largest count that is taken from a header; larger ones mean the same, and might not fit elsewhere."""

_CLASSES: Final = {fault: kind for kind in (EngineTimeout, EngineUnavailable, EngineRejected) for fault in kind.faults}


@contextmanager
def vendor_errors(stage: str, vendor: Vendor) -> Iterator[None]:
    """Raise whatever the vendor's library or its transport raises as EngineError. Put only work with the vendor in it:
    errors of ours in what its answer was read with would be taken for a malformed answer.
    """
    try:
        yield
    except AvatarError:
        raise
    except Exception as error:
        told = _told(stage, vendor, error)
        if told is None:
            raise
        raise told from error


def vendor_error(
    stage: str,
    vendor: Vendor,
    *,
    body: object = None,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    otherwise: Fault = Fault.OVERLOADED,
    what: str = "error",
) -> EngineError:
    """What a vendor told by an error answer: by its code, else by its status, else `otherwise`.

    `body` is the answer as read from JSON, of any shape. `what` is a word of ours for what came.
    """
    words = list(_words(body))
    code = next((word for word in words if word in BY_CODE), "")
    if status is None:
        status = next((int(word) for word in words if word.isdecimal() and 400 <= int(word) < 600), None)
    fault = BY_CODE[code] if code else _of_status(status, otherwise)
    message = f"{what} {status}" if status else what
    return _engine_error(stage, vendor, fault, f"{message} ({code})" if code else message, headers or {})


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the vendor asks to be left alone, in seconds; None if it does not tell. Header names in lower case."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    told = headers.get("retry-after", "")
    if (seconds := _number(told)) is not None:
        return seconds
    until = _moment_s(told)
    # The vendor's clock and ours may differ, so its own date counts where it is there.
    since = _moment_s(headers.get("date", "")) or time.time()
    return None if until is None else max(0.0, until - since)


def _told(stage: str, vendor: Vendor, error: Exception) -> EngineError | None:
    match error:
        case openai.APIStatusError() | httpx.HTTPStatusError() | httpx2.HTTPStatusError():
            body = error.body if isinstance(error, openai.APIStatusError) else None
            response = error.response
            return vendor_error(
                stage, vendor, body=body, status=response.status_code, headers=response.headers, what="status"
            )
        case elevenlabs.core.api_error.ApiError() | elevenlabs.core.parse_error.ParsingError():
            return vendor_error(
                stage,
                vendor,
                body=error.body,
                status=error.status_code,
                headers=error.headers,
                otherwise=_of_type(error) or Fault.OVERLOADED,
                what="status",
            )
        case websockets.InvalidStatus():
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            body = _json(bytes(answer.body or b""))
            return vendor_error(stage, vendor, body=body, status=answer.status_code, headers=headers, what="status")
        case websockets.ConnectionClosed() if error.rcvd is not None and error.rcvd_then_sent is not False:
            fault = BY_CLOSE_CODE.get(error.rcvd.code, Fault.CONNECTION)
            return _engine_error(stage, vendor, fault, f"closed with code {error.rcvd.code}")
        case websockets.InvalidMessage() if isinstance(error.__cause__, EOFError):  # cut before its answer
            return _engine_error(stage, vendor, Fault.CONNECTION, type(error).__name__)
        case MalformedAudio():
            return _engine_error(stage, vendor, Fault.MALFORMED, f"not the format asked for: {error}")
        case openai.APIError() if error.body is not None:
            return vendor_error(stage, vendor, body=error.body, otherwise=_of_type(error) or Fault.OVERLOADED)
    fault_of_type = _of_type(error)
    return _engine_error(stage, vendor, fault_of_type, type(error).__name__) if fault_of_type else None


def _engine_error(
    stage: str, vendor: Vendor, fault: Fault, message: str, headers: Mapping[str, str] | None = None
) -> EngineError:
    headers = {name.lower(): value for name, value in (headers or {}).items()}
    named = (headers[name] for name in REQUEST_IDS if REQUEST_ID.fullmatch(headers.get(name, "")))
    return _CLASSES[fault](
        stage,
        vendor.engine,
        message,
        fault,
        retry_after_s=retry_after_s(headers),
        request_id=next(named, ""),
        advice=vendor.advice(stage, fault),
    )


def _of_status(status: int | None, otherwise: Fault) -> Fault:
    if status is None:
        return otherwise
    return BY_STATUS.get(status) or BY_HUNDRED.get(status // 100, Fault.MALFORMED)


def _of_type(error: Exception) -> Fault | None:
    return next((fault for kind, fault in BY_EXCEPTION if isinstance(error, kind)), None)


def _words(body: object) -> Iterable[str]:
    """The machine words of an error answer: codes, then types; never its sentences, which stand under `message`."""
    if isinstance(body, Mapping):
        for name in ("error", "detail"):
            yield from _words(body.get(name))
        yield from (str(body[name]) for name in ("code", "status", "type") if isinstance(body.get(name), str | int))
        yield from (word for name in ("error", "detail") if isinstance(word := body.get(name), str))


def _json(body: bytes) -> object:
    """What an answer says; None if it is no JSON."""
    try:
        told: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told


def _number(text: str | None) -> float | None:
    """A count that is not negative; None if it is none."""
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return min(number, LARGEST) if math.isfinite(number) and number >= 0 else None


def _moment_s(date: str) -> float | None:
    """A date of HTTP in seconds since 1970; None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
