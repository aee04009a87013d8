"""The OpenAI client that transcription and chat share."""

import httpx2
import openai

from avatar_service.engines.vendor import OPENAI, Vendor
from avatar_service.engines.vendor_errors import vendor_errors
from avatar_service.engines.warm_connections import STAGE as WARM_STAGE
from avatar_service.settings import LimitSettings, OpenAISettings

KEPT_ALIVE_S = 120.0
"""How long an idle connection is kept: the SDK's 5 s would cost a new TLS handshake in almost every turn."""


def openai_client(settings: OpenAISettings, limits: LimitSettings) -> openai.AsyncOpenAI:
    """A client without retries of its own; policy.py decides those."""
    timeout = httpx2.Timeout(settings.timeout_s, connect=limits.connect_s)
    return openai.AsyncOpenAI(
        # A server that only a base URL names may want no key, but the SDK will not start without one.
        api_key=settings.api_key.get_secret_value() or "none",
        base_url=settings.base_url or None,
        timeout=timeout,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpx2Client(
            timeout=timeout, limits=httpx2.Limits(max_connections=1000, keepalive_expiry=KEPT_ALIVE_S)
        ),
    )


async def open_connection(client: openai.AsyncOpenAI, vendor: Vendor = OPENAI) -> None:
    """Ask for the list of models, which costs nothing, to have a connection open. Raises EngineError."""
    with vendor_errors(WARM_STAGE, vendor):
        await client.get("/models", cast_to=httpx2.Response)
