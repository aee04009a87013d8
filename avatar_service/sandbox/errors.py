"""The error answers of both vendors, and the sandbox's own errors.

The shapes are those that the SDKs turn into their exception classes:
OpenAI ``{"error": {message, type, param, code}}``,
ElevenLabs ``{"detail": {type, code, message, status, param}}``, and ``{"detail": [{type, loc, msg}]}`` for a body that
does not validate.
"""

from collections.abc import Mapping
from typing import Any, Final

_ELEVENLABS_TYPES: Final = {
    400: "validation_error",
    401: "authentication_error",
    403: "authorization_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""The vendor's own word is known for 400; the others are made after it, and nothing reads them."""


class SandboxError(Exception):
    """The sandbox cannot start or go on; the message says what to do."""


class VendorError(Exception):
    """An HTTP error answer in the shape of the vendor whose route was called."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body


def openai_error(status: int, code: str | None, message: str, param: str | None = None) -> VendorError:
    """OpenAI's error answer."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    if status == 429:
        kind = "insufficient_quota" if code == "insufficient_quota" else "requests"
    return VendorError(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def elevenlabs_error(status: int, code: str | None, message: str, param: str | None = None) -> VendorError:
    """ElevenLabs's error answer. ``status`` on the wire is its older name of ``code``, which clients still read."""
    kind = _ELEVENLABS_TYPES.get(status, "internal_error")
    detail = {"type": kind, "code": code or "error", "message": message, "status": code or "error", "param": param}
    return VendorError(status, {"detail": detail})


def elevenlabs_invalid(message: str, *location: str) -> VendorError:
    """ElevenLabs's answer to a body or query that does not validate: 422 with one entry."""
    return VendorError(422, {"detail": [{"type": "value_error", "loc": list(location), "msg": message, "input": None}]})
