"""What servers of OpenAI's protocol send as text, and what they refuse."""

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_service.engines.openai_answers import StreamedText, mended
from avatar_service.engines.openai_refusals import MODELS, RefusedParameters

HALVES = st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010), max_size=8)


@given(st.lists(st.text(max_size=5)))
def test_text_in_pieces_is_joined_as_it_was(pieces: list[str]) -> None:
    streamed = StreamedText()
    assert "".join(map(streamed.push, pieces)) == "".join(pieces)


@given(st.text(max_size=20))
def test_text_may_be_cut_between_any_two_units_of_utf_16(text: str) -> None:
    units = text.encode("utf-16-le")
    pieces = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    streamed = StreamedText()
    assert "".join(map(streamed.push, pieces)) == text


@given(st.lists(HALVES))
def test_whatever_comes_can_be_sent_on(pieces: list[str]) -> None:
    streamed = StreamedText()
    assert all(streamed.push(piece).encode() is not None for piece in pieces)
    assert mended("".join(pieces)).encode() is not None


def refusal(param: object, code: str = "unsupported_parameter", status: int = 400) -> openai.APIStatusError:
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://vendor"))
    return openai.APIStatusError("words", response=response, body={"param": param, "code": code})


def test_a_refusal_is_learnt_once_for_each_model_and_parameter() -> None:
    refused = RefusedParameters("user", "temperature")
    assert refused.learn("a", refusal("user"))
    assert refused.learn("a", refusal("temperature", status=422))
    assert not refused.learn("a", refusal("user")), "it was not given again"
    assert refused.of("a") == {"user", "temperature"}
    assert refused.of("b") == set()


@pytest.mark.parametrize(
    "error",
    [
        refusal("messages"),
        refusal(None),
        refusal(["user"]),
        refusal("user", "invalid_value"),
        refusal("user", status=404),
    ],
)
def test_any_other_error_is_none(error: openai.APIStatusError) -> None:
    refused = RefusedParameters("user")
    assert not refused.learn("a", error)
    assert refused.of("a") == set()


def test_no_more_than_so_many_models_are_remembered() -> None:
    """Their names come from clients."""
    refused = RefusedParameters("user")
    assert all(refused.learn(f"model {number}", refusal("user")) for number in range(3 * MODELS))
    assert sum(bool(refused.of(f"model {number}")) for number in range(3 * MODELS)) <= MODELS
