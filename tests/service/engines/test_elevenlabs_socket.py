"""Text to speech over ElevenLabs' WebSocket, with a scripted vendor: what is sent, heard and dropped."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from avatar_service.engines.base import SpeechPiece
from tests.service.engines.socket_speech import MOON, STARS, VOICE, hear, opened, say, speaking, until
from tests.service.engines.socket_vendor import Said, pcm, piece, voice
from tests.service.engines.test_elevenlabs import line
from tests.service.engines.vendor import Answer, vendor
from tests.unit.media.sounds import babble, delay_s
from tests.unit.media.test_voice_stream import encoded


def starts(pieces: list[SpeechPiece]) -> list[float]:
    return [round(character.start_s, 3) for piece in pieces for character in piece.characters]


async def test_a_turn_is_one_context_whose_sentences_are_flushed_one_after_the_other() -> None:
    async with speaking(voice(MOON, 1), voice(STARS, 2)) as (speech, serving):
        async with speech.speaking(VOICE) as turn:
            assert await say(turn, MOON) == pcm(0.22, 1)
            assert await say(turn, STARS) == pcm(0.26, 2)
        await until(lambda: bool(serving.connections[0].of("close_context")))
        assert speech.rate_hz == 24_000
    (connection,) = serving.connections
    assert connection.path == "/v1/text-to-speech/rachel/multi-stream-input"
    assert connection.headers["xi-api-key"] == "sk-secret"
    assert connection.query == {
        "model_id": "eleven_multilingual_v2",
        "output_format": "pcm_24000",
        "language_code": "en",
        "inactivity_timeout": "180",
        "sync_alignment": "true",
    }
    first, moon, stars, close, goodbye = connection.messages
    context = first["context_id"]
    assert first == {
        "text": " ",
        "context_id": context,
        "voice_settings": {
            "stability": 0.3,
            "similarity_boost": 0.6,
            "style": 0.1,
            "use_speaker_boost": True,
            "speed": 1.1,
        },
        "generation_config": {"chunk_length_schedule": [120, 160, 250, 290]},
    }
    assert moon == {"text": f"{MOON} ", "context_id": context, "flush": True}
    assert stars == {"text": f"{STARS} ", "context_id": context, "flush": True}
    assert close == {"context_id": context, "close_context": True}
    assert goodbye == {"close_socket": True}


async def test_the_first_sound_is_passed_on_before_the_last_has_come() -> None:
    slow = Said((piece(pcm(0.1), "The moon", range(0, 80, 10)), piece(pcm(0.1), " is near.", range(0, 90, 10))), 0.2)
    async with (
        speaking(slow) as (speech, serving),
        speech.speaking(VOICE) as turn,
        aclosing(turn.say(MOON, "")) as pieces,
    ):
        assert (await anext(pieces)).pcm == pcm(0.1)
        assert serving.answered == 1


async def test_times_count_from_each_message_and_are_told_from_the_sentences_first_sample() -> None:
    async with speaking(voice(MOON), voice(STARS)) as (speech, _), speech.speaking(VOICE) as turn:
        for text in (MOON, STARS):
            pieces = await hear(turn, text)
            assert "".join(one.text for piece in pieces for one in piece.characters) == text
            assert starts(pieces) == pytest.approx([0.01 * index for index in range(len(text))])


async def test_times_that_count_from_the_contexts_beginning_are_told_so_too() -> None:
    first = Said((piece(pcm(0.1), "One,", (0, 20, 40, 60)), piece(pcm(0.1), " two", (100, 120, 140, 160), 40)))
    second = Said((piece(pcm(0.1), "Three", (200, 220, 240, 260, 280)),))
    async with speaking(first, second) as (speech, _), speech.speaking(VOICE) as turn:
        assert starts(await hear(turn, "One, two")) == [0.0, 0.02, 0.04, 0.06, 0.1, 0.12, 0.14, 0.16]
        assert starts(await hear(turn, "Three")) == [0.0, 0.02, 0.04, 0.06, 0.08]


async def test_times_that_are_ahead_of_the_sound_follow_each_other_and_the_sound_is_waited_for() -> None:
    timed = (piece(pcm(0.1), "One,", (0, 50, 100, 150), 50), piece(pcm(0.1), " two", (0, 50, 100, 150), 50))
    async with (
        speaking(Said((*timed, piece(pcm(0.1))), late=piece(pcm(0.1)))) as (speech, _),
        speech.speaking(VOICE) as turn,
    ):
        pieces = await hear(turn, "One, two")
    assert starts(pieces) == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35]
    assert b"".join(piece.pcm for piece in pieces) == pcm(0.1) * 4


async def test_what_comes_after_a_sentence_was_whole_is_not_taken_for_the_next_one() -> None:
    late = replace(voice(MOON), late=piece(pcm(0.1)))
    async with speaking(late, voice(STARS)) as (speech, serving), speech.speaking(VOICE) as turn:
        assert await say(turn, MOON) == pcm(0.22)
        await until(lambda: serving.sent == 4)
        await asyncio.sleep(0.1)  # until it has come
        assert await say(turn, STARS) == pcm(0.26)


async def test_without_times_a_sentence_ends_when_nothing_comes_any_more() -> None:
    silent = Said((piece(pcm(0.1)), piece(pcm(0.1))), pause_s=0.05)
    async with speaking(silent, between_outputs_s=0.5) as (speech, serving), speech.speaking(VOICE) as turn:
        assert await say(turn) == await say(turn) == pcm(0.1) * 2
    assert len(serving.connections) == 1


async def test_a_slow_vendor_is_waited_for_to_the_silence_behind_the_last_word() -> None:
    async with speaking(replace(voice(MOON), pause_s=0.2)) as (speech, _), speech.speaking(VOICE) as turn:
        assert await say(turn) == pcm(0.22)


async def test_marks_and_smiles_that_the_vendor_does_not_time_do_not_keep_a_sentence_from_its_end() -> None:
    async with speaking(voice("The moon is near")) as (speech, _), speech.speaking(VOICE) as turn:
        assert await say(turn, "“The moon … is near!” 🙂") == pcm(0.21)


async def test_a_text_without_letters_is_not_asked_for() -> None:
    async with speaking(voice(MOON)) as (speech, serving), speech.speaking(VOICE) as turn:
        assert await say(turn, "🙂 …") == b""
    assert serving.connections == []


async def test_a_context_that_the_vendor_ends_ends_the_sentence_and_the_next_one_has_another() -> None:
    ended = Said((piece(pcm(0.1)), {"isFinal": True}))
    async with speaking(ended, voice(STARS)) as (speech, serving), speech.speaking(VOICE) as turn:
        assert await say(turn) == pcm(0.1)
        assert await say(turn, STARS) == pcm(0.26)
    (connection,) = serving.connections
    assert len({message["context_id"] for message in connection.of("flush")}) == 2
    assert len(connection.of("voice_settings")) == 2


@pytest.mark.parametrize(
    ("output_format", "codec", "rate_hz", "kbit_s"),
    [("ulaw_8000", "ulaw", 8_000, 0), ("mp3_44100_128", "mp3", 44_100, 128), ("opus_48000_32", "opus", 48_000, 32)],
)
async def test_any_format_is_decoded_to_the_same_words(
    output_format: str, codec: str, rate_hz: int, kbit_s: int
) -> None:
    sound = babble(1.0, rate_hz)
    data = encoded(sound, codec, rate_hz, kbit_s)
    said = Said((*(piece(data[begin : begin + 1_001]) for begin in range(0, len(data), 1_001)), {"isFinal": True}))
    async with speaking(said, output_format=output_format) as (speech, serving), speech.speaking(VOICE) as turn:
        heard = np.frombuffer(await say(turn), np.int16)
    assert serving.connections[0].query["output_format"] == output_format
    assert abs(delay_s(sound, heard, rate_hz)) <= 0.000_1
    assert len(heard) / rate_hz == pytest.approx(1.0, abs=0.03)


async def test_who_stops_listening_has_the_context_closed_at_once_and_hears_no_more_of_it() -> None:
    long = Said((piece(pcm(0.1, 7), "The", (0, 10, 20)), *[piece(pcm(0.1, 9))] * 400), pause_s=0.01)
    async with speaking(long, voice(STARS)) as (speech, serving):
        async with speech.speaking(VOICE) as turn, aclosing(turn.say(MOON, "")) as pieces:
            await anext(pieces)
        await until(lambda: bool(serving.connections[0].of("close_context")))
        async with speech.speaking(VOICE) as turn:
            assert await say(turn, STARS) == pcm(0.26)
    (connection,) = serving.connections
    assert [message["context_id"] for message in connection.of("flush", "close_context")] == [
        "turn-1",
        "turn-1",
        "turn-2",
        "turn-2",
    ]


async def test_who_stops_listening_to_a_sentence_can_have_another_one_said_in_the_same_turn() -> None:
    long = Said((piece(pcm(0.1, 7), "The", (0, 10, 20)), *[piece(pcm(0.1, 9))] * 400), pause_s=0.01)
    async with speaking(long, voice(STARS)) as (speech, serving), speech.speaking(VOICE) as turn:
        async with aclosing(turn.say(MOON, "")) as pieces:
            await anext(pieces)
        assert await say(turn, STARS) == pcm(0.26)
    (connection,) = serving.connections
    assert [message["context_id"] for message in connection.of("flush", "close_context")][:3] == [
        "turn-1",
        "turn-1",
        "turn-2",
    ]


async def test_who_is_cancelled_while_it_waits_has_the_context_closed_at_once() -> None:
    async with speaking(Said(), voice(STARS)) as (speech, serving):

        async def speak() -> None:
            async with speech.speaking(VOICE) as turn:
                await hear(turn)

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(speak())
            await until(lambda: serving.answered == 1)
            task.cancel()
        await until(lambda: bool(serving.connections[0].of("close_context")))
        async with speech.speaking(VOICE) as turn:
            assert await say(turn, STARS) == pcm(0.26)
    assert len(serving.connections) == 1


async def test_a_model_that_has_no_socket_is_spoken_over_http() -> None:
    async with (
        vendor(Answer((line(pcm(0.1)),))) as serving,
        opened(serving.url) as speech,
        speech.speaking(replace(VOICE, model="eleven_v3")) as turn,
    ):
        assert await say(turn) == pcm(0.1)
    assert [request["path"] for request in serving.requests] == ["/v1/text-to-speech/rachel/stream/with-timestamps"]
