"""The times of characters that come with a voice by ElevenLabs' protocol."""

import base64
import json
from typing import Any

import pytest

from avatar_service.engines.base import SpeechPiece
from avatar_service.media.types import SpokenCharacter
from tests.service.engines.test_elevenlabs import PCM, hear, line, speaking
from tests.service.engines.vendor import Answer


async def test_characters_come_with_their_times() -> None:
    answer = Answer((line(PCM, "The ", (0.0, 0.1, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4)), line(PCM, "m", (0.4,), (0.5,))))
    async with speaking(answer) as (speech, _):
        first, second = await hear(speech)

    assert [character.text for character in first.characters] == list("The ")
    assert second.characters == (SpokenCharacter("m", 0.4, 0.5),)


async def test_times_that_begin_again_with_a_line_count_from_its_sound() -> None:
    second_s = len(PCM) / 48_000
    answer = Answer((line(PCM, "ab", (0.0, 0.1), (0.1, 0.2)), line(PCM, "c", (0.0,), (0.1,))))
    async with speaking(answer) as (speech, _):
        _, second = await hear(speech)

    assert second.characters == (SpokenCharacter("c", second_s, second_s + 0.1),)


SOUND = base64.b64encode(PCM).decode()
TIMES = {"character_start_times_seconds": [0.0, 0.1], "character_end_times_seconds": [0.1, 0.2]}


@pytest.mark.parametrize(
    "alignment",
    [
        None,
        7,
        {},
        {"characters": ["a", "b"]},
        TIMES | {"characters": ["a"]},
        TIMES | {"characters": "ab"},
        TIMES | {"characters": ["a", "b"], "character_start_times_seconds": None},
        TIMES | {"characters": ["a", "b"], "character_start_times_seconds": [0.0, "soon"]},
        TIMES | {"characters": ["a", "b"], "character_end_times_seconds": [0.1, [0.2]]},
        TIMES | {"characters": ["a", "b"], "character_end_times_seconds": [0.1, -0.2]},
        TIMES | {"characters": ["a", "b"], "character_end_times_seconds": [0.1, 10**400]},
        TIMES | {"characters": ["a", "b"], "character_end_times_seconds": [0.1, float("nan")]},
    ],
)
async def test_an_alignment_that_makes_no_sense_is_left_out_and_the_voice_goes_on(alignment: Any) -> None:
    odd = json.dumps({"audio_base64": SOUND, "alignment": alignment}).encode() + b"\n"
    async with speaking(Answer((odd, line(PCM, "c", (0.3,), (0.4,))))) as (speech, _):
        heard = await hear(speech)

    assert heard == [SpeechPiece(PCM), SpeechPiece(PCM, (SpokenCharacter("c", 0.3, 0.4),))]


async def test_words_are_aligned_as_they_were_written_not_as_they_were_read() -> None:
    told = json.loads(line(PCM, "2 ", (0.0, 0.3), (0.3, 0.4)))
    told["normalized_alignment"] = json.loads(line(PCM, "two ", (0.0, 0.1, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4)))[
        "alignment"
    ]
    async with speaking(Answer((json.dumps(told).encode() + b"\n",))) as (speech, _):
        (piece,) = await hear(speech)

    assert "".join(character.text for character in piece.characters) == "2 "
