"""What another stream can mend, how long is waited between attempts, and when it is given up. In virtual time."""

import asyncio

import grpc
import pytest

from avatar.v1 import ErrorInfo, Status
from avatar_client.clock import now
from avatar_client.errors import InvalidRequest, ServiceError, Unavailable
from avatar_client.mending import Trouble, is_mendable, wait

GONE = Unavailable(grpc.StatusCode.UNAVAILABLE, "the connection broke")


def error(code: grpc.StatusCode, reason: str = "") -> ServiceError:
    return ServiceError(code, "", Status(error_info=ErrorInfo(reason=reason)) if reason else None)


@pytest.mark.parametrize(
    ("failure", "mendable"),
    [
        (error(grpc.StatusCode.UNAVAILABLE), True),
        (error(grpc.StatusCode.UNAVAILABLE, "DRAINING"), True),
        (error(grpc.StatusCode.INTERNAL), True),  # a proxy's reset
        (error(grpc.StatusCode.INTERNAL, "INTERNAL"), False),  # the service's own fault
        (error(grpc.StatusCode.CANCELLED), True),
        (error(grpc.StatusCode.ABORTED, "SESSION_AGE_REACHED"), True),
        (error(grpc.StatusCode.ABORTED, "SESSION_TAKEN_OVER"), False),
        (error(grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSIONS_EXHAUSTED"), True),
        (error(grpc.StatusCode.RESOURCE_EXHAUSTED, "DRAINING"), True),
        (error(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"), True),
        (error(grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_RATE_EXCEEDED"), True),
        (error(grpc.StatusCode.RESOURCE_EXHAUSTED, "READER_TOO_SLOW"), False),
        (error(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE"), False),
        (error(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"), False),
        (error(grpc.StatusCode.UNAUTHENTICATED), False),
        (error(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED"), False),
        (InvalidRequest(grpc.StatusCode.INVALID_ARGUMENT, ""), False),
        (ValueError(), False),
    ],
)
def test_a_lost_connection_is_mendable_and_a_refusal_is_not(failure: Exception, mendable: bool) -> None:
    assert is_mendable(failure) == mendable


async def test_the_first_attempt_is_made_at_once_and_the_waits_grow_to_2_seconds() -> None:
    trouble = Trouble(60.0, wait=lambda longest_s: longest_s)
    trouble.breaks()
    waits = [trouble.next_wait_s(GONE) for _ in range(8)]
    assert waits == pytest.approx([0, 0.2, 0.4, 0.8, 1.6, 2, 2, 2])


async def test_waits_are_spread_so_that_many_clients_do_not_come_back_at_one_moment() -> None:
    waits = set()
    for _ in range(20):
        trouble = Trouble(60.0)
        trouble.breaks()
        trouble.next_wait_s(GONE)
        waits.add(trouble.next_wait_s(GONE))
    assert len(waits) > 10
    assert all(0.1 <= wait_s <= 0.2 for wait_s in waits)


async def test_it_is_given_up_in_time_with_the_last_reason() -> None:
    began_s = now()
    trouble = Trouble(60.0)
    trouble.breaks()

    async def attempt_for_ever() -> None:
        while True:
            await asyncio.sleep(trouble.next_wait_s(GONE))

    with pytest.raises(Unavailable, match="could not be resumed within 60 s: the connection broke"):
        await attempt_for_ever()
    assert 50 < now() - began_s <= 60


async def test_a_break_soon_after_the_last_one_is_the_same_trouble_and_a_late_one_is_not() -> None:
    trouble = Trouble(60.0, wait=lambda longest_s: longest_s)
    trouble.breaks()
    trouble.next_wait_s(GONE)
    trouble.mended()
    await asyncio.sleep(9.0)
    trouble.breaks()
    assert trouble.next_wait_s(GONE) == pytest.approx(0.2)
    trouble.mended()
    await asyncio.sleep(10.0)
    trouble.breaks()
    assert trouble.next_wait_s(GONE) == 0.0


async def test_the_service_may_ask_for_a_longer_wait() -> None:
    full = ServiceError(grpc.StatusCode.RESOURCE_EXHAUSTED, "", Status())
    full.retry_delay_s = 2.5
    trouble = Trouble(60.0)
    trouble.breaks()
    assert trouble.next_wait_s(GONE) == 0.0
    assert trouble.next_wait_s(full) == 2.5


async def test_a_wait_ends_when_the_stream_is_closed() -> None:
    closed = asyncio.Event()
    began_s = now()
    asyncio.get_running_loop().call_later(1.0, closed.set)
    await wait(closed, 5.0)
    assert now() - began_s == pytest.approx(1.0)
