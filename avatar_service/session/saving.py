"""What a session leaves behind at any moment, and how another stream goes on from it."""

from dataclasses import replace

from avatar_service.events import Source
from avatar_service.media.heard import Spoken
from avatar_service.session.config import SessionConfig
from avatar_service.session.inputs import PlaybackReport
from avatar_service.session.saved import SavedInput, SavedSession, SavedTurn
from avatar_service.session.turn_taking import TurnTaking
from avatar_service.session.turns import Turns
from avatar_service.turn.history import History
from avatar_service.turn.rest import UnheardRest, unheard_text
from avatar_service.turn.turn import Turn, UserInput


def begins_with(
    config: SessionConfig, resumed: SavedSession | None, played: PlaybackReport | None, history: History
) -> list[UserInput]:
    """What a session begins with by itself: its first message, or what another stream has left of it."""
    if resumed is None or not resumed.last_turn_id:  # nothing was begun: the first message is still owed
        first = UserInput(Source.FIRST_MESSAGE, text=config.first_message)
        return [first] if config.first_message else []
    waiting = [waiting_input(saved) for saved in resumed.waiting]
    if resumed.turn is None:
        return waiting
    is_played = played is not None and played.turn_id == resumed.turn.turn_id
    rest = go_on(resumed.turn, played.position_s if played and is_played else None, history)
    return [rest, *waiting] if rest else waiting


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


def saved_input(waiting: UserInput) -> SavedInput:
    """A text that waits for its turn."""
    return SavedInput(waiting.source, waiting.text, waiting.request_id, waiting.remembered)


def waiting_input(saved: SavedInput) -> UserInput:
    """A text that goes on waiting."""
    return UserInput(saved.source, text=saved.text, request_id=saved.request_id, remembered=saved.remembered)


def go_on(saved: SavedTurn, played_s: float | None, history: History) -> UserInput | None:
    """What the turn that resumes another is given; None if nothing is left to be said. What was said and heard of that
    other goes into the history. `played_s` is how much of it the client has played, where it says so."""
    spoken = Spoken(sentences=list(saved.sentences), words=list(saved.words))
    heard = spoken.heard(saved.played_s if played_s is None else played_s)
    text = unheard_text(saved.reply_text, heard.text, is_whole=saved.reply_finished)
    if saved.remembered:
        history.answered(saved.said, heard.text, saved.tool_messages)
    # An utterance that was not understood is heard again: its audio was not acknowledged.
    owes = not saved.reply_finished and bool(saved.said or saved.source is not Source.UTTERANCE)
    if not (text or owes):
        return None
    rest = UnheardRest(saved.turn_id, text, unfinished=owes, remembered=saved.remembered)
    return replace(rest.spoken(Source.RESUME), request_id=saved.request_id)
