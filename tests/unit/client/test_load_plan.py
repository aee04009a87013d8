"""Who does what when in a load: the seed decides, and says the same each time."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest

from avatar_client.load.plan import BARGE_IN_AFTER_S, PAUSE_S, BadPlan, Plan, Step, steps, user_plans

PLAN = Plan(sessions=20, ramp_s=10.0, barge_ins=0.3, slow_readers=0.25, seed=3)


def first_steps(plan: Plan, number: int, count: int = 400) -> list[Step]:
    return list(itertools.islice(steps(plan, user_plans(plan)[number]), count))


def test_users_begin_one_after_the_other_within_the_ramp() -> None:
    begins = [user.begins_s for user in user_plans(PLAN)]
    assert begins == [number * 0.5 for number in range(20)]
    assert [user.begins_s for user in user_plans(replace(PLAN, ramp_s=0.0))] == [0.0] * 20


def test_the_share_of_slow_readers_is_exact_and_they_are_not_the_first_ones() -> None:
    slow = [user.number for user in user_plans(PLAN) if user.reads_slowly]
    assert len(slow) == 5
    assert slow != list(range(5))


def test_the_same_seed_plans_the_same_and_another_one_does_not() -> None:
    assert user_plans(PLAN) == user_plans(replace(PLAN))
    assert first_steps(PLAN, 2) == first_steps(replace(PLAN), 2)
    assert first_steps(PLAN, 2) != first_steps(replace(PLAN, seed=4), 2)
    assert first_steps(PLAN, 2) != first_steps(PLAN, 3)


def test_about_the_share_of_the_answers_is_interrupted_at_times_within_the_span() -> None:
    planned = [step.barges_in_after_s for step in first_steps(PLAN, 0)]
    after_s = [seconds for seconds in planned if seconds is not None]
    assert 0.2 < len(after_s) / len(planned) < 0.4
    assert BARGE_IN_AFTER_S[0] <= min(after_s) <= max(after_s) <= BARGE_IN_AFTER_S[1]


def test_slow_readers_stop_reading_in_every_answer_that_they_hear_to_its_end_and_nobody_else_does() -> None:
    for user in user_plans(PLAN):
        for step in first_steps(PLAN, user.number, 50):
            stops = step.stops_reading_after_s is not None
            assert stops == (user.reads_slowly and step.barges_in_after_s is None)


def test_users_think_before_each_question_and_ask_another_one_each_time() -> None:
    planned = first_steps(PLAN, 4)
    assert all(PAUSE_S[0] <= step.pause_s <= PAUSE_S[1] for step in planned)
    assert [step.question for step in planned] == list(range(4, 404))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sessions": 0}, "sessions: is 0; give 1 to 10000"),
        ({"ramp_s": -1.0}, "ramp: is -1"),
        ({"ramp_s": math.nan}, "ramp: is nan"),
        ({"duration_s": math.inf}, "duration: is inf"),
        ({"duration_s": None}, "duration: a load without an end"),
        ({"turns": 0}, "turns: is 0"),
        ({"barge_ins": 1.1}, "barge_ins: is 1.1; give 0 to 1"),
        ({"slow_readers": -0.1}, "slow_readers: is -0.1"),
        ({"texts": ("Hi", " ")}, "text: there is nothing to ask"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_its_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadPlan, match=words):
        Plan(**changes)
