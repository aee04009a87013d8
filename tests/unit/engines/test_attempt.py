"""One request to an engine, as logs and metrics tell it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import pytest
from structlog.testing import capture_logs

from avatar_service import metrics
from avatar_service.engines import policy
from avatar_service.engines.attempt import Attempt
from avatar_service.errors import EngineRejected, EngineTimeout, EngineUnavailable, Fault
from tests.measuring import Growth
from tests.scenario import LIMITS


def counted(outcome: str) -> float:
    labels = {"stage": "speak", "engine": "fake", "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("avatar_engine_attempts_total", labels) or 0.0


def first_outputs() -> tuple[float, float]:
    labels = {"stage": "speak", "engine": "fake"}
    sampled = (
        metrics.REGISTRY.get_sample_value(f"avatar_engine_first_output_seconds_{n}", labels) for n in ("count", "sum")
    )
    count, total = (value or 0.0 for value in sampled)
    return count, total


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (EngineTimeout("speak", "fake", "late"), "timeout"),
        (EngineUnavailable("speak", "fake", "gone"), "unavailable"),
        (EngineRejected("speak", "fake", "no"), "rejected"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (ZeroDivisionError(), "error"),
    ],
)
async def test_an_attempt_is_counted_by_how_it_ended(error: BaseException | None, outcome: str) -> None:
    before = counted(outcome)
    with suppress(BaseException), Attempt("speak", "fake"):
        if error:
            raise error
    assert counted(outcome) == before + 1


async def test_the_first_output_is_timed_and_later_ones_are_not() -> None:
    count, total = first_outputs()
    with Attempt("speak", "fake") as attempt:
        await asyncio.sleep(0.3)
        attempt.output()
        await asyncio.sleep(2.0)
        attempt.output()
    after, total_after = first_outputs()
    assert after == count + 1
    assert total_after - total == pytest.approx(0.3)


async def test_start_and_end_are_logged_with_times() -> None:
    with capture_logs() as lines, Attempt("speak", "fake", 2, 3) as attempt:
        await asyncio.sleep(0.25)
        attempt.output()
        await asyncio.sleep(0.25)
    started, finished = lines
    who = {"stage": "speak", "engine": "fake", "attempt": 2, "attempts": 3, "log_level": "debug"}
    assert started == {"event": "attempt_started"} | who
    times = {"duration_ms": 500, "first_output_ms": 250, "outputs": 1, "outcome": "ok"}
    assert finished == {"event": "attempt_finished"} | who | times


async def test_a_failure_is_logged_by_its_fault_and_the_vendors_name_of_the_request() -> None:
    with capture_logs() as lines, suppress(EngineRejected), Attempt("speak", "fake"):
        raise EngineRejected("speak", "fake", "no", Fault.QUOTA, request_id="req_1")
    finished = lines[-1]
    assert (finished["outcome"], finished["fault"], finished["vendor_request_id"]) == ("rejected", "quota", "req_1")


@pytest.mark.parametrize("told", ["Incorrect key sk-1", "a\nb", "x" * 200, "", None])
async def test_what_is_no_name_of_a_request_is_not_logged(told: str | None) -> None:
    with capture_logs() as lines, Attempt("speak", "fake") as attempt:
        attempt.identified(told)
    assert "vendor_request_id" not in lines[-1]


async def test_the_whole_of_a_request_is_timed_and_its_bytes_are_counted() -> None:
    growth, labels = Growth(), {"stage": "speak", "engine": "fake"}
    with capture_logs() as lines, Attempt("speak", "fake") as attempt:
        for size_bytes in (100, 20):
            await asyncio.sleep(0.2)
            attempt.received(size_bytes)
            attempt.output()
    assert growth("avatar_engine_request_seconds_sum", **labels) == pytest.approx(0.4)
    assert growth("avatar_engine_received_bytes_total", **labels) == 120
    assert (lines[-1]["bytes"], lines[-1]["outputs"]) == (120, 2)


async def test_every_attempt_of_a_call_is_told_and_so_is_the_last_failure() -> None:
    async def attempt() -> str:
        raise EngineUnavailable("speak", "fake", "gone")

    with capture_logs() as lines, pytest.raises(EngineUnavailable):
        await policy.call("speak", "fake", lambda _: attempt(), LIMITS, limit_s=4.0)
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [(line["event"], line["attempt"], line.get("retry_in_s")) for line in warnings] == [
        ("attempt_failed", 1, 1.0),
        ("attempt_failed", 2, 2.0),
        ("attempts_exhausted", 3, None),
    ]


async def test_a_stream_that_is_closed_early_is_a_cancelled_attempt() -> None:
    async def attempt() -> AsyncGenerator[int, None]:
        while True:
            yield 1

    before = counted("cancelled")
    async with aclosing(policy.stream("speak", "fake", lambda _: attempt(), LIMITS)) as outputs:
        await anext(outputs)
    assert counted("cancelled") == before + 1
