"""Carrying the times of what is read aloud to what was written."""

from avatar_service.sandbox.alignment import Alignment, align, place


def spans(written: str, read: str) -> dict[str, str]:
    """What of ``read`` each word of ``written`` lies over."""
    places = place(written, read)
    found, start = {}, 0
    for word in written.split():
        start = written.index(word, start)
        begin, end = places[start][0], places[start + len(word) - 1][1]
        found[word] = read[round(begin) : round(end)]
        start += len(word)
    return found


def test_equal_text_is_placed_character_by_character() -> None:
    assert place("Hi, you", "Hi, you") == [(at, at + 1) for at in range(7)]


def test_a_word_that_is_read_differently_shares_the_time_of_what_is_read() -> None:
    assert spans("See Dr. Lee now", "See Doctor Lee now") == {"See": "See", "Dr.": "Doctor", "Lee": "Lee", "now": "now"}


def test_one_word_may_become_many_and_many_one() -> None:
    assert spans("at 5:30 pm", "at five thirty P.M.")["at"] == "at"
    assert spans("at 5:30 pm", "at five thirty P.M.")["pm"].endswith("P.M.")
    assert spans("go 5 km now", "go 5 kilometers now")["km"] == "kilometers"


def test_what_is_not_read_has_no_time() -> None:
    places = place("a * b", "a b")
    assert places[2][0] == places[2][1]


def test_extra_white_space_stays_in_place() -> None:
    places = place("  one\n\n two ", "one two")
    assert len(places) == 12
    assert places == sorted(places)
    assert places[2] == (0, 1)
    assert places[-1] == (7, 7)


def test_times_follow_the_bounds_of_what_is_read() -> None:
    alignment = align("ab", [(0.0, 0.5), (0.5, 2.0)], [1.0, 2.0, 4.0])
    assert alignment == Alignment(("a", "b"), (1.0, 1.5), (1.5, 4.0))


def test_scaling_stretches_and_then_moves() -> None:
    alignment = Alignment(("a", "b"), (0.0, 1.0), (1.0, 2.0)).scaled(2.0, 10.0)
    assert (alignment.starts_s, alignment.ends_s) == ((10.0, 12.0), (12.0, 14.0))


def test_characters_belong_to_the_span_in_which_they_begin() -> None:
    alignment = Alignment(("a", "b", "c"), (0.0, 0.2, 0.4), (0.2, 0.4, 0.6))
    assert alignment.starting_between(0.0, 0.2).characters == ("a",)
    assert alignment.starting_between(0.2, 9.0) == Alignment(("b", "c"), (0.2, 0.4), (0.4, 0.6))
    assert alignment.starting_between(0.5, 9.0) == Alignment()
