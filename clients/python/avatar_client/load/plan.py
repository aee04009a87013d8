"""What a load is to be: how many users there are, when each begins and what each does. The seed decides all of it."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PAUSE_S: Final = (0.5, 2.0)
"""How long a user thinks before the next question: from, to."""
BARGE_IN_AFTER_S: Final = (0.5, 2.0)
"""How much of an answer a user has heard who interrupts it: from, to."""
SLOW_AFTER_S: Final = (0.2, 1.0)
"""How much of an answer has come when a slow reader stops reading: from, to."""
SLOW_FOR_S: Final = (2.0, 5.0)
"""How long a slow reader does not read: from, to. A service ends a stream that is not read for 10 s."""


class BadPlan(ValueError):
    """A plan that cannot be; the text names the field, the limit and the way out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A load.

    `sessions` users begin one after the other within `ramp_s`. Each asks, hears the answer, thinks, and asks again,
    until `duration_s` after the first began; with `turns`, a session ends after so many questions, and where
    `duration_s` is not over yet the user begins another. Shares are from 0 to 1: `barge_ins` of the answers are
    interrupted, `slow_readers` of the users stop reading for a few seconds in each of their answers. `texts` are asked
    in writing; without them users speak.
    """

    sessions: int = 10
    ramp_s: float = 0.0
    duration_s: float | None = 60.0
    turns: int | None = None
    barge_ins: float = 0.0
    slow_readers: float = 0.0
    texts: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises BadPlan."""
        _check("sessions", self.sessions, 1, 10_000)
        _check("ramp", self.ramp_s, 0.0, 3_600.0)
        _check("barge_ins", self.barge_ins, 0.0, 1.0)
        _check("slow_readers", self.slow_readers, 0.0, 1.0)
        if self.duration_s is None and self.turns is None:
            raise BadPlan("duration: a load without an end; give a duration, a number of turns, or both")
        if self.duration_s is not None:
            _check("duration", self.duration_s, 1.0, 86_400.0)
        if self.turns is not None:
            _check("turns", self.turns, 1, 100_000)
        if not all(text.strip() for text in self.texts):
            raise BadPlan("text: there is nothing to ask; give 1 to 4,000 characters")


@dataclass(frozen=True, slots=True)
class Step:
    """One question: how long the user thinks before it, which it is, and what the user does during the answer.

    The times count from the answer's first audio; None where the user does no such thing.
    """

    pause_s: float
    question: int
    barges_in_after_s: float | None
    stops_reading_after_s: float | None
    stops_reading_for_s: float


@dataclass(frozen=True, slots=True)
class UserPlan:
    """One user: when the first session begins, counted from the load's beginning."""

    number: int
    begins_s: float
    reads_slowly: bool


def user_plans(plan: Plan) -> list[UserPlan]:
    """The users in the order in which they begin."""
    chance = random.Random(plan.seed)
    slow = set(chance.sample(range(plan.sessions), round(plan.slow_readers * plan.sessions)))
    between_s = plan.ramp_s / plan.sessions
    return [UserPlan(number, number * between_s, number in slow) for number in range(plan.sessions)]


def steps(plan: Plan, user: UserPlan) -> Iterator[Step]:
    """What a user does, without end; over sessions it goes on where it was."""
    chance = random.Random(f"{plan.seed}/{user.number}")
    question = user.number
    while True:
        barges_in, reads_slowly = chance.random() < plan.barge_ins, user.reads_slowly
        times = [chance.uniform(*span) for span in (PAUSE_S, BARGE_IN_AFTER_S, SLOW_AFTER_S, SLOW_FOR_S)]
        yield Step(
            pause_s=times[0],
            question=question,
            barges_in_after_s=times[1] if barges_in else None,
            stops_reading_after_s=times[2] if reads_slowly and not barges_in else None,
            stops_reading_for_s=times[3],
        )
        question += 1


def _check(field: str, value: float, lowest: float, highest: float) -> None:
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise BadPlan(f"{field}: is {value:g}; give {lowest:g} to {highest:g}")
