"""Answers at given times: what a script may hold, and when each token leaves."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.smollm import ReplyEnd, TextDelta
from avatar_service.sandbox.transcript import Hearing

SCRIPT: dict[str, Any] = {
    "transcript": "Hi.",
    "tokens": ["One", " two", " three"],
    "first_token_s": 0.2,
    "last_token_s": 1.0,
}


def test_tokens_leave_evenly_between_the_first_and_the_last() -> None:
    replay = Replay("Hi.", ("One", " two", " three"), 0.2, 1.0)

    assert [replay.token_s(index) for index in range(3)] == pytest.approx([0.2, 0.6, 1.0])


def test_a_reply_of_one_token_leaves_at_the_first_moment() -> None:
    assert Replay("Hi.", ("One",), 0.2, 1.0).token_s(0) == 0.2


def test_every_recording_is_understood_alike() -> None:
    replay = Replay("Hi.", ("One",), 0.2, 1.0)

    (heard,) = replay.transcribe(np.zeros(32_000, np.float32), Hearing(), lambda: False)

    assert (heard.text, heard.end_s) == ("Hi.", 2.0)


async def test_the_reply_is_every_token_and_its_end() -> None:
    replay = Replay("Hi.", ("One", " two"), 0.0, 0.0)

    parts = [part async for part in replay.reply(time.monotonic())]

    assert parts == [TextDelta("One"), TextDelta(" two"), ReplyEnd("stop", prompt_tokens=0, completion_tokens=2)]


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("", ["One", " two", " three"]),
        ("One  two", [" three"]),
        ("One two three", []),
        ("Two", ["One", " two", " three"]),
    ],
)
async def test_a_reply_that_was_begun_goes_on_where_it_stopped(said: str, rest: list[str]) -> None:
    replay = Replay("Hi.", ("One", " two", " three"), 0.0, 0.0)

    *parts, end = [part async for part in replay.reply(time.monotonic(), said)]

    assert parts == [TextDelta(token) for token in rest]
    assert end == ReplyEnd("stop", prompt_tokens=0, completion_tokens=len(rest))


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(SCRIPT))

    assert Replay.load(path) == Replay("Hi.", ("One", " two", " three"), 0.2, 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": []}, "tokens must be"),
        ({"tokens": ["One", ""]}, "tokens must be"),
        ({"tokens": 3}, "JSON object"),
        ({"last_token_s": 0.1}, "last_token_s"),
        ({"first_token_s": -1.0}, "first_token_s"),
        ({"last_token_s": 99.0}, "last_token_s"),
        ({"speed": 2}, "JSON object"),
        ({"speech": "song"}, "speech must be 'voice' or 'tone'"),
    ],
)
def test_a_script_that_cannot_be_replayed_is_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(SCRIPT | change))

    with pytest.raises(ValueError, match=said):
        Replay.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.json"):
        Replay.load(tmp_path / "nowhere.json")
