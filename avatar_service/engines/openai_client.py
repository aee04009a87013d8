"""The OpenAI client that transcription and chat share, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import openai

from avatar_service.engines.warm_connections import STAGE as WARM_STAGE
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.settings import LimitSettings, OpenAISettings

ENGINE = "openai"
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


async def open_connection(client: openai.AsyncOpenAI) -> None:
    """Ask for the list of models, which costs nothing, to have a connection open. Raises EngineError."""
    with openai_errors(WARM_STAGE):
        await client.get("/models", cast_to=httpx2.Response)


@contextmanager
def openai_errors(stage: str) -> Iterator[None]:
    """Raise the SDK's errors, and those of the transport under it, as EngineError, without the vendor's text."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise EngineTimeout(stage, ENGINE, "timed out") from error
    except openai.APIStatusError as error:
        raise _of_status(stage, error.status_code) from error
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise EngineUnavailable(stage, ENGINE, type(error).__name__) from error


def _of_status(stage: str, status: int) -> EngineError:
    if status in (408, 409, 429) or status >= 500:
        return EngineUnavailable(stage, ENGINE, f"status {status}")
    return EngineRejected(stage, ENGINE, f"status {status}")
