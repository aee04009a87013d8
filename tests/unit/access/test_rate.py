"""How many messages a stream may bring."""

import time

import pytest

from avatar_service.access.rate import PIECES_PER_SECOND, MessageRate
from avatar_service.errors import OverloadError


def taken(rate: MessageRate, at_s: float, most: int = 100_000) -> int:
    """How many messages are taken at one moment until one is too many."""
    for count in range(most):
        try:
            rate.take(at_s)
        except OverloadError:
            return count
    return most


def test_messages_of_one_second_may_come_at_once_and_one_more_ends_the_stream() -> None:
    rate = MessageRate(200, 0.0)
    assert taken(rate, 0.0) == 200
    with pytest.raises(OverloadError, match="more than 200 messages a second came on this stream; resume") as error:
        rate.take(0.001)
    assert (error.value.reason, error.value.retry_after_s) == ("MESSAGE_RATE_EXCEEDED", 1.0)


def test_a_client_at_the_limit_is_served_for_hours() -> None:
    rate = MessageRate(200, 0.0)
    for index in range(200 * 3600):
        rate.take(index / 200)


def test_a_client_above_the_limit_is_ended_once_the_burst_is_used_up() -> None:
    rate = MessageRate(200, 0.0)
    for count in range(990):
        rate.take(count / 250)  # 50 a second too many, and 200 may be
    assert taken(rate, 990 / 250) < 12


def test_after_a_pause_there_is_room_for_one_burst_and_not_for_several() -> None:
    rate = MessageRate(10, 0.0)
    assert taken(rate, 0.0) == 10
    assert taken(rate, 3600.0) == 10
    assert taken(rate, 3600.5) == 5


def test_what_a_client_owes_may_come_once() -> None:
    owed = PIECES_PER_SECOND * 90
    rate = MessageRate(200, 0.0, owed=owed)
    assert taken(rate, 0.0) == 4_700
    assert taken(rate, 3600.0) == 200


def test_a_buffer_full_may_come_at_once_again_and_again() -> None:
    rate = MessageRate(200, 0.0, burst=1_500)
    assert taken(rate, 0.0) == 1_700
    assert taken(rate, 3600.0) == 1_700


def test_without_a_limit_everything_is_taken() -> None:
    assert taken(MessageRate(0, 0.0), 0.0) == 100_000


def test_a_message_costs_less_than_a_microsecond() -> None:
    """The least of several, since this machine is shared."""
    costs = []
    for _ in range(10):
        rate = MessageRate(1_000_000, 0.0)
        began_s = time.perf_counter()
        for index in range(10_000):
            rate.take(index / 1_000_000)
        costs.append((time.perf_counter() - began_s) / 10_000)
    assert min(costs) < 1e-6
