"""How vendor calls are limited and tried again, in one place for all adapters.

A call is tried again only before its first output: after it, the user would hear or read things twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from avatar_service.engines.attempt import Attempt
from avatar_service.errors import EngineError, EngineTimeout
from avatar_service.log import get_logger
from avatar_service.settings import LimitSettings

T = TypeVar("T")
log = get_logger(__name__)

FIRST_WAIT_S = 1.0
"""Wait before the second attempt; it doubles with each further one."""


async def call(
    stage: str, engine: str, attempt: Callable[[Attempt], Awaitable[T]], limits: LimitSettings, limit_s: float
) -> T:
    """Await one answer, each attempt within `limit_s`. Raises the last attempt's EngineError."""
    tries = 0
    while True:
        tries += 1
        try:
            with Attempt(stage, engine, tries, limits.attempts) as attempted:
                answer = await _answer_in_time(stage, engine, attempt(attempted), limit_s)
                attempted.output()
                return answer
        except EngineError as error:
            await _wait_before_next(error, tries, limits)


async def stream(
    stage: str, engine: str, attempt: Callable[[Attempt], AsyncGenerator[T, None]], limits: LimitSettings
) -> AsyncGenerator[T, None]:
    """Pass on a stream whose every output is in time. Raises the last attempt's EngineError."""
    tries, started = 0, False
    while True:
        tries += 1
        try:
            with Attempt(stage, engine, tries, limits.attempts) as attempted:
                async with aclosing(_in_time(stage, engine, attempt(attempted), limits)) as outputs:
                    async for output in outputs:
                        started = True
                        attempted.output()
                        yield output
            return
        except EngineError as error:
            if started:
                raise
            await _wait_before_next(error, tries, limits)


async def _wait_before_next(error: EngineError, tries: int, limits: LimitSettings) -> None:
    told = {"stage": error.stage, "engine": error.engine, "attempt": tries, "error": type(error).__name__}
    if not error.retryable or tries >= limits.attempts:
        log.warning("attempts_exhausted", **told)
        raise error
    wait_s = FIRST_WAIT_S * 2 ** (tries - 1)
    log.warning("attempt_failed", **told, retry_in_s=wait_s)
    await asyncio.sleep(wait_s)


async def _answer_in_time(stage: str, engine: str, answer: Awaitable[T], limit_s: float) -> T:
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError as error:
        raise EngineTimeout(stage, engine, f"no answer within {limit_s:g} s") from error


async def _in_time(
    stage: str, engine: str, outputs: AsyncGenerator[T, None], limits: LimitSettings
) -> AsyncGenerator[T, None]:
    limit_s = limits.first_output_s
    async with aclosing(outputs):
        while True:
            try:
                # It ends before the yield: a timeout must never span one.
                async with asyncio.timeout(limit_s):
                    output = await anext(outputs)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise EngineTimeout(stage, engine, f"no output within {limit_s:g} s") from error
            yield output
            limit_s = limits.between_outputs_s
