"""Text as it is written to sentences as they are spoken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service.channel import Channel
from avatar_service.stages.split import SentenceSplitter, split


def sentences(*deltas: str) -> list[str]:
    splitter = SentenceSplitter()
    return [sentence for delta in deltas for sentence in splitter.push(delta)] + splitter.flush()


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
        ["It is 1. First, or 2. Second."],
        ["See example.com for more.", "Or mail me@example.org."],
        ["你好。", "今天天气很好！", "你呢？"],
        ["「你好。」", "他说。"],
        ["First paragraph", "Second paragraph"],
    ],
    ids=lambda sentences: sentences[0],
)
def test_text_is_cut_where_a_speaker_would_stop(expected: list[str]) -> None:
    separator = "\n\n" if expected[0].endswith("paragraph") else "" if "。" in expected[0] else " "
    if expected == ["It is 1. First, or 2. Second."]:
        expected = ["It is 1.", "First, or 2.", "Second."]  # a number that ends a clause cannot be told from a list's
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


@pytest.mark.parametrize("empty", ["", " ", "\n\n", " \n \n "])
def test_of_nothing_there_is_no_sentence(empty: str) -> None:
    assert sentences(empty) == []


WORDS = [
    "a",
    "bc",
    " ",
    " ",
    "Mr.",
    "3",
    ".",
    ",",
    "!",
    "?",
    "…",
    '"',
    "'",
    ")",
    "\n",
    "e.g. ",
    "Dr. ",
    "。",
    "！",
    "」",
]
PROSE = st.lists(st.sampled_from(WORDS), max_size=24).map("".join)


@settings(deadline=None)
@given(PROSE)
def test_nothing_is_lost_and_nothing_is_added(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences(text))


@pytest.mark.parametrize("text", ["真的！？是的。", "「你好。」他说。", "Wait... what?!", 'He said "Stop!" twice.'])
def test_a_mark_of_several_characters_is_one_mark_when_they_come_one_by_one(text: str) -> None:
    assert sentences(*text) == sentences(text)


@settings(deadline=None)
@given(PROSE, st.lists(st.integers(0, 60), max_size=10))
def test_sentences_do_not_depend_on_how_the_text_arrived(text: str, cuts: list[int]) -> None:
    ends = sorted(min(cut, len(text)) for cut in cuts)
    pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    assert sentences(*pieces) == sentences(text)


async def test_the_stage_sends_each_sentence_on_and_closes_after_the_last() -> None:
    deltas, out = Channel[str]("deltas", 8), Channel[str]("sentences", 8)
    for delta in ("One. T", "wo. Three"):
        await deltas.send(delta)
    deltas.close()
    await split(deltas, out)
    assert [sentence async for sentence in out] == ["One.", "Two.", "Three"]
