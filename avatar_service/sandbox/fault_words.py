"""How the vendors word the errors that are injected: bodies of statuses, and what comes before a WebSocket's close.

Codes and messages are the vendors' own where they are known; where a vendor documents none for a status, its nearest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from avatar_service.sandbox.errors import VendorError, elevenlabs_invalid
from avatar_service.sandbox.serving import Vendor


@dataclass(frozen=True, slots=True)
class _Words:
    """A vendor's usual code of a status, and its message."""

    code: str | None
    message: str


_OPENAI: Final[Mapping[int, _Words]] = {
    400: _Words("invalid_value", "Invalid value in your request."),
    401: _Words("invalid_api_key", "Incorrect API key provided. You can find your API key in your account settings."),
    403: _Words(
        "unsupported_country_region_territory", "Country, region, or territory not supported for this API key."
    ),
    404: _Words("model_not_found", "The model does not exist or you do not have access to it."),
    429: _Words("rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
    500: _Words("server_error", "The server had an error while processing your request. Sorry about that!"),
    503: _Words("service_unavailable", "The engine is currently overloaded, please try again later."),
    529: _Words("overloaded", "The engine is currently overloaded, please try again later."),
}
_ELEVENLABS: Final[Mapping[int, _Words]] = {
    400: _Words("invalid_parameters", "A parameter of your request is invalid."),
    401: _Words("invalid_api_key", "Invalid API key"),
    403: _Words("missing_permissions", "The API key you used is missing the permission text_to_speech."),
    404: _Words("voice_not_found", "A voice with this voice_id was not found."),
    429: _Words("too_many_concurrent_requests", "Too many concurrent requests. Please try again later."),
    500: _Words("internal_server_error", "An internal server error occurred."),
    503: _Words("service_unavailable", "The service is temporarily unavailable. Please try again later."),
    529: _Words("system_busy", "We are currently experiencing heavy traffic. Please try again later."),
}
_BY_CODE: Final[Mapping[str, str]] = {
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "quota_exceeded": "This request exceeds your quota. You have 0 credits remaining.",
    "content_policy_violation": "Your request was rejected as a result of our safety system.",
    "detected_unusual_activity": "Unusual activity detected. Free Tier usage disabled.",
    "system_busy": "We are currently experiencing heavy traffic. Please try again later.",
}
_CLOSES: Final[Mapping[int, _Words]] = {
    1001: _Words("going_away", "The server is going away."),
    1008: _Words("quota_exceeded", "This request exceeds your quota. You have 0 credits remaining."),
    1011: _Words("internal_server_error", "An internal server error occurred."),
    1013: _Words("system_busy", "We are currently experiencing heavy traffic. Please try again later."),
}


def status_error(vendor: Vendor, status: int, code: str | None) -> VendorError:
    """Return a vendor's error answer of a status; ``code`` None is the vendor's usual one."""
    if vendor.name == "elevenlabs" and status == 422 and code is None:
        return elevenlabs_invalid("Input should be valid", "body", "text")
    words = (_ELEVENLABS if vendor.name == "elevenlabs" else _OPENAI).get(status)
    message = words.message if words else f"This request failed with status {status}."
    usual = words.code if words else None
    return vendor.error(status, code or usual, _BY_CODE.get(code or "", message))


def close_error(code: int, error: str | None) -> dict[str, Any] | None:
    """Return ElevenLabs's message before a close; None for an ordinary one, which has none."""
    words = _CLOSES.get(code, _Words("error", "The connection is closed."))
    if code == 1000 and error is None:
        return None
    message = words.message if error is None else _BY_CODE.get(error, words.message)
    return {"message": message, "error": error or words.code, "code": code}
