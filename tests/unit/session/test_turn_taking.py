"""Whose turn it is: the state machine alone."""

import random

import pytest

from avatar_service.events import Cause, Source
from avatar_service.media.types import Utterance
from avatar_service.session.turn_taking import Decision, EndSession, InterruptTurn, RefuseInput, StartTurn, TurnTaking
from avatar_service.turn.turn import UserInput

ONE, TWO = UserInput(Source.TEXT, text="one"), UserInput(Source.TEXT, text="two")


def spoken(utterance_id: int) -> UserInput:
    return UserInput(Source.UTTERANCE, utterances=(Utterance(utterance_id, b"", 16_000, 0.0, 1.0),))


def busy(*waiting: UserInput, barge_in: bool = True) -> TurnTaking:
    """Somebody's turn is going on, and these inputs wait."""
    taking = TurnTaking(8, barge_in=barge_in)
    assert taking.said(ONE, interrupts=False) == [StartTurn(ONE)]
    for user_input in waiting:
        assert taking.said(user_input, interrupts=False) == []
    return taking


def ended(taking: TurnTaking) -> TurnTaking:
    """The client will send nothing more."""
    assert taking.input_ended() == []
    return taking


def test_when_nobody_speaks_an_input_is_answered_at_once() -> None:
    assert TurnTaking(8, barge_in=True).said(ONE, interrupts=False) == [StartTurn(ONE)]
    assert TurnTaking(8, barge_in=True).said(ONE, interrupts=True) == [StartTurn(ONE)]


def test_a_voice_when_nobody_speaks_decides_nothing() -> None:
    assert TurnTaking(8, barge_in=True).speech_began(1) == []


def test_a_voice_stops_the_turn() -> None:
    assert busy().speech_began(3) == [InterruptTurn(Cause.BARGE_IN, 3)]


def test_without_barge_in_it_does_not() -> None:
    assert busy(barge_in=False).speech_began(3) == []


def test_text_replaces_the_turn() -> None:
    assert busy().said(TWO, interrupts=True) == [InterruptTurn(Cause.REPLACED), StartTurn(TWO)]


def test_what_does_not_interrupt_waits_and_comes_in_order() -> None:
    taking = busy(TWO, spoken(1))
    assert taking.turn_ended() == [StartTurn(TWO)]
    assert taking.turn_ended() == [StartTurn(spoken(1))]
    assert taking.turn_ended() == []


def test_too_much_that_waits_is_refused() -> None:
    taking = busy(*[TWO] * 8)
    assert taking.said(TWO, interrupts=False) == [RefuseInput(TWO)]
    taking.turn_ended()
    assert taking.said(TWO, interrupts=False) == []


def test_an_interrupt_stops_the_turn_and_drops_the_text_that_waits() -> None:
    assert busy().interrupt() == [InterruptTurn(Cause.REQUESTED)]
    assert busy(TWO).interrupt() == [InterruptTurn(Cause.REQUESTED)]


def test_after_an_interrupt_what_the_user_said_meanwhile_is_answered() -> None:
    assert busy(TWO, spoken(1)).interrupt() == [InterruptTurn(Cause.REQUESTED), StartTurn(spoken(1))]


def test_an_interrupt_when_nobody_speaks_decides_nothing() -> None:
    assert TurnTaking(8, barge_in=True).interrupt() == []


def test_a_session_ends_when_its_input_has_and_every_turn_is_over() -> None:
    assert TurnTaking(8, barge_in=True).input_ended() == [EndSession()]
    assert ended(busy()).turn_ended() == [EndSession()]
    assert ended(busy()).interrupt() == [InterruptTurn(Cause.REQUESTED), EndSession()]
    taking = ended(busy(TWO))
    assert taking.turn_ended() == [StartTurn(TWO)]
    assert taking.turn_ended() == [EndSession()]


def test_utterances_that_were_not_understood_are_answered_with_the_next_one() -> None:
    taking = TurnTaking(8, barge_in=True)
    taking.said(spoken(1), interrupts=False)
    taking.speech_began(2)
    taking.carry_over(spoken(1).utterances)
    (decision,) = taking.said(spoken(2), interrupts=False)
    assert isinstance(decision, StartTurn)
    assert [utterance.utterance_id for utterance in decision.user_input.utterances] == [1, 2]


def test_a_voice_drops_text_that_waits_and_keeps_utterances() -> None:
    taking = busy(TWO, spoken(1))
    taking.speech_began(2)
    (decision,) = taking.said(spoken(2), interrupts=False)
    assert isinstance(decision, StartTurn)
    assert [utterance.utterance_id for utterance in decision.user_input.utterances] == [1, 2]


class Walk:
    """Follows decisions as a session does, and objects to those that cannot be followed."""

    def __init__(self, taking: TurnTaking) -> None:
        self.taking = taking
        self.running = False
        self.answered = self.refused = self.ends = 0

    def follow(self, decisions: list[Decision]) -> None:
        """Do what was decided."""
        for decision in decisions:
            assert not self.ends
            assert self.running == isinstance(decision, InterruptTurn | RefuseInput)
            self.running = isinstance(decision, StartTurn | RefuseInput)
            self.answered += isinstance(decision, StartTurn)
            self.refused += isinstance(decision, RefuseInput)
            self.ends += isinstance(decision, EndSession)
        assert self.taking.busy == self.running

    def end_turn(self) -> None:
        """The current turn, if any, comes to its end by itself."""
        if self.running:
            self.running = False
            self.follow(self.taking.turn_ended())


@pytest.mark.parametrize("seed", range(300))
def test_on_any_walk_turns_do_not_overlap_and_the_session_ends_once(seed: int) -> None:
    chance = random.Random(seed)
    taking = TurnTaking(chance.randint(1, 4), barge_in=chance.random() < 0.7)
    walk, given = Walk(taking), 0
    for number in range(200):
        match chance.randrange(4):
            case 0:
                walk.follow(taking.said(UserInput(Source.TEXT, text=str(number)), interrupts=chance.random() < 0.3))
                given += 1
            case 1:
                walk.follow(taking.speech_began(number))
            case 2:
                walk.follow(taking.interrupt())
            case _:
                walk.end_turn()
    walk.follow(taking.input_ended())
    while walk.running:
        walk.end_turn()
    assert walk.ends == 1
    assert walk.answered + walk.refused <= given
