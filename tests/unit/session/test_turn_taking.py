"""Whose turn it is: the state machine alone."""

import random

import pytest

from avatar_service.events import Cause, Source
from avatar_service.media.types import Utterance
from avatar_service.session.turn_taking import (
    AwaitRest,
    CancelTools,
    Decision,
    EndSession,
    InterruptTurn,
    RefuseInput,
    StartTurn,
    TellFalseBargeIn,
    TurnTaking,
)
from avatar_service.turn.rest import UnheardRest
from avatar_service.turn.turn import UserInput

ONE, TWO = UserInput(Source.TEXT, text="one"), UserInput(Source.TEXT, text="two")

REST = UnheardRest(4, "about to rise.", utterance_id=5)


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


def waits_for_tools(*waiting: UserInput, barge_in: bool = True) -> TurnTaking:
    """A turn is over that asked for tools."""
    taking = busy(*waiting, barge_in=barge_in)
    assert taking.turn_ended(awaits_tools=True) == []
    return taking


def test_while_tools_work_the_turn_is_still_taken() -> None:
    taking = waits_for_tools(TWO)
    assert taking.said(TWO, interrupts=False) == []
    assert taking.tools_returned(ONE) == [StartTurn(ONE)]
    assert taking.turn_ended() == [StartTurn(TWO)]


def test_a_voice_text_and_an_interrupt_cancel_the_tools() -> None:
    assert waits_for_tools().speech_began(2) == [CancelTools(Cause.BARGE_IN, 2)]
    assert waits_for_tools().said(TWO, interrupts=True) == [CancelTools(Cause.REPLACED), StartTurn(TWO)]
    assert waits_for_tools(spoken(1)).interrupt() == [CancelTools(Cause.REQUESTED), StartTurn(spoken(1))]
    assert waits_for_tools(barge_in=False).speech_began(2) == []


def coughed(rest: UnheardRest = REST) -> TurnTaking:
    """A voice has stopped a turn, and is being transcribed."""
    taking = busy()
    taking.speech_began(rest.utterance_id)
    taking.left_unheard(rest)
    taking.said(spoken(rest.utterance_id), interrupts=False)
    return taking


def test_what_a_cough_left_unheard_is_spoken_when_its_wait_is_over() -> None:
    taking = coughed()
    assert taking.turn_ended(skipped=True) == [AwaitRest(REST)]
    assert taking.rest_due(4) == [TellFalseBargeIn(REST), StartTurn(REST.spoken(Source.FALSE_BARGE_IN))]
    assert taking.turn_ended() == []
    assert taking.rest_due(4) == []


def test_it_waits_while_the_user_speaks_again() -> None:
    taking = coughed()
    taking.turn_ended(skipped=True)
    assert taking.speech_began(6) == []
    assert taking.rest_due(4) == []
    taking.said(spoken(6), interrupts=False)
    assert taking.rest_due(4) == []
    assert taking.turn_ended(skipped=True) == [AwaitRest(REST)]


@pytest.mark.parametrize("drop", ["words", "interrupt", "say"])
def test_words_text_and_an_interrupt_drop_it(drop: str) -> None:
    taking = coughed()
    match drop:
        case "words":
            taking.turn_ended()
        case "interrupt":
            taking.interrupt()
        case _:
            taking.said(TWO, interrupts=False)
    while taking.busy:
        assert AwaitRest(REST) not in taking.turn_ended(skipped=True)
    assert taking.rest_due(4) == []


def test_a_rest_of_another_turn_is_not_due() -> None:
    taking = coughed()
    taking.turn_ended(skipped=True)
    assert taking.rest_due(3) == []


def test_when_the_input_has_ended_the_rest_does_not_wait() -> None:
    taking = ended(coughed())
    assert taking.turn_ended(skipped=True)[0] == TellFalseBargeIn(REST)
    assert taking.turn_ended() == [EndSession()]
    taking = coughed()
    taking.turn_ended(skipped=True)
    assert taking.input_ended()[0] == TellFalseBargeIn(REST)


def test_transcripts_that_are_known_go_with_what_is_carried() -> None:
    taking = TurnTaking(8, barge_in=True)
    taking.said(spoken(1), interrupts=False)
    taking.speech_began(2)
    taking.carry_over(spoken(1).utterances, ("How far",))
    (decision,) = taking.said(spoken(2), interrupts=False)
    assert isinstance(decision, StartTurn)
    assert decision.user_input.texts == ("How far",)
    assert taking.carried_texts == ()


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
