"""The key check of both vendors. Keys are compared in constant time and never repeated."""

import hmac
from collections.abc import Mapping

from avatar_service.sandbox.errors import elevenlabs_error, openai_error


def check_openai_key(headers: Mapping[str, str], key: str) -> None:
    """Raise OpenAI's 401 unless the request carries ``Authorization: Bearer`` with exactly the key."""
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise openai_error(
            401,
            None,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if not is_same_key(given, key):
        raise openai_error(401, "invalid_api_key", "Incorrect API key provided. This sandbox accepts only its own key.")


def check_elevenlabs_key(headers: Mapping[str, str], key: str) -> None:
    """Raise ElevenLabs's 401 unless the request carries ``xi-api-key`` with exactly the key."""
    given = headers.get("xi-api-key", "")
    if not given:
        raise elevenlabs_error(
            401, "needs_authorization", "Neither authorization header nor xi-api-key received, please provide one."
        )
    if not is_same_key(given, key):
        raise elevenlabs_error(401, "invalid_api_key", "Invalid API key")


def is_same_key(given: str, key: str) -> bool:
    """Return whether two keys are the same, in a time that tells nothing about them."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode())
