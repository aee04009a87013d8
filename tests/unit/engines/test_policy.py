"""How calls of engines are limited and tried again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from avatar_service import clock, metrics
from avatar_service.engines import policy
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.settings import LimitSettings
from avatar_service.watching import watched

LIMITS = LimitSettings.model_validate({"breaker_failures": 1_000})
"""The defaults, with a breaker that stays closed."""
GONE = EngineUnavailable("speak", "fake", "gone")
REFUSED = EngineRejected("speak", "fake", "refused")


def busy(retry_after_s: float) -> EngineUnavailable:
    return EngineUnavailable("speak", "fake", "busy", Fault.RATE_LIMIT, retry_after_s=retry_after_s, request_id="r-1")


class Vendor:
    """Fails as told, then answers; notes when each attempt began and how many are open."""

    def __init__(self, *failures: EngineError, fails_after: int = 0, waits_s: tuple[float, ...] = (0.0, 0.0)) -> None:
        self._failures = list(failures)
        self._fails_after = fails_after
        self._waits_s = waits_s
        self.attempts_s: list[float] = []
        self.open = 0

    async def answer(self) -> str:
        """One answer."""
        self.attempts_s.append(clock.now())
        await asyncio.sleep(self._waits_s[0])
        if self._failures:
            raise self._failures.pop(0)
        return "answer"

    async def outputs(self) -> AsyncGenerator[int, None]:
        """One output after each wait."""
        self.attempts_s.append(clock.now())
        self.open += 1
        try:
            for number, wait_s in enumerate(self._waits_s):
                await asyncio.sleep(wait_s)
                if self._failures and number >= self._fails_after:
                    raise self._failures.pop(0)
                yield number
        finally:
            self.open -= 1

    @property
    def gaps_s(self) -> list[float]:
        """Seconds between the beginnings of attempts."""
        return [after - before for before, after in zip(self.attempts_s, self.attempts_s[1:], strict=False)]


class Told:
    """Notes what a turn would be told."""

    def __init__(self) -> None:
        self.retries: list[EngineError] = []
        self.fallbacks: list[tuple[EngineError, str]] = []

    async def retrying(self, error: EngineError) -> None:
        """Another attempt follows."""
        self.retries.append(error)

    async def falling_back(self, error: EngineError, engine: str) -> None:
        """Another engine is asked."""
        self.fallbacks.append((error, engine))


async def call(vendor: Vendor, limits: LimitSettings = LIMITS, **options: Any) -> str:
    return await policy.call("speak", "fake", lambda _: vendor.answer(), limits, limit_s=4.0, **options)


async def stream(vendor: Vendor, limits: LimitSettings = LIMITS) -> list[int]:
    async with aclosing(policy.stream("speak", "fake", lambda _: vendor.outputs(), limits)) as outputs:
        return [output async for output in outputs]


Use = Callable[[Vendor], Awaitable[object]]
USES = pytest.mark.parametrize("use", [call, stream])


async def took_s(doing: Awaitable[object]) -> float:
    """How long it takes until an EngineError."""
    began_s = clock.now()
    with suppress(EngineError):
        await doing
    return clock.now() - began_s


def counted(name: str, **labels: str) -> float:
    of = {"stage": "speak", "engine": "fake"} | labels
    return metrics.REGISTRY.get_sample_value(f"avatar_engine_{name}", of) or 0.0


async def test_what_works_is_asked_once() -> None:
    called, streamed = Vendor(), Vendor()
    assert await call(called) == "answer"
    assert await stream(streamed) == [0, 1]
    assert len(called.attempts_s) == len(streamed.attempts_s) == 1


async def test_a_second_attempt_comes_after_one_second_and_a_third_after_two_more() -> None:
    called, streamed = Vendor(GONE, GONE), Vendor(GONE, GONE)
    assert await call(called) == "answer"
    assert await stream(streamed) == [0, 1]
    assert called.gaps_s == pytest.approx([1.0, 2.0])
    assert streamed.gaps_s == pytest.approx([1.0, 2.0])


@USES
async def test_after_the_third_attempt_its_error_is_raised(use: Use) -> None:
    last = EngineTimeout("speak", "fake", "the last one")
    vendor = Vendor(GONE, GONE, last)
    with pytest.raises(EngineTimeout, match="the last one"):
        await use(vendor)
    assert len(vendor.attempts_s) == 3


@USES
@pytest.mark.parametrize("fault", Fault)
async def test_every_fault_is_tried_again_unless_it_is_a_refusal(use: Use, fault: Fault) -> None:
    kinds = (EngineTimeout, EngineUnavailable, EngineRejected)
    (kind,) = (kind for kind in kinds if fault in kind.faults)
    vendor, before = Vendor(kind("speak", "fake", "no", fault)), counted("faults_total", fault=fault.value)
    if kind is EngineRejected:
        with pytest.raises(EngineRejected):
            await use(vendor)
    else:
        await use(vendor)
    assert len(vendor.attempts_s) == (1 if kind is EngineRejected else 2)
    assert counted("faults_total", fault=fault.value) == before + 1


async def test_after_the_first_output_nothing_is_tried_again() -> None:
    vendor = Vendor(GONE, fails_after=1)
    outputs = policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS)
    assert await anext(outputs) == 0
    with pytest.raises(EngineUnavailable):
        await anext(outputs)
    assert len(vendor.attempts_s) == 1


async def test_an_answer_that_does_not_come_in_time_is_a_timeout_and_is_tried_again() -> None:
    vendor = Vendor(waits_s=(9.0,))
    with pytest.raises(EngineTimeout, match="no answer within 4 s"):
        await call(vendor, LIMITS.model_copy(update={"stage_s": 60.0}))
    assert vendor.gaps_s == pytest.approx([5.0, 6.0])


async def test_a_first_output_that_does_not_come_in_time_is_tried_again() -> None:
    vendor = Vendor(waits_s=(LIMITS.first_output_s + 1,))
    with pytest.raises(EngineTimeout, match="no output within 5 s"):
        await stream(vendor, LIMITS.model_copy(update={"stage_s": 60.0}))
    assert vendor.gaps_s == pytest.approx([6.0, 7.0])
    assert vendor.open == 0


@USES
async def test_no_attempt_follows_that_could_only_begin_after_the_stage_s_budget(use: Use) -> None:
    vendor = Vendor(waits_s=(60.0,))
    assert await took_s(use(vendor)) < LIMITS.stage_s + 0.001
    assert len(vendor.attempts_s) == (3 if use is call else 2)


async def test_an_attempt_ends_with_the_stage_s_budget() -> None:
    vendor = Vendor(waits_s=(60.0,))
    limits = LIMITS.model_copy(update={"stage_s": 8.0})
    assert await took_s(stream(vendor, limits)) == pytest.approx(8.0)
    assert vendor.gaps_s == pytest.approx([6.0])
    assert vendor.open == 0


async def test_the_budget_ends_with_the_first_output() -> None:
    vendor = Vendor(waits_s=(4.0,) * 6)
    assert await stream(vendor) == list(range(6)), "24 s, no silence above 5 s"


async def test_calls_within_a_block_have_no_more_time_than_that_has() -> None:
    vendor = Vendor(waits_s=(60.0,))
    with policy.ending_by(clock.now() + 2.0), policy.ending_by(clock.now() + 3.0):
        assert await took_s(stream(vendor)) == pytest.approx(2.0)
    assert await took_s(stream(vendor)) == pytest.approx(11.0)


async def test_work_that_nobody_waits_for_has_neither_budget_nor_breaker() -> None:
    limits = LIMITS.model_copy(update={"breaker_failures": 1, "stage_s": 1.0})
    vendor = Vendor(GONE, GONE, waits_s=(3.0,))
    assert await call(vendor, limits, live=False) == "answer"
    assert vendor.gaps_s == pytest.approx([4.0, 5.0])


@USES
async def test_a_wait_that_the_vendor_asks_for_takes_the_place_of_ours(use: Use) -> None:
    vendor = Vendor(busy(0.25), busy(7.5))
    await use(vendor)
    assert vendor.gaps_s == pytest.approx([0.25, 7.5])


@USES
async def test_a_wait_beyond_the_budget_is_not_begun(use: Use) -> None:
    vendor = Vendor(busy(LIMITS.stage_s + 1))
    assert await took_s(use(vendor)) < 0.001
    assert len(vendor.attempts_s) == 1


async def test_the_first_wait_is_a_setting() -> None:
    vendor = Vendor(GONE, GONE)
    await call(vendor, LIMITS.model_copy(update={"retry_wait_s": 0.1}))
    assert vendor.gaps_s == pytest.approx([0.1, 0.2])


@USES
async def test_who_watches_is_told_of_each_retry_and_of_nothing_else(use: Use) -> None:
    told = Told()
    with watched(told):
        await use(Vendor(GONE, busy(0.5)))
        with pytest.raises(EngineRejected):
            await use(Vendor(REFUSED))
    assert [error.fault for error in told.retries] == [Fault.CONNECTION, Fault.RATE_LIMIT]
    assert told.fallbacks == []


async def test_attempts_are_logged_with_the_fault_and_the_vendor_s_name_of_the_request() -> None:
    before = counted("retries_total")
    with capture_logs() as lines, pytest.raises(EngineRejected):
        await call(Vendor(busy(0.5), REFUSED))
    told = [line for line in lines if line["log_level"] == "warning"]
    where = {"stage": "speak", "engine": "fake", "log_level": "warning"}
    failed = {"attempt": 1, "error": "EngineUnavailable", "fault": "rate_limit", "retry_in_s": 0.5}
    over = {"attempt": 2, "error": "EngineRejected", "fault": "bad_request"}
    assert told == [
        where | failed | {"event": "attempt_failed", "vendor_request_id": "r-1"},
        where | over | {"event": "attempts_exhausted"},
    ]
    assert counted("retries_total") == before + 1


async def test_a_stream_that_falls_silent_is_a_timeout_and_is_closed() -> None:
    vendor = Vendor(waits_s=(0.0, LIMITS.between_outputs_s + 1))
    with pytest.raises(EngineTimeout):
        await stream(vendor)
    assert vendor.open == 0
    assert len(vendor.attempts_s) == 1


async def test_a_slow_consumer_does_not_count_as_a_slow_vendor() -> None:
    vendor = Vendor(waits_s=(0.1, 0.1, 0.1))
    async for _ in policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS):
        await asyncio.sleep(60.0)
    assert len(vendor.attempts_s) == 1


async def test_closing_early_closes_the_vendors_stream() -> None:
    vendor = Vendor()
    async with aclosing(policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS)) as outputs:
        assert await anext(outputs) == 0
        assert vendor.open == 1
    assert vendor.open == 0


async def test_cancelling_between_attempts_ends_it() -> None:
    vendor = Vendor(GONE, GONE)
    calling = asyncio.create_task(call(vendor))
    await asyncio.sleep(1.5)
    calling.cancel()
    await asyncio.wait({calling})
    assert calling.cancelled()
    assert len(vendor.attempts_s) == 2


async def test_an_answer_that_never_ends_is_ended_by_the_limit_of_the_call() -> None:
    vendor = Vendor(waits_s=(4.0,) * 1_000)
    outputs = policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS)
    assert [await anext(outputs) for _ in range(7)] == list(range(7))
    with pytest.raises(EngineTimeout, match="no end within 30 s"):
        await anext(outputs)
    assert clock.now() - vendor.attempts_s[0] == pytest.approx(LIMITS.call_s)
    assert (len(vendor.attempts_s), vendor.open) == (1, 0)


async def test_a_stream_without_outputs_ends_at_once() -> None:
    assert await stream(Vendor(waits_s=())) == []


async def test_an_error_of_ours_is_not_tried_again() -> None:
    async def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await policy.call("speak", "fake", lambda _: broken(), LIMITS, limit_s=4.0)


async def test_cancelling_before_the_first_output_closes_the_vendor_s_stream() -> None:
    vendor = Vendor(waits_s=(3.0,))
    streaming = asyncio.create_task(stream(vendor))
    await asyncio.sleep(1.0)
    assert vendor.open == 1
    streaming.cancel()
    await asyncio.wait({streaming})
    assert streaming.cancelled()
    assert vendor.open == 0


async def test_what_comes_before_the_beginning_shows_that_the_engine_is_at_work_and_no_more() -> None:
    vendor = Vendor(GONE, waits_s=(1.0, 1.0, 1.0, 1.0), fails_after=1)
    outputs = policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS, lambda output: output >= 2)
    assert [output async for output in outputs] == [2, 3], "failed after one that was no beginning, and tried again"
    assert vendor.gaps_s == pytest.approx([3.0])

    working = Vendor(waits_s=(4.0,) * 10)
    outputs = policy.stream("speak", "fake", lambda _: working.outputs(), LIMITS, lambda output: output >= 9)
    assert await took_s(anext(outputs)) == pytest.approx(LIMITS.stage_s), "it is no reason to wait for ever"
    assert working.open == 0
