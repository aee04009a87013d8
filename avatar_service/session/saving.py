"""What a session leaves behind at any moment, and how another stream goes on from it."""

from dataclasses import dataclass, replace

from avatar_service.events import Outcome, Source, TurnCompleted
from avatar_service.media.heard import Spoken
from avatar_service.session.config import SessionConfig
from avatar_service.session.inputs import PlaybackReport
from avatar_service.session.saved import SavedEnd, SavedInput, SavedSession, SavedTurn
from avatar_service.session.turn_taking import TurnTaking
from avatar_service.session.turns import Turns
from avatar_service.turn.history import History
from avatar_service.turn.rest import UnheardRest, unheard_text
from avatar_service.turn.turn import Turn, UserInput


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a session begins with by itself: inputs, and the end of a turn of the stream before."""

    inputs: list[UserInput]
    ended: SavedEnd | None = None


def begins_with(
    config: SessionConfig, resumed: SavedSession | None, played: PlaybackReport | None, history: History
) -> Beginning:
    """A new session begins with its first message, a resumed one with what another stream has left of it."""
    if resumed is None or not resumed.last_turn_id:  # nothing was begun: the first message is still owed
        first = UserInput(Source.FIRST_MESSAGE, text=config.first_message)
        return Beginning([first] if config.first_message else [])
    waiting = [waiting_input(saved) for saved in resumed.waiting]
    if resumed.turn is None:
        return Beginning(waiting, resumed.ended)
    is_played = played is not None and played.turn_id == resumed.turn.turn_id
    rest = go_on(resumed.turn, played.position_s if played and is_played else None, history)
    return Beginning(waiting, rest) if isinstance(rest, SavedEnd) else Beginning([rest, *waiting], resumed.ended)


def unfinished(turns: Turns, taking: TurnTaking) -> SavedTurn | None:
    """What of the answer to the user is still to come."""
    turn, rest = turns.current, taking.rest
    if turn and (turn.said or turn.user_input.recited or turn.user_input.tool_messages or not rest):
        return saved_turn(turn)
    if said := " ".join(filter(None, taking.carried_texts)):
        return owed_answer(turns.last_id, said)
    if taking.awaits_tools:
        return owed_answer(turns.last_id)
    return saved_rest(rest) if rest else None


def saved_turn(turn: Turn) -> SavedTurn:
    """A turn that runs."""
    given, reply = turn.user_input, turn.reply
    recited = given.text if given.recited else ""
    written = reply.written if reply.text else bool(recited) and not given.unfinished
    return SavedTurn(
        turn_id=turn.turn_id,
        source=given.source,
        said=turn.said,
        sentences=tuple(turn.spoken.sentences),
        words=tuple(turn.spoken.words),
        reply_text=reply.to_speak or recited,
        reply_finished=written and not reply.tool_calls,
        played_s=turn.heard_s,
        remembered=given.remembered,
        tool_messages=given.tool_messages,
        request_id=given.request_id,
    )


def saved_rest(rest: UnheardRest) -> SavedTurn:
    """What may still be spoken of a turn that is over."""
    return SavedTurn(
        turn_id=rest.turn_id,
        source=Source.FALSE_BARGE_IN,
        said="",
        reply_text=rest.text,
        reply_finished=not rest.unfinished,
        remembered=rest.remembered,
    )


def owed_answer(turn_id: int, said: str = "") -> SavedTurn:
    """A turn that is over, but whose question, or these words beyond it, is still to be answered."""
    return SavedTurn(turn_id=turn_id, source=Source.RESUME, said=said)


def saved_end(completed: TurnCompleted) -> SavedEnd:
    """The end of a turn, without what it took."""
    return SavedEnd(
        completed.turn_id,
        completed.outcome,
        completed.generated_text,
        completed.heard_text,
        completed.heard_estimated,
        completed.failure,
    )


def told_again(ended: SavedEnd) -> TurnCompleted:
    """The end of a turn, for a client that may not have heard of it."""
    return TurnCompleted(
        ended.turn_id,
        ended.outcome,
        ended.generated_text,
        ended.heard_text,
        heard_estimated=ended.heard_estimated,
        failure=ended.failure,
    )


def saved_input(waiting: UserInput) -> SavedInput:
    """A text that waits for its turn."""
    return SavedInput(waiting.source, waiting.text, waiting.request_id, waiting.remembered)


def waiting_input(saved: SavedInput) -> UserInput:
    """A text that goes on waiting."""
    return UserInput(saved.source, text=saved.text, request_id=saved.request_id, remembered=saved.remembered)


def go_on(saved: SavedTurn, played_s: float | None, history: History) -> UserInput | SavedEnd:
    """What the turn that resumes another is given, or how that one ended if nothing is left to be said. What was said
    and heard of it goes into the history. `played_s` is how much of it the client has played, where it says so."""
    spoken = Spoken(sentences=list(saved.sentences), words=list(saved.words))
    heard = spoken.heard(saved.played_s if played_s is None else played_s)
    text = unheard_text(saved.reply_text, heard.text, is_whole=saved.reply_finished)
    if saved.remembered:
        history.answered(saved.said, heard.text, saved.tool_messages)
    # An utterance that was not understood is heard again: its audio was not acknowledged.
    understood = bool(saved.said or saved.source is not Source.UTTERANCE)
    owes = understood and not saved.reply_finished
    if not (text or owes):
        outcome = Outcome.COMPLETED if understood else Outcome.SKIPPED
        return SavedEnd(saved.turn_id, outcome, saved.reply_text, heard.text, heard.estimated or played_s is None)
    rest = UnheardRest(saved.turn_id, text, unfinished=owes, remembered=saved.remembered)
    return replace(rest.spoken(Source.RESUME), request_id=saved.request_id)
