"""The words of a turn: when each is heard, and which were over at a position."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service.media.heard import CUT_OFF_S, SECONDS_PER_CHARACTER, Heard, Spoken, SpokenWord, words_of
from avatar_service.media.types import SpokenCharacter

MOON = "The moon is near."
ROUND = "It is round."


def timed(text: str, pace_s: float = 0.1, from_s: float = 0.0) -> list[SpokenCharacter]:
    """Each character of a text, one after the other."""
    return [
        SpokenCharacter(one, from_s + index * pace_s, from_s + (index + 1) * pace_s) for index, one in enumerate(text)
    ]


def said(*sentences: str, aligned: bool = True) -> Spoken:
    """Sentences of a tenth of a second a character."""
    spoken, end_s = Spoken(), 0.0
    for sentence in sentences:
        spoken.begin(sentence, end_s)
        spoken.align(timed(sentence) if aligned else [])
        end_s += 0.1 * len(sentence)
        spoken.end(end_s)
    return spoken


def texts(words: list[SpokenWord]) -> list[str]:
    return [word.text for word in words]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("The moon, I say.", ["The ", "moon, ", "I ", "say."]),
        ("He said “Go!” – so  I went", ["He ", "said ", "“Go!” ", "– ", "so  ", "I ", "went"]),
        ("今天，天气好！", ["今", "天，", "天", "气", "好！"]),
        ("他说：「你好。」", ["他", "说：", "「你", "好。」"]),
        ("Python是好的 ok", ["Python", "是", "好", "的 ", "ok"]),
        ("ที่นี่ ดี", ["ที่", "นี่ ", "ดี"]),
        ("한국어는 좋아요.", ["한국어는 ", "좋아요."]),
        ("😊 yes", ["😊 ", "yes"]),
    ],
)
def test_words_carry_their_marks_and_the_space_behind_them(sentence: str, words: list[str]) -> None:
    assert words_of(sentence) == words


def test_a_word_lies_from_its_first_character_to_its_last() -> None:
    spoken = said(MOON, ROUND)
    assert texts(spoken.words) == ["The ", "moon ", "is ", "near. ", "It ", "is ", "round. "]
    assert [(word.start_s, word.end_s) for word in spoken.words[:4]] == [
        pytest.approx(times) for times in [(0.0, 0.3), (0.4, 0.8), (0.9, 1.1), (1.2, 1.7)]
    ]
    assert (spoken.words[4].start_s, spoken.words[6].end_s) == pytest.approx((1.7, 2.9))
    assert not any(word.estimated for word in spoken.words)


def test_a_word_is_heard_when_it_is_over() -> None:
    spoken = said(MOON, ROUND)
    assert spoken.heard(0.29) == Heard("", f"{MOON} {ROUND}", estimated=False)
    assert spoken.heard(0.8001) == Heard("The moon", f"is near. {ROUND}", estimated=False)
    assert spoken.heard(1.75) == Heard(MOON, ROUND, estimated=False)
    assert spoken.heard(2.9001) == Heard(f"{MOON} {ROUND}", "", estimated=False)
    assert Spoken().heard(1.0) == Heard("", "", estimated=False)


def test_words_whose_times_did_not_come_share_the_sentences_voice() -> None:
    spoken = said(MOON, aligned=False)
    ends = [word.end_s for word in spoken.words]
    assert ends == pytest.approx([1.7 * 3 / 18, 1.7 * 8 / 18, 1.7 * 11 / 18, 1.7])
    assert all(word.estimated for word in spoken.words)
    assert spoken.heard(1.7).estimated


def test_until_a_voice_is_there_its_words_are_taken_to_come_at_the_usual_pace() -> None:
    spoken = said(MOON)
    spoken.begin(ROUND, 1.7)
    assert texts(spoken.words) == [*texts(said(MOON, ROUND).words)]
    assert spoken.words[-1].end_s == pytest.approx(1.7 + 13 * SECONDS_PER_CHARACTER)
    assert [word.estimated for word in spoken.words] == [False] * 4 + [True] * 3


def test_only_the_place_of_the_cut_makes_what_was_heard_an_estimate() -> None:
    spoken = said(MOON)
    spoken.begin(ROUND, 1.7)
    assert not spoken.heard(0.9).estimated
    assert spoken.heard(1.8).estimated


def test_a_listener_is_told_of_words_that_have_times_or_of_estimates_where_none_come() -> None:
    spoken = said(MOON)
    spoken.begin(ROUND, 1.7)
    assert texts(spoken.told)[4:] == ["It ", "is ", "round. "]
    spoken.align(timed("It i"))
    assert texts(spoken.told)[4:] == ["It "]
    spoken.end(3.0)
    assert texts(spoken.told)[4:] == ["It ", "is ", "round. "]


@pytest.mark.parametrize(
    "characters",
    [
        "he said stop now",
        "HE SAID, “STOP!” NOW.",
        "He  said,\t“Stop!”\nnow.",
        "xHe said, 7“Stop!” now.",
        "He said Stop now",
    ],
)
def test_marks_and_spaces_may_be_missing_or_written_in_another_way(characters: str) -> None:
    spoken = Spoken()
    spoken.begin("He said, “Stop!” now.", 0.0)
    spoken.align(timed(characters))
    spoken.end(5.0)
    assert texts(spoken.words) == ["He ", "said, ", "“Stop!” ", "now. "]
    starts_s = [0.1 * characters.lower().index(word) for word in ("he", "said", "stop", "now")]
    if "7" not in characters:
        assert [word.start_s for word in spoken.words] == pytest.approx(starts_s, abs=0.3)
    assert [word.estimated for word in spoken.words[:3]] == [False] * 3


def test_times_beyond_the_voice_end_with_it() -> None:
    spoken = Spoken()
    spoken.begin(ROUND, 0.0)
    spoken.align(timed(ROUND))
    spoken.end(1.1)
    assert spoken.words[-1].end_s == 1.1
    assert spoken.heard(1.1).text == ROUND


def test_times_that_go_back_stand_still() -> None:
    spoken = Spoken()
    spoken.begin(MOON, 0.0)
    spoken.align([*timed("The moon "), *timed("is near.")])
    spoken.end(2.0)
    edges = [edge for word in spoken.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)


def test_a_voice_that_breaks_off_goes_on_with_the_first_word_that_was_not_said_to_its_end() -> None:
    spoken = said(ROUND)
    spoken.begin(MOON, 1.2)
    spoken.align(timed("The moon is"))
    assert spoken.break_off(1.2 + 0.8 - CUT_OFF_S / 2) == "is near."
    at_s = 1.2 + 0.8
    spoken.align(timed("is near."))
    spoken.end(at_s + 0.8)
    assert texts(spoken.words)[3:] == ["The ", "moon ", "is ", "near. "]
    assert spoken.words[5].start_s == pytest.approx(at_s, abs=CUT_OFF_S)
    assert spoken.words[6].end_s == pytest.approx(at_s + 0.8, abs=CUT_OFF_S)
    assert spoken.heard(10.0).text == f"{ROUND} {MOON}"


def test_words_of_which_times_came_before_their_voice_are_said_again() -> None:
    spoken = Spoken()
    spoken.begin(MOON, 0.0)
    spoken.align(timed(MOON))
    assert spoken.break_off(0.35) == "moon is near."
    assert texts([word for word in spoken.words if not word.estimated]) == ["The "]


@pytest.mark.parametrize(
    ("before", "at_s", "rest"),
    [
        ((), 0.2, "The moon is near."),
        ((), 0.8, "is near."),  # the usual pace would have said "The moon is"
        ((), 1.4, "near."),
        ((), 3.1, ""),
        ((ROUND,), 0.8, "moon is near."),  # as the sentence before was
    ],
    ids=["within the first word", "in the middle", "at its end", "far beyond its end", "a slow voice"],
)
def test_a_voice_without_times_that_breaks_off_goes_on_with_a_word_that_was_hardly_said(
    before: tuple[str, ...], at_s: float, rest: str
) -> None:
    spoken = said(*before, aligned=False)
    begins_s = 0.1 * sum(map(len, before))
    spoken.begin(MOON, begins_s)
    assert spoken.break_off(begins_s + at_s) == rest
    spoken.end(begins_s + at_s + 0.1 * len(rest))
    assert spoken.heard(100.0).text == " ".join([*before, MOON])
    assert spoken.words[-1].end_s <= begins_s + at_s + 0.1 * len(rest) + 1e-9


@pytest.mark.parametrize("aligned", [True, False])
def test_words_whose_voice_is_lost_are_not_heard_however_long_one_listens(aligned: bool) -> None:
    spoken = said(ROUND)
    spoken.begin(MOON, 1.2)
    spoken.align(timed("The moon is ne") if aligned else [])
    spoken.lose(1.2 + 1.1)
    assert spoken.heard(100.0).text == (f"{ROUND} The moon is" if aligned else f"{ROUND} The moon")
    assert spoken.heard(1.2 + 1.1).text == spoken.heard(100.0).text
    assert texts(spoken.told) == texts(spoken.words)


def test_a_voice_is_whole_up_to_the_last_word_that_has_its_times() -> None:
    spoken = said(ROUND)
    spoken.begin(MOON, 1.2)
    assert spoken.whole_s(1.7) == 1.7, "nothing is known of a voice without times"
    spoken.align(timed("The mo"))
    assert spoken.whole_s(1.2 + 0.2) == 1.2
    assert spoken.whole_s(1.2 + 0.6) == pytest.approx(1.5)
    spoken.align(timed("on is near.", from_s=0.6))
    assert spoken.whole_s(1.2 + 1.0) == pytest.approx(2.0)
    assert spoken.whole_s(1.2 + 1.9) == pytest.approx(3.1), "the silence behind the last word is part of it"


def test_a_reply_in_a_script_without_spaces_is_joined_without_them() -> None:
    spoken = said("今天很好。", "你说：“走吧。”", "好！")
    assert spoken.heard(0.3001) == Heard("今天很", "好。你说：“走吧。”好！", estimated=False)


SENTENCES = st.lists(
    st.text(alphabet="ab c.,!'“今天。ที่ \n😊", min_size=1, max_size=12).map(str.strip).filter(bool),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(SENTENCES, st.data())
def test_what_was_heard_and_the_rest_are_the_reply_and_grow_with_the_position(
    sentences: list[str], data: st.DataObject
) -> None:
    spoken, end_s = Spoken(), 0.0
    for index, sentence in enumerate(sentences):
        spoken.begin(sentence, end_s)
        characters = timed(sentence, data.draw(st.sampled_from([0.0, 0.03, 0.1])))
        come = data.draw(st.integers(0, len(characters)))
        cut = data.draw(st.integers(0, come))
        spoken.align(characters[:cut])
        spoken.align(characters[cut:come])
        end_s += 0.1 * data.draw(st.integers(0, len(sentence)))
        if index + 1 < len(sentences) or data.draw(st.booleans()):
            spoken.end(end_s)
    reply = "".join(word.text for word in spoken.words).strip()
    assert "".join(reply.split()) == "".join("".join(sentences).split())
    edges = [edge for word in spoken.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    heard_before = ""
    for position_s in sorted([0.0, *data.draw(st.lists(st.floats(0.0, 8.0), max_size=6)), 100.0]):
        heard = spoken.heard(position_s)
        assert reply.startswith(heard.text)
        assert reply.endswith(heard.rest)
        assert not reply[len(heard.text) : len(reply) - len(heard.rest)].strip()
        assert heard.text.startswith(heard_before)
        heard_before = heard.text
    assert heard_before == reply
