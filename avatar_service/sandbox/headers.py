"""The headers that both vendors put on every answer."""

import secrets
import time

from avatar_service.sandbox.record import RequestRecord
from avatar_service.sandbox.serving import Load


def openai_headers(record: RequestRecord, load: Load) -> dict[str, str]:
    """Return OpenAI's. The sandbox limits requests in progress, not in a minute, and no tokens."""
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-processing-ms": str(_elapsed_ms(record)),
        "openai-version": "2020-10-01",
        "openai-organization": "sandbox",
        "x-ratelimit-limit-requests": str(load.limit),
        "x-ratelimit-remaining-requests": str(max(0, load.limit - load.current)),
        "x-ratelimit-reset-requests": "0s",
    }


def elevenlabs_headers(record: RequestRecord, load: Load) -> dict[str, str]:
    """Return ElevenLabs's."""
    return {
        "request-id": secrets.token_hex(10),
        "tts-latency-ms": str(_elapsed_ms(record)),
        "current-concurrent-requests": str(load.current),
        "maximum-concurrent-requests": str(load.limit),
    }


def _elapsed_ms(record: RequestRecord) -> int:
    return round((time.monotonic() - record.started_s) * 1000)
