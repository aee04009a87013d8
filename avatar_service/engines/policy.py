"""How calls of engines are limited and tried again, in one place for all adapters.

A call is tried again only before its first output: after it, the user would hear or read things twice. Attempts, waits
and their end are tenacity's. A stream is given to it only until its first output: its context manager around an attempt
swallows what closes a generator early.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from avatar_service import clock, metrics
from avatar_service.engines.attempt import Attempt
from avatar_service.engines.breaker import breaker
from avatar_service.errors import EngineError, EngineTimeout
from avatar_service.log import get_logger
from avatar_service.settings import LimitSettings
from avatar_service.watching import watcher

T = TypeVar("T")
log = get_logger(__name__)

_latest_end_s: ContextVar[float] = ContextVar("latest_end_s", default=math.inf)


async def call(
    stage: str,
    engine: str,
    attempt: Callable[[Attempt], Awaitable[T]],
    limits: LimitSettings,
    limit_s: float,
    *,
    live: bool = True,
) -> T:
    """Await one answer, each attempt within `limit_s`, all together within the stage's budget.

    `live` is False where nobody waits for the answer in a conversation: then there is no budget, and the engine is
    asked however often it has failed. Raises the last attempt's EngineError.
    """
    calling = _Call(stage, engine, limits, live)

    async def once() -> T:
        with calling.attempt() as attempted:
            within_s = calling.bounded(limit_s)
            try:
                async with asyncio.timeout(within_s):
                    answer = await attempt(attempted)
            except TimeoutError as error:
                raise EngineTimeout(stage, engine, f"no answer within {within_s:.3g} s") from error
            calling.answered()
            attempted.output()
            return answer

    return await calling.until_one_answers(once)


async def stream(
    stage: str,
    engine: str,
    attempt: Callable[[Attempt], AsyncGenerator[T, None]],
    limits: LimitSettings,
    begins: Callable[[T], bool] = lambda output: True,
) -> AsyncGenerator[T, None]:
    """Pass on a stream whose every output is in time. Raises the last attempt's EngineError.

    What comes before an output that `begins` is dropped: it shows that the engine is at work, and no more.
    """
    calling = _Call(stage, engine, limits)

    async def begin() -> tuple[AsyncExitStack, Attempt, _Outputs[T], tuple[T, ...]]:
        """An attempt up to its first output; the stack ends it."""
        async with AsyncExitStack() as stack:
            attempted = stack.enter_context(calling.attempt())
            source = await stack.enter_async_context(aclosing(attempt(attempted)))
            outputs = _Outputs(source, stage, engine, limits.call_s)
            first = await outputs.next(calling.bounded(limits.first_output_s))
            while first and not begins(first[0]):
                first = await outputs.next(calling.bounded(limits.between_outputs_s))
            if first:
                calling.answered()
            return stack.pop_all(), attempted, outputs, first

    stack, attempted, outputs, output = await calling.until_one_answers(begin)
    async with stack:
        while output:
            attempted.output()
            yield output[0]
            output = await outputs.next(limits.between_outputs_s)


@contextmanager
def ending_by(moment_s: float) -> Iterator[None]:
    """Calls that begin in the block have no more time for their first output than until then, by the loop's clock."""
    token = _latest_end_s.set(min(moment_s, _latest_end_s.get()))
    try:
        yield
    finally:
        _latest_end_s.reset(token)


class _Call:
    """What the attempts of one call have in common: their number, their budget, and who is told of them."""

    def __init__(self, stage: str, engine: str, limits: LimitSettings, live: bool = True) -> None:
        self._stage, self._engine, self._limits = stage, engine, limits
        self._ends_s = min(clock.now() + limits.stage_s, _latest_end_s.get()) if live else math.inf
        self._breaker = breaker(stage, engine) if live else None
        self._attempts = 0

    async def until_one_answers(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try it as often as its failures, the number of attempts, the budget and the breaker allow."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_be_mended),
            wait=self._wait_s,
            stop=self._is_over,
            before_sleep=self._tell,
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except EngineError as error:
            log.warning("attempts_exhausted", attempt=self._attempts, **error.facts)
            raise

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """The next attempt. Raises EngineUnavailable, and makes none, where the engine is left alone."""
        with self._breaker.attempt(self._limits) if self._breaker else nullcontext():
            self._attempts += 1
            try:
                with Attempt(self._stage, self._engine, self._attempts, self._limits.attempts) as attempted:
                    yield attempted
            except EngineError as error:
                metrics.FAULTS.labels(self._stage, self._engine, error.fault.value).inc()
                raise

    def bounded(self, limit_s: float) -> float:
        """What of `limit_s` the budget has left."""
        return max(0.0, min(limit_s, self._ends_s - clock.now()))

    def answered(self) -> None:
        """The first output has come."""
        if self._breaker:
            self._breaker.answered()

    def _may_be_mended(self, error: BaseException) -> bool:
        left_alone = self._breaker is not None and self._breaker.is_open
        return isinstance(error, EngineError) and error.retryable and not left_alone

    def _wait_s(self, state: RetryCallState) -> float:
        """As the vendor asks, else longer each time."""
        error = _failure(state)
        if error.retry_after_s is not None:
            return error.retry_after_s
        return float(self._limits.retry_wait_s * 2 ** (self._attempts - 1))

    def _is_over(self, state: RetryCallState) -> bool:
        """Whether no attempt is left, or no time after the wait."""
        return self._attempts >= self._limits.attempts or clock.now() + state.upcoming_sleep >= self._ends_s

    async def _tell(self, state: RetryCallState) -> None:
        error = _failure(state)
        metrics.RETRIES.labels(self._stage, self._engine).inc()
        log.warning("attempt_failed", attempt=self._attempts, **error.facts, retry_in_s=state.upcoming_sleep)
        if told := watcher():
            await told.retrying(error)


class _Outputs(Generic[T]):
    """The outputs of an attempt, each within its limit, and all of them within that of the call."""

    def __init__(self, outputs: AsyncGenerator[T, None], stage: str, engine: str, call_s: float) -> None:
        self._outputs = outputs
        self._stage, self._engine = stage, engine
        self._call_s = call_s
        self._waited_s = 0.0
        """How long the engine was waited for: the time of whoever takes its outputs slowly is not its fault."""

    async def next(self, limit_s: float) -> tuple[T, ...]:
        """The next output, alone; none after the last. Raises EngineTimeout."""
        left_s = self._call_s - self._waited_s
        began_s = clock.now()
        try:
            async with asyncio.timeout(min(limit_s, left_s)):
                return (await anext(self._outputs),)
        except StopAsyncIteration:
            return ()
        except TimeoutError as error:
            late = f"no output within {limit_s:.3g} s" if limit_s <= left_s else f"no end within {self._call_s:.3g} s"
            raise EngineTimeout(self._stage, self._engine, late) from error
        finally:
            self._waited_s += clock.now() - began_s


def _failure(state: RetryCallState) -> EngineError:
    """Why the latest attempt failed."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, EngineError), "nothing else is tried again"
    return error
