"""The search for what must not be told finds it, whatever it was written as."""

import base64
import json
import logging
from collections.abc import Callable

import pytest

from avatar_service.log import get_logger
from tests.nothing_private import Private, listening

PRIVATE = Private.of("unit")
SOUND = PRIVATE.sound


def test_nothing_is_found_where_nothing_is() -> None:
    assert PRIVATE.found_in(json.dumps({"event": "turn_completed", "bytes": [0, 1, 2]})) == []
    assert PRIVATE.found_in(base64.b64encode(bytes(2000)).decode()) == []
    assert Private.of("other").found_in(" ".join(str(value) for value in (PRIVATE.key, PRIVATE.sound.hex()))) == []


@pytest.mark.parametrize("name", ["key", "transcript", "reply", "prompt", "body"])
@pytest.mark.parametrize(
    "write",
    [
        str,
        str.upper,
        lambda word: json.dumps({"messages": [{"content": f"Say {word}."}]}),
        lambda word: base64.b64encode(f"Say {word}.".encode()).decode(),
        lambda word: base64.b64encode(f"ay {word}.".encode()).decode(),
        lambda word: base64.b64encode(f"y {word}.".encode()).decode(),
        lambda word: word.encode().hex(),
    ],
)
def test_a_word_is_found(name: str, write: Callable[[str], str]) -> None:
    assert PRIVATE.found_in(f"event {write(getattr(PRIVATE, name))} end") == [name]


@pytest.mark.parametrize("skipped", [0, 1, 2, 64])
@pytest.mark.parametrize(
    "write",
    [
        bytes.hex,
        repr,
        lambda sound: base64.b64encode(sound).decode(),
        lambda sound: json.dumps(sound.decode("latin-1")),
    ],
)
def test_a_stretch_of_sound_is_found(skipped: int, write: Callable[[bytes], str]) -> None:
    assert PRIVATE.found_in(f"event {write(SOUND[skipped : skipped + 100])} end") == ["sound"]


def test_what_is_logged_in_either_format_is_heard_and_libraries_apart() -> None:
    library = logging.getLogger("openai._base_client")
    with listening() as told:
        get_logger("avatar_service.turn").debug("transcribed", text=PRIVATE.transcript)
        library.debug("Request options: %s", PRIVATE.reply)
    assert [PRIVATE.found_in(stream.getvalue()) for stream in told.formats] == [["transcript"]] * 2
    assert PRIVATE.found_in(told.text) == ["transcript"]
    assert PRIVATE.found_in(told.libraries) == ["reply"]
