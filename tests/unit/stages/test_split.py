"""Text as it is written to sentences as they are spoken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service.channel import Channel
from avatar_service.stages.split import (
    BROKEN_OFF,
    CLAUSE_CHARACTERS,
    LONGEST_CHARACTERS,
    Delta,
    SentenceSplitter,
    fragment_of,
    split,
)

BEGINNING = "So this is how it begins."
"""Long enough that whole sentences follow."""


def pieces(*deltas: str) -> list[str]:
    splitter = SentenceSplitter()
    return [piece for delta in deltas for piece in splitter.push(delta)] + splitter.flush()


def sentences(text: str) -> list[str]:
    """The pieces of a text that is not the beginning of its reply."""
    beginning, *following = pieces(BEGINNING, " ", text)
    assert beginning == BEGINNING
    return following


@pytest.mark.parametrize(
    "expected",
    [
        ["Hello."],
        ["Hello there.", "How are you?", "Fine!"],
        ["No mark at all"],
        ["It costs 3.5 euros.", "Or 3,50."],
        ["Pi is 3.14159.", "Version 2.0.1 is out."],
        ["Dr. Smith met Mrs. Jones at St. Mary's.", "They spoke."],
        ["J. R. R. Tolkien wrote it.", "You know it."],
        ["Fruit, e.g. apples, i.e. food.", "Eat it."],
        ["The U.S. is large.", "The U.K. is not."],
        ["Acme Inc. sells tools.", "Cheap ones."],
        ["Well…", "Perhaps."],
        ["Wait...", "What?"],
        ["What?!", "Really!!", "Yes."],
        ['He said "Stop."', 'She said "Go!"', "They went."],
        ["(It rained.)", "We stayed."],
        ["It is 1.", "First, or 2.", "Second."],
        ["It starts at 9 a.m.", "Bring a coat."],
        ["We end at 5 p.m. Monday.", "Or at 3 p.m. on Friday."],
        ["The U.S. Government met.", "It is in the U.S.", "The U.K. is not."],
        ["She has a Ph.D. in physics.", "He works at Acme Inc.", "The end."],
        ["They spoke of No. 5.", "No.", "I don't."],
        ["See fig. 3 on p. 12.", "Eat apples, pears, etc. and rest."],
        ["Take vitamin C.", "It helps."],
        ['"Stop!" she said.', '"Go?" he asked.'],
        ["Wait... what?", "Hmm… perhaps."],
        ["**Note.**", "Text follows."],
        ["Great!", "😊 Let us go."],
        ["Call 555.1234 at 3:30, or pay 1,000.50 euros.", "Thanks."],
        ["Read https://example.com/a.b?c=d, e.g. today.", "Then v. 2.0.1 came."],
        ["यह अच्छा है।", "आप कैसे हैं?"],
        ["كيف حالك؟", "بخير."],
        ["آپ کیسے ہیں؟", "ٹھیک ہوں۔", "شکریہ۔"],
        ["ከየት ነህ።", "እሺ።"],
        ["See example.com for more.", "Or mail me@example.org."],
        ["你好。", "今天天气很好！", "你呢？"],
        ["「你好。」", "他说。"],
        ["First paragraph", "Second paragraph"],
    ],
    ids=lambda sentences: sentences[0],
)
def test_text_is_cut_where_a_speaker_would_stop(expected: list[str]) -> None:
    separator = "\n\n" if expected[0].endswith("paragraph") else "" if "。" in expected[0] else " "
    assert sentences(separator.join(expected)) == expected


def test_the_numbers_of_a_list_stay_with_what_they_number() -> None:
    assert sentences("1. Wash it. 2. Cut it.") == ["1. Wash it.", "2. Cut it."]


def test_a_sentence_is_complete_when_what_follows_shows_it() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("It is 3.") == []
    assert splitter.push("5 metres. ") == ["It is 3.5 metres."]
    assert splitter.push("Long") == []
    assert splitter.flush() == ["Long"]
    assert splitter.flush() == []


def test_a_line_is_a_sentence_and_keeps_the_mark_of_its_list() -> None:
    text = "Here are the steps:\n1. Wash it\n2. Cut it. Then eat\n- one, for you\n* two\n\n3.\nRest\r\n# End\n"
    expected = ["1. Wash it", "2. Cut it.", "Then eat", "- one, for you", "* two", "3.\nRest", "# End"]
    assert pieces(text) == ["Here are the steps:", *expected]


@pytest.mark.parametrize(
    ("clause", "rest"),
    [
        ("Well, that depends on it,", "and on you, and on me."),
        ("There is one thing to say:", "go, and do it."),
        ("The moon is quite near;", "the sun, however, is not."),
        ("It is true — almost —", "that he came, and left."),
        ("Das war wirklich alles -", "oder fast, glaube ich."),
        ("The price is 1,000 euros,", "or less, at 3:30."),
        ("On March 3, 2024, it rained,", "and then, at last, it did not."),
        ("Fruit, e.g., of the apple tree,", "or, say, the pear tree."),
        ("هذا جيد جدا، وأنا سعيد،", "والحمد لله، شكرا."),
        ("यह बहुत ही अच्छा है,", "और मैं, सच में, खुश हूँ।"),
        ("He said “Well, my dear friend” gently,", "and left, as always."),
        ('"Well, my dear, dear friend",', "he said, as always."),
        ("One (that is, the first of them) came,", "and left, as always."),
        ("See https://a.org/b,c;d:e for it,", "or ask, if you like."),
    ],
)
def test_a_reply_begins_with_its_first_clause_and_goes_on_with_sentences(clause: str, rest: str) -> None:
    assert pieces(f"{clause} {rest} Yes, it is, in truth, so.") == [clause, rest, "Yes, it is, in truth, so."]


def test_clauses_of_scripts_without_spaces_end_at_their_own_marks() -> None:
    assert pieces("今天天气很好，我们去公园，好吗？好的，走！") == [
        "今天天气很好，",
        "我们去公园，好吗？",
        "好的，走！",
    ]
    assert pieces("他说：「今天天气很好，走吧」，然后走了，真的。") == [
        "他说：「今天天气很好，走吧」，",
        "然后走了，真的。",
    ]
    assert pieces("价格大约是1，000元，还有3：30开始。")[0] == "价格大约是1，000元，"


def test_a_clause_is_worth_a_request_only_if_it_lasts_until_the_next_one_is_there() -> None:
    assert pieces("Well, yes, I do. Indeed, I have said so, and often.") == [
        "Well, yes, I do.",
        "Indeed, I have said so,",
        "and often.",
    ]
    assert len("Well, yes, I do.") < CLAUSE_CHARACTERS < len("Indeed, I have said so")


def test_a_clause_goes_on_as_soon_as_it_is_there() -> None:
    splitter = SentenceSplitter()
    assert splitter.push("The moon is quite near,") == []
    assert splitter.push(" ") == ["The moon is quite near,"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("word " * 200, "word " * 59 + "word"),
        ("ab, " * 200, "ab, " * 74 + "ab,"),
        ("x" * 700, "x" * LONGEST_CHARACTERS),
        ("ที่" * 300, "ที่" * 100),
        ("The " + "x" * 299 + " is", "The"),
        ("." * 700, "." * LONGEST_CHARACTERS),
    ],
    ids=["at a space", "at a clause", "anywhere", "between characters", "before a long word", "of marks alone"],
)
def test_who_writes_without_a_stop_is_not_waited_for(text: str, first: str) -> None:
    splitter = SentenceSplitter()
    assert splitter.push(BEGINNING + " ") == [BEGINNING]
    arrived = [piece for character in text for piece in splitter.push(character)]
    assert arrived[0] == first
    assert all(len(piece) <= LONGEST_CHARACTERS for piece in [*arrived, *splitter.flush()])


WORDS = [
    *("a", "bc", "Mr.", "U.S.", "3", "the ", "The ", " ", " ", "\n", "- "),
    *(".", ",", "!", "?", "…", '"', "'", ")", "“", "”", "(", ":", " — ", "e.g. ", "Dr. ", "a.m. ", "No. "),
    *("。", "！", "」", "，", "今天天气", "।", "؟", "، ", "ที่", "x" * 97, "1,000", "http://a.b/c, "),
]
PROSE = st.lists(st.sampled_from(WORDS), max_size=24).map("".join)


@settings(deadline=None)
@given(PROSE)
def test_pieces_are_the_whole_text_in_order_less_the_white_space_around_them(text: str) -> None:
    at = 0
    for piece in pieces(text):
        assert piece == piece.strip() != ""
        begin = text.index(piece, at)
        assert not text[at:begin].strip()
        at = begin + len(piece)
    assert not text[at:].strip()


@settings(deadline=None)
@given(PROSE)
def test_no_piece_but_the_last_is_of_marks_alone_or_too_long(text: str) -> None:
    for piece in pieces(text)[:-1]:
        assert len(piece) <= LONGEST_CHARACTERS
        assert any(character.isalnum() for character in piece)


@settings(deadline=None)
@given(PROSE, st.lists(st.integers(0, 200), max_size=10))
def test_pieces_do_not_depend_on_how_the_text_arrived(text: str, cuts: list[int]) -> None:
    ends = sorted(min(cut, len(text)) for cut in cuts)
    deltas = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    assert pieces(*deltas) == pieces(text) == pieces(*text)


@settings(deadline=None)
@given(st.text(max_size=400), st.integers(0, 400))
def test_nor_does_any_other_text(text: str, cut: int) -> None:
    assert pieces(text[:cut], text[cut:]) == pieces(text)
    assert "".join("".join(pieces(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "spoken", "has_sentence"),
    [
        ("", [], False),
        ("The moon", [], False),
        ("The moon is quite near, and so", ["The moon is quite near,"], False),
        ("It is near. It was", ["It is near."], True),
        ("It is near.", ["It is near."], True),
        ("It is near. It was far!", ["It is near.", "It was far!"], True),
        ('He said "Stop."', ['He said "Stop."'], True),
        ("It is near. It costs 3.", ["It is near."], True),
        ("So said Dr.", [], False),
        ("We meet at 5 p.m.", ["We meet at 5 p.m."], True),
        ("First line\n", ["First line"], True),
        ("\u4f60\u597d\u3002\u4eca\u5929", ["\u4f60\u597d\u3002"], True),
        ("word " * 70, ["word " * 59 + "word"], False),
    ],
)
async def test_of_a_text_that_breaks_off_whole_sentences_are_spoken(
    text: str, spoken: list[str], has_sentence: bool
) -> None:
    deltas, out = Channel[Delta]("deltas", 8), Channel[str]("sentences", 8)
    for delta in (text, BROKEN_OFF, " Another. Text"):
        await deltas.send(delta)
    deltas.close()
    await split(deltas, out)
    assert [sentence async for sentence in out] == [*spoken, "Another.", "Text"]
    assert fragment_of(text)[1] is has_sentence


@settings(deadline=None)
@given(st.text(alphabet='ab1. ,\n"!:', max_size=80))
def test_what_is_left_unspoken_is_the_fragment(text: str) -> None:
    splitter = SentenceSplitter()
    spoken = [*splitter.push(text), *splitter.break_off()]
    begin, has_sentence = fragment_of(text)
    assert "".join("".join(spoken).split()) == "".join(text[:begin].split())
    assert splitter.has_sentence is has_sentence


async def test_the_stage_sends_each_sentence_on_and_closes_after_the_last() -> None:
    deltas, out = Channel[Delta]("deltas", 8), Channel[str]("sentences", 8)
    for delta in ("One. T", "wo. Three"):
        await deltas.send(delta)
    deltas.close()
    await split(deltas, out)
    assert [sentence async for sentence in out] == ["One.", "Two.", "Three"]
