"""Voices by ElevenLabs' protocol over HTTP that are cut, late, empty, endless, or no voices at all."""

import asyncio
import base64
import json
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from avatar_service.engines.elevenlabs_answers import LINE_BYTES
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.errors import EngineError, EngineTimeout, Fault
from tests.service.engines.test_elevenlabs import PCM, VOICE, line, lines, say, speaking
from tests.service.engines.test_elevenlabs_voices import account
from tests.service.engines.vendor import Answer

TEXT = "The moon is near."
JSON = "application/json"
SECRET = "words of the vendor"
PLAIN = "/v1/text-to-speech/rachel/stream"
TIMED = f"{PLAIN}/with-timestamps"
NO_SUCH_CALL = Answer(status=405)


@dataclass
class Heard:
    """What came of a voice that fails, and why it did."""

    pcm: bytes = b""
    characters: str = ""
    error: EngineError = field(init=False)


async def broken_off(speech: ElevenLabsSpeech, text: str = TEXT) -> Heard:
    heard = Heard()
    try:
        async with aclosing(speech.synthesize(text, VOICE, "")) as pieces:
            async for piece in pieces:
                heard.pcm += piece.pcm
                heard.characters += "".join(one.text for one in piece.characters)
    except EngineError as error:
        heard.error = error
    assert SECRET not in str(heard.error) + heard.error.advice, "or the voice is whole"
    return heard


def timed(*pieces: bytes, **how: object) -> Answer:
    return Answer(pieces, content_type=JSON, **how)  # type: ignore[arg-type]  # fields of Answer


PAGE = f"<html>{SECRET}</html>".encode()
NO_VOICES = {
    "a page": Answer((PAGE,), content_type="text/html; charset=utf-8"),
    "a page that says it is JSON": timed(PAGE),
    "no JSON": timed(b'{"audio_base64": "AAA\n'),
    "no object": timed(b"[]\n"),
    "no base64": timed(json.dumps({"audio_base64": SECRET}).encode()),
    "not even text": timed(json.dumps({"audio_base64": [7]}).encode()),
    "no text at all": timed(b"\xff\xfe{}\n"),
    "nothing": timed(),
    "empty lines": timed(b"\n\n\n"),
    "lines without sound": timed(line(b""), line(b"")),
}


@pytest.mark.parametrize("answer", NO_VOICES.values(), ids=NO_VOICES)
async def test_an_answer_that_is_no_voice_is_malformed_tried_again_and_no_reason_to_ask_for_less(
    answer: Answer,
) -> None:
    async with speaking(answer, attempts=2, retry_wait_s=0.01) as (speech, serving):
        heard = await broken_off(speech)
        assert (heard.pcm, heard.error.fault) == (b"", Fault.MALFORMED)
        assert [request["path"] for request in serving.requests] == [TIMED, TIMED]
        serving.script = [timed(line(PCM, "T", (0.0,), (0.1,)))]
        assert b"".join(await say(speech)) == PCM
        assert serving.requests[-1]["path"] == TIMED, "the times are asked for as before"


@pytest.mark.parametrize("content_type", ["text/html", JSON, "text/plain"])
async def test_the_call_without_times_believes_no_answer_that_says_it_is_text(content_type: str) -> None:
    script = (NO_SUCH_CALL, Answer((PAGE,), content_type=content_type))
    async with speaking(*script) as (speech, _):
        heard = await broken_off(speech)
    assert (heard.pcm, heard.error.fault) == (b"", Fault.MALFORMED)


async def test_a_voice_without_times_that_says_nothing_is_malformed() -> None:
    async with speaking(NO_SUCH_CALL, Answer(content_type="audio/pcm")) as (speech, serving):
        assert (await broken_off(speech)).error.fault is Fault.MALFORMED
        assert len(serving.requests) == 2


@pytest.mark.parametrize("text", ["...", "\N{SMILING FACE WITH SUNGLASSES}", " - "])
async def test_a_text_without_letters_has_no_voice_and_is_not_asked_for(text: str) -> None:
    async with speaking(timed()) as (speech, serving):
        async with aclosing(speech.synthesize(text, VOICE, "")) as pieces:
            assert [piece async for piece in pieces] == []
        assert serving.requests == []


BREAKS = {
    "cut": (timed(line(PCM, "The", (0.0, 0.1, 0.2), (0.1, 0.2, 0.3)), cut=True), Fault.CONNECTION),
    "stalled": (timed(line(PCM, "The", (0.0, 0.1, 0.2), (0.1, 0.2, 0.3)), stall=True), Fault.TIMEOUT),
    "garbage": (timed(line(PCM, "The", (0.0, 0.1, 0.2), (0.1, 0.2, 0.3)), b"{\xff\n", line(PCM)), Fault.MALFORMED),
    "a line that is cut": (timed(line(PCM, "The", (0.0, 0.1, 0.2), (0.1, 0.2, 0.3)), line(PCM)[:99]), Fault.MALFORMED),
    "an error": (
        timed(
            line(PCM, "The", (0.0, 0.1, 0.2), (0.1, 0.2, 0.3)),
            json.dumps({"detail": {"status": "quota_exceeded", "message": SECRET}}).encode() + b"\n",
        ),
        Fault.QUOTA,
    ),
    "another error": (
        timed(line(PCM, "The", (0.0, 0.1, 0.2), (0.1, 0.2, 0.3)), json.dumps({"error": SECRET}).encode()),
        Fault.OVERLOADED,
    ),
}


@pytest.mark.parametrize(("answer", "fault"), BREAKS.values(), ids=BREAKS)
async def test_of_a_voice_that_breaks_off_what_came_is_passed_on_and_it_is_not_asked_for_again(
    answer: Answer, fault: Fault
) -> None:
    async with speaking(answer, attempts=3, between_outputs_s=1.0) as (speech, serving):
        heard = await broken_off(speech)
        assert (heard.pcm, heard.characters, heard.error.fault) == (PCM, "The", fault)
        assert len(serving.requests) == 1


@pytest.mark.parametrize(
    "script", [(timed(line(PCM[:-1])),), (NO_SUCH_CALL, Answer((PCM[:-1],)))], ids=["timed", "plain"]
)
async def test_samples_of_odd_length_are_malformed_behind_all_that_is_whole(script: tuple[Answer, ...]) -> None:
    async with speaking(*script) as (speech, _):
        heard = await broken_off(speech)
    assert (heard.pcm, heard.error.fault) == (PCM[:-2], Fault.MALFORMED)


@pytest.mark.parametrize("calls", ["timed", "plain"])
async def test_a_voice_without_end_is_ended(calls: str) -> None:
    """17 characters may take 18.5 s."""
    second = bytes(48_000)
    script = (timed(*lines([second] * 40)),) if calls == "timed" else (NO_SUCH_CALL, Answer((second,) * 40))
    async with speaking(*script) as (speech, _):
        heard = await broken_off(speech)
    assert heard.error.fault is Fault.MALFORMED
    assert 17.5 < len(heard.pcm) / 48_000 <= 18.5


async def test_of_a_voice_with_times_the_end_is_known() -> None:
    second = bytes(48_000)
    ends_s = [0.1 * (index + 1) for index in range(len(TEXT))]
    told = line(second, TEXT, [end_s - 0.1 for end_s in ends_s], ends_s)
    async with speaking(timed(told, *lines([second] * 40))) as (speech, _):
        heard = await broken_off(speech)
    assert heard.error.fault is Fault.MALFORMED
    assert len(heard.pcm) / 48_000 == 5.0, "1.7 s by its times, a quarter more, and 3 s"


async def test_a_line_without_end_is_not_kept() -> None:
    part = b"A" * (LINE_BYTES // 4)
    async with speaking(timed(b'{"audio_base64": "', *(part,) * 5)) as (speech, _):
        assert (await broken_off(speech)).error.fault is Fault.MALFORMED


async def test_a_line_may_hold_separators_that_are_no_ends_of_lines() -> None:
    told = {"audio_base64": base64.b64encode(PCM).decode(), "normalized_alignment": {"characters": ["\u2028", "\x0b"]}}
    async with speaking(timed(json.dumps(told, ensure_ascii=False).encode())) as (speech, _):
        assert b"".join(await say(speech)) == PCM


async def test_a_voice_slower_than_real_time_is_passed_on_as_it_comes() -> None:
    pieces = [PCM[begin : begin + 2_400] for begin in range(0, len(PCM), 2_400)]  # 50 ms each
    async with speaking(timed(*lines(pieces), pause_s=0.1)) as (speech, _):
        assert b"".join(await say(speech)) == PCM


@pytest.mark.parametrize(
    "script", [(timed(line(PCM)),), (Answer((PCM,), content_type="audio/pcm"),)], ids=["timed", "plain"]
)
async def test_an_attempt_tells_the_vendors_name_of_the_request_and_how_much_sound_came(
    script: tuple[Answer, ...],
) -> None:
    named = tuple(Answer(a.pieces, content_type=a.content_type, headers={"request-id": "req-7"}) for a in script)
    with capture_logs() as logged:
        async with speaking(*named) as (speech, _):
            await say(speech)
    (finished,) = [entry for entry in logged if entry["event"] == "attempt_finished"]
    assert (finished["vendor_request_id"], finished["bytes"]) == ("req-7", len(PCM))


async def test_whoever_waits_behind_others_for_the_list_of_voices_waits_no_longer_than_the_stage_may_last() -> None:
    """One after the other they would take 3 s."""
    loop = asyncio.get_running_loop()
    async with account(Answer(pause_s=10.0), stage_s=0.3, breaker_failures=1_000) as (speech, _):
        began_s = loop.time()
        outcomes = await asyncio.gather(*(speech.voices() for _ in range(10)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {EngineTimeout}
    assert loop.time() - began_s < 2.0
