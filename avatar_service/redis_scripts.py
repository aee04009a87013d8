"""Scripts that a Redis runs for us, each as a whole and within a deadline."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from avatar_service.errors import StoreUnavailable

WITHIN_S = 1.0
"""Longest that one call takes."""
NOW = "local time = redis.call('TIME') local now_ms = time[1] * 1000 + math.floor(time[2] / 1000) "
"""How a script begins that needs Redis's own clock, in milliseconds."""


class RedisScripts:
    """Named scripts and the connections to run them on, which are made when they are needed."""

    def __init__(self, url: str, scripts: Mapping[str, str], *, connections: int) -> None:
        """At most so many `connections`; a call holds one for about a millisecond."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=WITHIN_S,
            socket_connect_timeout=WITHIN_S,
            socket_timeout=WITHIN_S,
            retry=Retry(NoBackoff(), 1),  # once, for a connection that Redis closed while it lay in the pool
            client_name="avatar-service",
        )
        self._redis = Redis.from_pool(pool)
        self._scripts: dict[str, Any] = {name: self._redis.register_script(text) for name, text in scripts.items()}

    async def run(self, script: str, key: str, *arguments: object) -> Any:
        """Run a script on one key within WITHIN_S. Raises StoreUnavailable."""
        try:
            with _cancels_kept():
                async with asyncio.timeout(WITHIN_S):
                    return await self._scripts[script](keys=[key], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            # Its message may quote the address and the script's arguments.
            raise StoreUnavailable(f"Redis: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


@contextmanager
def _cancels_kept() -> Iterator[None]:
    """Raise CancelledError for a cancel that came during the block and was lost there: redis-py sends under
    `asyncio.wait_for`, which in Python 3.11 drops a cancel that comes together with its result."""
    task = asyncio.current_task()
    assert task is not None, "only tasks can be cancelled"
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError
