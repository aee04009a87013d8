"""Generated sentences for training speech, a tenth of them held out by their hash."""

import hashlib
from collections.abc import Iterator

import numpy as np

HELD_OUT_SHARE = 10  # one in ten


def _phrases(text: str) -> list[str]:
    """The phrases of a text that separates them by bars."""
    return [" ".join(phrase.split()) for phrase in text.split("|")]


_PEOPLE = _phrases("""
my father | the young doctor | her best friend | a famous author | the whole family | our neighbour Bob | Miss
Murphy | the mayor | every visitor | the old fisherman | George | Sophie | the bus driver | my boss | a curious
child | the baker | Mabel | both brothers | the choir | somebody
""")
_VERBS = _phrases("""
showed me | bought | forgot | found | measured | would have loved | brought back | wrote about | enjoyed | chose
| gave away | moved | painted | asked for | should check | thought of | voted for | repaired | carefully opened
| has always wanted | pushed | weighed | photographed | watched
""")
_THINGS = _phrases("""
five blue cups | a bowl of warm soup | the yellow umbrella | three thousand stamps | a very thin book | the new
bridge | fresh fish and chips | a treasure map | the broken zipper | an old oak table | some green apples | the
whole menu | a good question | eight white pebbles | the washing machine | a garage full of boxes | the voice of
a friend | a purple balloon | this puzzle | the shop window | a cheap watch | peach jam | a jar of honey | the
first chapter | a wool jumper | the weather report | two loaves of bread | a pair of shoes | the beautiful view
| another job
""")
_PLACES = _phrases("""
before the storm | at the harbour | in the middle of the room | on Thursday morning | near the bay | after a
long meeting | for fifty pounds | without a fuss | by the fireplace | during the summer | from the top of the
hill | with both hands | under the moon | for the first time | behind the school | over the weekend | at about
half past four | in a small village | through the window | upstairs
""")
_OPENERS = _phrases("""
Of course, | Well, | By the way, | I am afraid | Maybe | To be honest, | You should know that | Yes, | As far as
I remember, | Sure, | Oh, | Please note that | The funny thing is that | Apparently, | No, | I believe | Thank
you, | Hmm,
""")
_QUESTIONS = _phrases("""
Would you like | Do you remember | How about | Could we buy | Who would choose | Why not move | Have you ever
seen | May I offer you | What about | Which of us owns
""")
_ADVICE = _phrases("""
Put | Bring | Please move | Never mix | Try to photograph | Wash | Push | Always measure | Choose | Pick up |
Give me | Show everyone | Wrap | Feed | Open
""")
_SHORT = _phrases("""
Good morning. | I see what you mean. | That is a fair point. | Let me think about it for a moment. | We open at
half past eight. | It was a pleasure to meet you. | Both of them are available. | How are you today? | Would you
mind waiting a bit? | My favourite is the blue one. | You are very welcome. | I would be happy to help. | It
depends on the weather. | Perhaps we could move it to Friday. | Nobody knows for sure.
""")


def sentences(seed: int) -> Iterator[str]:
    """Endless sentences, the same for a seed."""
    rng = np.random.default_rng(seed)

    def pick(words: list[str]) -> str:
        return str(words[rng.integers(len(words))])

    while True:
        kind = rng.random()
        if kind < 0.12:
            yield pick(_SHORT)
        elif kind < 0.28:
            yield f"{pick(_QUESTIONS)} {pick(_THINGS)} {pick(_PLACES)}?"
        elif kind < 0.42:
            yield f"{pick(_ADVICE)} {pick(_THINGS)} {pick(_PLACES)}."
        elif kind < 0.66:
            opener = pick(_OPENERS)
            yield f"{opener} {pick(_PEOPLE)} {pick(_VERBS)} {pick(_THINGS)}."
        elif kind < 0.86:
            yield f"{_capital(pick(_PEOPLE))} {pick(_VERBS)} {pick(_THINGS)} {pick(_PLACES)}."
        else:
            yield f"{_capital(pick(_PLACES))}, {pick(_PEOPLE)} {pick(_VERBS)} {pick(_THINGS)} and {pick(_THINGS)}."


def is_held_out(sentence: str) -> bool:
    """Whether a sentence is for measuring only; depends on its text alone."""
    return hashlib.sha256(sentence.encode()).digest()[0] % HELD_OUT_SHARE == 0


def split(seed: int, count: int, held_out: bool) -> list[str]:
    """``count`` different sentences of one side of the split."""
    found: dict[str, None] = {}
    for sentence in sentences(seed):
        if is_held_out(sentence) == held_out:
            found[sentence] = None
        if len(found) == count:
            break
    return list(found)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
