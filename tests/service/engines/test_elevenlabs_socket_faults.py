"""Text to speech over ElevenLabs' WebSocket when the vendor fails: what each fault becomes, and what goes on."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from avatar_service.engines.base import SpeechContext
from avatar_service.errors import EngineError, EngineRejected, Fault
from tests.service.engines.socket_speech import MOON, STARS, VOICE, hear, say, speaking
from tests.service.engines.socket_vendor import Said, pcm, piece, voice

BEGUN = piece(pcm(0.1), "The", (0, 10, 20))


def told(error: str, code: int = 1008) -> dict[str, Any]:
    """The vendor's message before it closes."""
    return {"message": "words of the vendor", "error": error, "code": code}


async def broken_off(turn: SpeechContext, text: str) -> tuple[bytes, Fault]:
    """What is heard of a text whose voice breaks off, and why it does."""
    heard: list[bytes] = []
    try:
        async with aclosing(turn.say(text, "")) as pieces:
            async for one in pieces:
                heard.append(one.pcm)  # noqa: PERF401 - what was heard before the error is wanted
    except EngineError as error:
        return b"".join(heard), error.fault
    raise AssertionError("it did not break off")


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, Fault.AUTHENTICATION),
        (403, Fault.PERMISSION),
        (404, Fault.NOT_FOUND),
        (429, Fault.RATE_LIMIT),
        (500, Fault.OVERLOADED),
        (503, Fault.OVERLOADED),
    ],
)
async def test_a_refused_handshake_is_told_by_its_status(status: int, fault: Fault) -> None:
    async with speaking(voice(MOON), statuses=[status]) as (speech, serving), speech.speaking(VOICE) as turn:
        with pytest.raises(EngineError) as failed:
            await say(turn)
    assert failed.value.fault is fault
    assert "words" not in str(failed.value)
    assert serving.connections == []


async def test_a_refused_handshake_is_told_by_the_vendors_code_where_it_has_one() -> None:
    async with speaking(voice(MOON), statuses=[401]) as (speech, serving), speech.speaking(VOICE) as turn:
        serving.body = '{"detail": {"status": "quota_exceeded", "message": "words of the vendor"}}'
        with pytest.raises(EngineRejected, match=r"status 401 \(quota_exceeded\)") as failed:
            await say(turn)
    assert failed.value.fault is Fault.QUOTA


FAULTS = [
    pytest.param(Said((told("invalid_api_key"),), close=1008), Fault.AUTHENTICATION, id="wrong key"),
    pytest.param(Said((told("quota_exceeded"),), close=1008), Fault.QUOTA, id="quota"),
    pytest.param(Said((told("voice_not_found"),), close=1008), Fault.NOT_FOUND, id="no such voice"),
    pytest.param(Said((told("invalid_parameters"),), close=1008), Fault.BAD_REQUEST, id="bad request"),
    pytest.param(Said((told("too_many_concurrent_requests"),), close=1008), Fault.RATE_LIMIT, id="rate limit"),
    pytest.param(Said((told("max_active_conversations"),), close=1008), Fault.OVERLOADED, id="too many contexts"),
    pytest.param(Said((told("unheard_of", 1011),)), Fault.OVERLOADED, id="error message alone"),
    pytest.param(Said(close=1011), Fault.OVERLOADED, id="closed by an internal error"),
    pytest.param(Said(close=1000), Fault.CONNECTION, id="closed in mid-sentence"),
    pytest.param(Said(cut=True), Fault.CONNECTION, id="cut"),
    pytest.param(Said(("<html>",)), Fault.MALFORMED, id="no JSON"),
    pytest.param(Said(("[" * 100_000,)), Fault.MALFORMED, id="deep JSON"),
    pytest.param(Said(("[]",)), Fault.MALFORMED, id="JSON of another shape"),
    pytest.param(Said((pcm(0.1),)), Fault.MALFORMED, id="binary"),
    pytest.param(Said(({"audio": "?"},)), Fault.MALFORMED, id="no base64"),
    pytest.param(Said(({"audio": 7},)), Fault.MALFORMED, id="no text"),
    pytest.param(Said((piece(b"OggS" * 100),)), Fault.MALFORMED, id="another format"),
    pytest.param(Said((piece(b""), {"isFinal": True})), Fault.MALFORMED, id="zero audio"),
    pytest.param(Said(), Fault.TIMEOUT, id="stall"),
]


@pytest.mark.parametrize(("said", "fault"), FAULTS)
async def test_a_fault_before_the_first_sound_is_told_by_its_kind(said: Said, fault: Fault) -> None:
    async with speaking(said, first_output_s=0.3) as (speech, _):
        with pytest.raises(EngineError) as failed:
            async with speech.speaking(VOICE) as turn:
                await say(turn)
    assert failed.value.fault is fault
    assert failed.value.stage == "speak"
    assert not {"words", "sk-secret"} & set(str(failed.value).split())


RETRIED = [param for param in FAULTS if param.values[1] not in EngineRejected.faults]


@pytest.mark.parametrize(("said", "fault"), RETRIED)
async def test_before_the_first_sound_another_connection_is_tried(said: Said, fault: Fault) -> None:
    del fault
    async with speaking(said, voice(MOON), attempts=2, first_output_s=0.3) as (speech, serving):
        async with speech.speaking(VOICE) as turn:
            assert await say(turn) == pcm(0.22)
        async with speech.speaking(VOICE) as turn:
            assert await say(turn) == pcm(0.22)
    assert [len(connection.of("flush")) for connection in serving.connections] == [1, 2]


async def test_a_refused_handshake_is_tried_again() -> None:
    async with speaking(voice(MOON), statuses=[503, 429], attempts=3) as (speech, _), speech.speaking(VOICE) as turn:
        assert await say(turn) == pcm(0.22)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (Said((BEGUN,)), Fault.TIMEOUT),
        (Said((BEGUN,), cut=True), Fault.CONNECTION),
        (Said((BEGUN,), close=1011), Fault.OVERLOADED),
        (Said((BEGUN, told("system_busy"))), Fault.OVERLOADED),
        (Said((BEGUN, "garbage")), Fault.MALFORMED),
    ],
)
async def test_after_it_the_error_goes_up_and_what_is_said_next_has_another_connection(
    said: Said, fault: Fault
) -> None:
    async with speaking(said, voice(STARS), attempts=3, between_outputs_s=0.3) as (speech, serving):
        async with speech.speaking(VOICE) as turn:
            assert await broken_off(turn, MOON) == (pcm(0.1), fault)
            assert await say(turn, STARS) == pcm(0.26)
        assert serving.connections[0].of("close_context") == []
    assert [len(connection.of("flush")) for connection in serving.connections] == [1, 1]


async def test_half_a_sample_at_the_end_is_told_when_the_whole_ones_were_heard() -> None:
    odd = Said((piece(pcm(0.1) + b"\x01", MOON, range(len(MOON)), 1),))
    async with speaking(odd) as (speech, _), speech.speaking(VOICE) as turn:
        heard, fault = await broken_off(turn, MOON)
    assert (heard, fault) == (pcm(0.1), Fault.MALFORMED)


@pytest.mark.parametrize("silent", [False, True], ids=["with times", "without"])
async def test_a_voice_without_end_is_cut(silent: bool) -> None:
    endless = Said((piece(pcm(1.0)) if silent else piece(pcm(1.0), "The", (0, 10, 20)),), pause_s=0.001, endless=True)
    async with speaking(endless) as (speech, _), speech.speaking(VOICE) as turn:
        heard, fault = await broken_off(turn, MOON)
    assert fault is Fault.MALFORMED
    assert len(heard) / 48_000 < 30


async def test_messages_without_end_that_nobody_takes_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_service.engines.elevenlabs_connection.MOST_WAITING_BYTES", 1_000_000)
    async with speaking(Said((piece(pcm(1.0)),), endless=True)) as (speech, serving), speech.speaking(VOICE) as turn:
        pieces = turn.say(MOON, "")
        await anext(pieces)
        async with asyncio.timeout(10.0):
            while serving.open:
                await asyncio.sleep(0.01)
        with pytest.raises(EngineError, match="without end"):
            [one async for one in pieces]


async def test_a_message_larger_than_any_is_not_read_and_another_connection_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("avatar_service.engines.elevenlabs_pool.LARGEST_MESSAGE_BYTES", 50_000)
    large = Said((piece(pcm(1.0), MOON, range(len(MOON))),))
    async with speaking(large, voice(MOON), attempts=2) as (speech, serving), speech.speaking(VOICE) as turn:
        assert await say(turn) == pcm(0.22)
    assert len(serving.connections) == 2


@pytest.mark.parametrize(
    "alignment",
    [7, {}, {"chars": ["a"]}, {"chars": "ab", "charStartTimesMs": [0, 1], "charDurationsMs": [1, None]}],
)
async def test_times_that_make_no_sense_are_left_out_and_the_voice_goes_on(alignment: Any) -> None:
    odd = Said((piece(pcm(0.1)) | {"alignment": alignment},))
    async with speaking(odd, between_outputs_s=0.4) as (speech, _), speech.speaking(VOICE) as turn:
        (heard,) = await hear(turn)
    assert (heard.pcm, heard.characters) == (pcm(0.1), ())


@pytest.mark.parametrize("ends", ["with the error", "after a second engine"])
async def test_a_turn_whose_voice_stalled_leaves_no_connection_to_the_next_one(ends: str) -> None:
    async with speaking(Said(), voice(STARS), first_output_s=0.2) as (speech, serving):
        if ends == "with the error":
            with pytest.raises(EngineError):
                async with speech.speaking(VOICE) as turn:
                    await say(turn)
        else:
            async with speech.speaking(VOICE) as turn:
                with pytest.raises(EngineError):
                    await say(turn)
        async with speech.speaking(VOICE) as turn:
            assert await say(turn, STARS) == pcm(0.26)
    assert len(serving.connections) == 2
