"""An engine that fails again and again is left alone for a while."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from avatar_service import metrics
from avatar_service.engines import policy
from avatar_service.errors import EngineError, EngineRejected, EngineUnavailable, Fault
from avatar_service.settings import LimitSettings

LIMITS = LimitSettings.model_validate({"attempts": 1, "breaker_failures": 3, "breaker_s": 30.0})
GONE = EngineUnavailable("think", "fake", "gone")
REFUSED = EngineRejected("think", "fake", "refused")


class Engine:
    """Fails while told to; counts what reaches it."""

    def __init__(self, failure: EngineError | None = None) -> None:
        self.failure = failure
        self.asked = 0
        self.answers_after_s = 0.0

    async def replies(self) -> AsyncGenerator[str, None]:
        """Two outputs, or the failure."""
        self.asked += 1
        await asyncio.sleep(self.answers_after_s)
        if self.failure:
            raise self.failure
        yield "well"
        await asyncio.sleep(1.0)
        yield "so"


async def ask(engine: Engine, *, name: str = "fake", limits: LimitSettings = LIMITS) -> list[str] | EngineError:
    """What comes of a call."""
    try:
        async with aclosing(policy.stream("think", name, lambda _: engine.replies(), limits)) as outputs:
            return [output async for output in outputs]
    except EngineError as error:
        return error


def is_open(name: str = "fake") -> float:
    labels = {"stage": "think", "engine": name}
    return metrics.REGISTRY.get_sample_value("avatar_engine_circuit_open", labels) or 0.0


def failures() -> float:
    labels = {"stage": "think", "engine": "fake"}
    return metrics.REGISTRY.get_sample_value("avatar_engine_consecutive_failures", labels) or 0.0


async def opened() -> Engine:
    engine = Engine(GONE)
    for _ in range(3):
        assert await ask(engine) is GONE
    return engine


async def test_after_so_many_failures_in_a_row_nothing_reaches_the_engine() -> None:
    engine = await opened()
    assert (is_open(), failures()) == (1.0, 3.0)
    await asyncio.sleep(10.0)
    refusal = await ask(engine)
    assert isinstance(refusal, EngineUnavailable)
    assert refusal.fault is Fault.OVERLOADED
    assert refusal.retry_after_s == pytest.approx(20.0)
    assert engine.asked == 3


async def test_a_refused_call_is_over_at_once_and_is_no_failure_of_the_engine() -> None:
    engine = await opened()
    began_s = asyncio.get_running_loop().time()
    await ask(engine, limits=LIMITS.model_copy(update={"attempts": 3}))
    assert asyncio.get_running_loop().time() - began_s < 0.001
    assert failures() == 3.0


async def test_no_attempt_is_waited_for_that_would_be_refused() -> None:
    engine = Engine(GONE)
    await ask(engine, limits=LIMITS.model_copy(update={"attempts": 2}))
    began_s = asyncio.get_running_loop().time()
    assert await ask(engine, limits=LIMITS.model_copy(update={"attempts": 5})) is GONE
    assert asyncio.get_running_loop().time() - began_s < 0.001
    assert engine.asked == 3


async def test_a_success_between_failures_keeps_it_closed() -> None:
    engine = Engine(GONE)
    await ask(engine)
    await ask(engine)
    engine.failure = None
    assert await ask(engine) == ["well", "so"]
    assert failures() == 0.0
    engine.failure = GONE
    await ask(engine)
    await ask(engine)
    assert is_open() == 0.0


async def test_refusals_of_the_vendor_neither_open_nor_close_it() -> None:
    engine = Engine(REFUSED)
    for _ in range(5):
        assert await ask(engine) is REFUSED
    assert (is_open(), failures()) == (0.0, 0.0)

    engine = await opened()
    await asyncio.sleep(LIMITS.breaker_s)
    engine.failure = REFUSED
    assert await ask(engine) is REFUSED
    assert is_open() == 1.0
    assert await ask(engine) is REFUSED, "the next one may try, too"


async def test_after_its_time_one_call_tries_and_its_first_output_closes_it() -> None:
    engine = await opened()
    await asyncio.sleep(LIMITS.breaker_s)
    engine.failure, engine.answers_after_s = None, 2.0
    with capture_logs() as lines:
        trial = asyncio.create_task(ask(engine))
        await asyncio.sleep(1.0)
        assert isinstance(await ask(engine), EngineUnavailable), "one is enough"
        await asyncio.sleep(1.5)
        assert is_open() == 0.0, "its first output has come, its last has not"
        assert not trial.done()
        assert await trial == ["well", "so"]
    assert engine.asked == 4
    assert [line["event"] for line in lines if line["event"].startswith("breaker")] == ["breaker_closed"]


async def test_a_trial_that_fails_opens_it_again_and_is_not_tried_again() -> None:
    engine = await opened()
    await asyncio.sleep(LIMITS.breaker_s)
    with capture_logs() as lines:
        assert await ask(engine, limits=LIMITS.model_copy(update={"attempts": 3})) is GONE
    assert engine.asked == 4
    told = {"stage": "think", "engine": "fake", "failures": 4, "open_s": 30.0, "log_level": "warning"}
    assert [line for line in lines if line["event"] == "breaker_opened"] == [told | {"event": "breaker_opened"}]
    await asyncio.sleep(LIMITS.breaker_s - 1.0)
    await ask(engine)
    assert engine.asked == 4


async def test_a_trial_that_is_given_up_leaves_the_next_call_to_try() -> None:
    engine = await opened()
    await asyncio.sleep(LIMITS.breaker_s)
    engine.failure, engine.answers_after_s = None, 2.0
    trial = asyncio.create_task(ask(engine))
    await asyncio.sleep(1.0)
    trial.cancel()
    await asyncio.wait({trial})
    assert is_open() == 1.0
    assert await ask(engine) == ["well", "so"]
    assert is_open() == 0.0


async def test_who_leaves_early_says_nothing_of_the_engine() -> None:
    engine = Engine(GONE)
    await ask(engine)
    engine.failure = None
    async with aclosing(policy.stream("think", "fake", lambda _: engine.replies(), LIMITS)) as outputs:
        assert await anext(outputs) == "well"
    assert failures() == 1.0


async def test_each_engine_has_its_own() -> None:
    await opened()
    assert await ask(Engine(), name="fake-2") == ["well", "so"]
    assert (is_open(), is_open("fake-2")) == (1.0, 0.0)


async def test_another_loop_begins_with_a_closed_one() -> None:
    assert await ask(Engine()) == ["well", "so"], "though the tests before left it open"
