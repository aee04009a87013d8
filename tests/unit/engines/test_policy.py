"""How vendor calls are limited and tried again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from avatar_service import clock
from avatar_service.engines import policy
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from tests.scenario import LIMITS

GONE = EngineUnavailable("speak", "fake", "gone")
REFUSED = EngineRejected("speak", "fake", "refused")


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


async def call(vendor: Vendor) -> str:
    return await policy.call("speak", "fake", lambda _: vendor.answer(), LIMITS, limit_s=4.0)


async def stream(vendor: Vendor) -> list[int]:
    async with aclosing(policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS)) as outputs:
        return [output async for output in outputs]


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


async def test_after_the_third_attempt_its_error_is_raised() -> None:
    last = EngineTimeout("speak", "fake", "the last one")
    for use in (call, stream):
        vendor = Vendor(GONE, GONE, last)
        with pytest.raises(EngineTimeout, match="the last one"):
            await use(vendor)
        assert len(vendor.attempts_s) == 3


async def test_a_refusal_is_not_tried_again() -> None:
    for use in (call, stream):
        vendor = Vendor(REFUSED)
        with pytest.raises(EngineRejected):
            await use(vendor)
        assert len(vendor.attempts_s) == 1


async def test_after_the_first_output_nothing_is_tried_again() -> None:
    vendor = Vendor(GONE, fails_after=1)
    outputs = policy.stream("speak", "fake", lambda _: vendor.outputs(), LIMITS)
    assert await anext(outputs) == 0
    with pytest.raises(EngineUnavailable):
        await anext(outputs)
    assert len(vendor.attempts_s) == 1


async def test_an_answer_that_does_not_come_in_time_is_a_timeout_and_is_tried_again() -> None:
    vendor = Vendor(waits_s=(9.0,))
    began_s = clock.now()
    with pytest.raises(EngineTimeout, match="no answer within 4 s"):
        await call(vendor)
    assert clock.now() - began_s == pytest.approx(3 * 4.0 + 1.0 + 2.0)


async def test_a_first_output_that_does_not_come_in_time_is_tried_again() -> None:
    vendor = Vendor(waits_s=(LIMITS.first_output_s + 1,))
    with pytest.raises(EngineTimeout, match="no output within 5 s"):
        await stream(vendor)
    assert vendor.gaps_s == pytest.approx([6.0, 7.0])
    assert vendor.open == 0


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
