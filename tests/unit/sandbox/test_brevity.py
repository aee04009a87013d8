"""How long the sandbox lets a reply become."""

import pytest

from avatar_service.sandbox.brevity import ReplyLimit, SentenceCounter, reply_limit


def cut(text: str, sentences: int, piece_chars: int = 3) -> str:
    """Feed a reply in pieces, as a model makes it."""
    counter = SentenceCounter(sentences)
    kept = ""
    for start in range(0, len(text), piece_chars):
        piece, over = counter.take(text[start : start + piece_chars])
        kept += piece
        if over:
            return kept
    return kept


@pytest.mark.parametrize(
    ("question", "sentences"),
    [
        ("Tell me about Paris in three sentences.", 3),
        ("Tell me about Paris in 4 short sentences, please.", 4),
        ("Answer in TEN sentences.", 10),
        ("Use one sentence.", 1),
        ("Answer in one or two sentences.", 2),
    ],
)
def test_a_question_may_ask_for_a_number_of_sentences(question: str, sentences: int) -> None:
    limit = reply_limit(question, max_tokens=None)
    assert (limit.sentences, limit.exact) == (sentences, True)
    assert limit.tokens >= 40 * sentences


def test_a_reply_has_two_sentences_by_default() -> None:
    assert reply_limit("Why is the sky blue?", max_tokens=None) == ReplyLimit(2, exact=False, tokens=120)
    assert reply_limit("Why is the sky blue?", max_tokens=150).sentences == 2


def test_a_large_token_limit_allows_a_long_reply() -> None:
    limit = reply_limit("Tell me a story.", max_tokens=256)
    assert (limit.sentences, limit.exact, limit.tokens) == (8, False, 256)


def test_the_requests_token_limit_holds() -> None:
    assert reply_limit("Tell me a story in ten sentences.", max_tokens=7).tokens == 7
    assert reply_limit("Tell me a story.", max_tokens=100_000).tokens <= 512


@pytest.mark.parametrize("piece_chars", [1, 2, 3, 7, 1000])
def test_a_reply_ends_after_its_last_sentence_however_it_is_cut_into_pieces(piece_chars: int) -> None:
    text = "Paris is a city. It is large! Is it old? Yes."
    assert cut(text, 2, piece_chars) == "Paris is a city. It is large!"


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Smith lives at 3.5 km from J. Jones.",
        'She said "It is late."',
        "1. Bread is a food.",
        "It costs $2.50 today!",
    ],
)
def test_marks_inside_a_sentence_do_not_end_it(sentence: str) -> None:
    assert cut(sentence + " And more. And more.", 1) == sentence


def test_a_line_break_ends_a_sentence_without_a_mark() -> None:
    assert cut("A list of things\n- one\n- two\n", 2) == "A list of things\n- one"
    assert cut("One.\n\nTwo.\n\nThree.", 2) == "One.\n\nTwo."


def test_a_short_reply_is_left_as_it_is() -> None:
    assert cut("Hello!", 2) == "Hello!"
