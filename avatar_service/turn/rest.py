"""What of a reply the user did not hear, for a turn that goes on with it."""

from dataclasses import dataclass

from avatar_service.events import Source
from avatar_service.stages.split import SentenceSplitter
from avatar_service.turn.turn import Turn, UserInput


@dataclass(frozen=True, slots=True)
class UnheardRest:
    """The rest of a reply that was broken off."""

    turn_id: int
    text: str
    utterance_id: int = 0
    """The utterance that barged in; 0 if the reply was cut in another way."""
    interrupted_at_s: float = 0.0
    """The moment of the barge-in on the loop's clock."""
    unfinished: bool = False
    """Whether the chat model still owes an answer behind the text."""
    remembered: bool = True

    def spoken(self, source: Source) -> UserInput:
        """What a turn that speaks it is given."""
        return UserInput(
            source,
            text=self.text,
            remembered=self.remembered,
            resumes_turn_id=self.turn_id,
            unfinished=self.unfinished,
        )


def unheard_text(reply_text: str, heard_text: str, *, is_whole: bool) -> str:
    """What of a reply follows the last word that was heard. If more was to be written it ends with a whole sentence,
    since nobody can say how the next would have gone on."""
    end = len(reply_text.rstrip())
    if not is_whole:
        splitter = SentenceSplitter()
        splitter.push(reply_text)
        end -= sum(map(len, splitter.flush()))
    return reply_text[_behind(heard_text, reply_text) : end].strip()


def _behind(words: str, text: str) -> int:
    """Where in `text`, which begins with `words`, these end; white space may differ."""
    left = sum(not character.isspace() for character in words)
    for place, character in enumerate(text):
        if not left:
            return place
        left -= not character.isspace()
    return len(text)


def unheard_rest(turn: Turn, utterance_id: int, now_s: float) -> UnheardRest | None:
    """What a turn that was just interrupted leaves to be said; None if that is nothing."""
    given, reply, heard = turn.user_input, turn.reply, turn.heard
    text = unheard_text(reply.to_speak, heard.text, is_whole=reply.written)
    says_nothing = not (text or heard.text or given.recited)
    owes = says_nothing or bool(reply.tool_calls) or (given.unfinished and not reply.written)
    return UnheardRest(turn.turn_id, text, utterance_id, now_s, owes, given.remembered) if text or owes else None
