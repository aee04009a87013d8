"""Text to speech by ElevenLabs' protocol, over a socket: what is sent, and what failures become."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from avatar_service.engines.base import SpeechPiece, Voice
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault
from avatar_service.media.types import SpokenCharacter
from avatar_service.settings import ElevenLabsSettings, LimitSettings
from tests.service.engines.vendor import Answer, Vendor, vendor
from tests.unit.media.sounds import babble, delay_s
from tests.unit.media.test_voice_stream import encoded

VOICE = Voice(
    "rachel", "eleven_multilingual_v2", stability=0.3, similarity_boost=0.6, style=0.1, speed=1.1, language="en-GB"
)
PCM = bytes(range(256)) * 40


@asynccontextmanager
async def speaking(
    *script: Answer, output_format: str = "pcm_24000", seed: int | None = None, **limits: Any
) -> AsyncIterator[tuple[ElevenLabsSpeech, Vendor]]:
    async with vendor(*script) as serving:
        settings = ElevenLabsSettings.model_validate(
            {"base_url": serving.url, "api_key": "sk-secret", "output_format": output_format, "seed": seed}
        )
        speech = ElevenLabsSpeech(settings, LimitSettings.model_validate({"attempts": 1} | limits))
        try:
            yield speech, serving
        finally:
            await speech.aclose()


def line(sound: bytes, characters: str = "", starts_s: Sequence[float] = (), ends_s: Sequence[float] = ()) -> bytes:
    """A line of the vendor's stream with timestamps."""
    aligned = {
        "characters": list(characters),
        "character_start_times_seconds": list(starts_s),
        "character_end_times_seconds": list(ends_s),
    }
    told = {"audio_base64": base64.b64encode(sound).decode(), "alignment": aligned if characters else None}
    return json.dumps(told).encode() + b"\n"


def lines(pieces: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(line(piece) for piece in pieces)


async def hear(speech: ElevenLabsSpeech) -> list[SpeechPiece]:
    async with aclosing(speech.synthesize("The moon is near.", VOICE, "Well.")) as pieces:
        return [piece async for piece in pieces]


async def say(speech: ElevenLabsSpeech) -> list[bytes]:
    return [piece.pcm for piece in await hear(speech)]


async def test_a_sentence_is_asked_for_with_its_voice_and_what_came_before() -> None:
    async with speaking(Answer(lines([PCM]))) as (speech, serving):
        assert b"".join(await say(speech)) == PCM
        assert speech.rate_hz == 24_000
    (request,) = serving.requests
    assert request["path"] == "/v1/text-to-speech/rachel/stream/with-timestamps"
    assert request["headers"]["xi-api-key"] == "sk-secret"
    assert request["query"]["output_format"] == "pcm_24000"
    fields = request["fields"]
    assert (fields["text"], fields["previous_text"], fields["language_code"]) == ("The moon is near.", "Well.", "en")
    assert fields["model_id"] == "eleven_multilingual_v2"
    assert fields["voice_settings"] == {
        "stability": 0.3,
        "similarity_boost": 0.6,
        "style": 0.1,
        "use_speaker_boost": True,
        "speed": 1.1,
    }


async def test_a_seed_is_sent_if_one_is_set_and_what_is_not_set_is_left_out() -> None:
    voice = replace(VOICE, language="")
    for seed in (None, 4_294_967_295):
        async with (
            speaking(Answer(lines([PCM])), seed=seed) as (speech, serving),
            aclosing(speech.synthesize("The moon is near.", voice, "")) as pieces,
        ):
            assert [piece async for piece in pieces]
        fields = serving.requests[0]["fields"]
        assert fields.get("seed", None) == seed
        assert set(fields) == {"text", "model_id", "voice_settings"} | ({"seed"} if seed else set())


@pytest.mark.parametrize("model", ["eleven_v3", "eleven_v3_conversational"])
async def test_a_model_that_refuses_what_came_before_is_not_told(model: str) -> None:
    async with speaking(Answer(lines([PCM]))) as (speech, serving):
        voice = replace(VOICE, model=model)
        async with aclosing(speech.synthesize("The moon is near.", voice, "Well.")) as pieces:
            assert [piece async for piece in pieces]
    assert "previous_text" not in serving.requests[0]["fields"]


async def test_pieces_hold_whole_samples_however_the_vendor_splits_them() -> None:
    pieces = tuple(PCM[begin : begin + 333] for begin in range(0, len(PCM), 333))
    async with speaking(Answer(lines(pieces), pause_s=0.002)) as (speech, _):
        heard = await say(speech)
    assert b"".join(heard) == PCM
    assert all(len(piece) % 2 == 0 for piece in heard)


async def test_the_first_sound_is_passed_on_before_the_last_has_come() -> None:
    async with (
        speaking(Answer(lines([PCM] * 10), pause_s=0.1)) as (speech, serving),
        aclosing(speech.synthesize("Hello.", VOICE, "")) as pieces,
    ):
        await anext(pieces)
        assert serving.open == 1, "the vendor is not done"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EngineRejected),
        (401, EngineRejected),
        (422, EngineRejected),
        (429, EngineUnavailable),
        (500, EngineUnavailable),
        (503, EngineUnavailable),
    ],
)
async def test_a_status_becomes_our_error_without_the_vendors_words(status: int, error: type[EngineError]) -> None:
    answer = Answer((b'{"detail": {"message": "words of the vendor"}}',), status, "application/json")
    async with speaking(answer) as (speech, serving):
        with pytest.raises(error) as failed:
            await say(speech)
        assert len(serving.requests) == 1, "the SDK must not try again by itself"
    assert "words" not in str(failed.value)
    assert failed.value.stage == "speak"


async def test_a_failed_attempt_is_followed_by_another() -> None:
    script = (Answer(status=503), Answer(status=429), Answer(lines([PCM])))
    async with speaking(*script, attempts=3, retry_wait_s=0.01) as (speech, serving):
        assert b"".join(await say(speech)) == PCM
        assert len(serving.requests) == 3


async def test_a_voice_that_is_cut_is_an_error_and_is_not_asked_for_again() -> None:
    async with speaking(Answer(lines([PCM]), cut=True, pause_s=0.01), attempts=3) as (speech, serving):
        with pytest.raises(EngineUnavailable):
            await say(speech)
        assert len(serving.requests) == 1


async def test_a_vendor_that_does_not_begin_in_time_is_a_timeout() -> None:
    async with speaking(Answer(lines([PCM]), pause_s=5.0), first_output_s=0.2) as (speech, _):
        with pytest.raises(EngineTimeout):
            await say(speech)


async def test_a_vendor_that_falls_silent_is_a_timeout() -> None:
    async with speaking(Answer(lines([PCM, PCM]), pause_s=0.5), between_outputs_s=0.2) as (speech, _):
        with pytest.raises(EngineTimeout):
            await say(speech)


async def test_who_stops_listening_closes_the_vendors_stream() -> None:
    async with speaking(Answer(lines([PCM] * 1_000), pause_s=0.05)) as (speech, serving):
        async with aclosing(speech.synthesize("Hello.", VOICE, "")) as pieces:
            await anext(pieces)
        async with asyncio.timeout(10.0):
            while serving.open:
                await asyncio.sleep(0.01)


FORMATS = [
    ("pcm_8000", "pcm", 8_000, 0),
    ("ulaw_8000", "ulaw", 8_000, 0),
    ("alaw_8000", "alaw", 8_000, 0),
    ("mp3_44100_128", "mp3", 44_100, 128),
    ("mp3_22050_32", "mp3", 22_050, 32),
    ("opus_48000_32", "opus", 48_000, 32),
]


@pytest.mark.parametrize(("output_format", "codec", "rate_hz", "kbit_s"), FORMATS)
async def test_any_format_is_decoded_to_the_same_words_however_the_vendor_splits_it(
    output_format: str, codec: str, rate_hz: int, kbit_s: int
) -> None:
    voice = babble(1.0, rate_hz)
    data = encoded(voice, codec, rate_hz, kbit_s)
    pieces = tuple(data[begin : begin + 1_001] for begin in range(0, len(data), 1_001))
    async with speaking(Answer(lines(pieces), pause_s=0.001), output_format=output_format) as (speech, serving):
        heard = await say(speech)
        assert speech.rate_hz == rate_hz
    assert serving.requests[0]["query"]["output_format"] == output_format
    assert all(len(piece) % 2 == 0 for piece in heard)
    pcm = np.frombuffer(b"".join(heard), np.int16)
    assert abs(delay_s(voice, pcm, rate_hz)) <= 0.000_1
    assert len(pcm) / rate_hz == pytest.approx(1.0, abs=0.03)


async def test_decoding_begins_with_the_first_bytes() -> None:
    data = encoded(babble(2.0, 44_100), "mp3", 44_100, 128)
    pieces = tuple(data[begin : begin + 1_600] for begin in range(0, len(data), 1_600))  # 100 ms each
    async with (
        speaking(Answer(lines(pieces), pause_s=0.1), output_format="mp3_44100_128") as (speech, serving),
        aclosing(speech.synthesize("Hello.", VOICE, "")) as heard,
    ):
        await anext(heard)
        assert serving.open == 1, "the vendor is not done"


@pytest.mark.parametrize(
    ("output_format", "data", "text"),
    [
        (
            "pcm_24000",
            encoded(babble(0.2, 48_000), "opus", 48_000, 32),
            "not the format asked for: the stream is Ogg",
        ),
        ("mp3_44100_128", PCM, "not the format asked for: the stream does not begin with a frame of MP3"),
        ("opus_48000_64", PCM, "not the format asked for: the stream is not Ogg"),
        ("mp3_44100_128", encoded(babble(0.2, 24_000), "mp3", 24_000, 48), "has 24000 Hz, not 44100 Hz"),
    ],
)
async def test_an_answer_in_another_format_is_malformed_and_the_error_tells_what_came(
    output_format: str, data: bytes, text: str
) -> None:
    async with speaking(Answer(lines([data])), output_format=output_format, attempts=1) as (speech, _):
        with pytest.raises(EngineUnavailable, match=text) as raised:
            await say(speech)
    assert raised.value.fault is Fault.MALFORMED


@pytest.mark.parametrize("content_type", ["application/octet-stream", "audio/pcm", ""])
async def test_a_server_that_answers_that_call_with_bare_sound_is_asked_for_the_voice_alone(content_type: str) -> None:
    async with speaking(Answer((PCM,), content_type=content_type)) as (speech, serving):
        assert b"".join(await say(speech)) == PCM
        assert b"".join(await say(speech)) == PCM
    plain = "/v1/text-to-speech/rachel/stream"
    assert [request["path"] for request in serving.requests] == [f"{plain}/with-timestamps", plain, plain]


@pytest.mark.parametrize(
    ("codec", "output_format", "kbit_s"), [("mp3", "mp3_44100_128", 128), ("opus", "opus_48000_32", 32)]
)
async def test_times_of_encoded_voices_count_from_their_first_decoded_sample(
    codec: str, output_format: str, kbit_s: int
) -> None:
    rate_hz = int(output_format.split("_")[1])
    voice = babble(1.0, rate_hz)
    data = encoded(voice, codec, rate_hz, kbit_s)
    half = len(data) // 2
    answer = Answer((line(data[:half], "a", (0.0,), (0.5,)), line(data[half:], "b", (0.5,), (1.0,))))
    async with speaking(answer, output_format=output_format) as (speech, _):
        heard = await hear(speech)
    assert abs(delay_s(voice, np.frombuffer(b"".join(piece.pcm for piece in heard), np.int16), rate_hz)) <= 0.000_1
    assert [character for piece in heard for character in piece.characters] == [
        SpokenCharacter("a", 0.0, 0.5),
        SpokenCharacter("b", 0.5, 1.0),
    ]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_that_call_is_asked_for_the_voice_alone_and_from_then_on(status: int) -> None:
    async with speaking(Answer(status=status), Answer((PCM,))) as (speech, serving):
        assert b"".join(await say(speech)) == PCM
        assert b"".join(await say(speech)) == PCM

    plain = "/v1/text-to-speech/rachel/stream"
    assert [request["path"] for request in serving.requests] == [f"{plain}/with-timestamps", plain, plain]


async def test_a_voice_that_is_not_there_does_not_make_the_server_one_without_that_call() -> None:
    async with speaking(Answer(status=404), Answer(status=404), Answer(lines([PCM]))) as (speech, serving):
        with pytest.raises(EngineRejected):
            await say(speech)
        assert b"".join(await say(speech)) == PCM

    assert serving.requests[-1]["path"].endswith("/with-timestamps")


async def test_sound_that_is_not_base64_is_malformed() -> None:
    async with speaking(Answer((b'{"audio_base64": "?"}\n',))) as (speech, _):
        with pytest.raises(EngineUnavailable, match="base64"):
            await say(speech)
