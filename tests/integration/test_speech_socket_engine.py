"""The WebSocket text to speech adapter against the real sandbox: same voice as over HTTP, kept connections, faults."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from avatar.v1 import TurnOutcome
from avatar_service.engines.base import SpeechContext, SpeechSynthesizer, Voice
from avatar_service.engines.elevenlabs_socket import INACTIVITY_S, ElevenLabsSocketSpeech
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.media.heard import Spoken, SpokenWord
from avatar_service.settings import ElevenLabsSettings, LimitSettings
from tests.fakes.chat import FakeChat, Reply
from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox, running_sandbox
from tests.service.calls import Fakes, serving, write_avatars

VOICE = Voice(VOICE_ID, "eleven_multilingual_v2")
REPLY = ("The capital of France is Paris.", "It is known for art, fashion, and culture!", "Will you go there?")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def quick_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """One whose voice is a tone, so that many conversations at once take no time."""
    path = tmp_path_factory.mktemp("replay") / "script.json"
    path.write_text(json.dumps({"transcript": "", "tokens": ["Hm."], "first_token_s": 0.01, "last_token_s": 0.01}))
    with running_sandbox("--replay", str(path)) as running:
        yield running


@asynccontextmanager
async def speaking(
    sandbox: RunningSandbox, inactivity_s: int = INACTIVITY_S, **settings: Any
) -> AsyncIterator[tuple[ElevenLabsSpeech, ElevenLabsSocketSpeech]]:
    """Both ways of speaking; nothing is open at the sandbox after it."""
    chosen = ElevenLabsSettings.model_validate({"base_url": sandbox.elevenlabs_url, "api_key": KEY} | settings)
    limits = LimitSettings.model_validate({"attempts": 5, "retry_wait_s": 0.05, "first_output_s": 10.0})
    http = ElevenLabsSpeech(chosen, limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatar_service.engines.elevenlabs_sentence.TAIL_S", 0.25)  # this machine may be busy
        try:
            async with ElevenLabsSocketSpeech(http, chosen, limits, inactivity_s=inactivity_s) as socket:
                yield http, socket
        finally:
            await http.aclose()
    async with asyncio.timeout(5.0):
        while any(request["outcome"] == "running" for request in connections(sandbox)):
            await asyncio.sleep(0.05)


def connections(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """The WebSockets of this sandbox, oldest first."""
    return [request for request in sandbox.requests() if request["route"].endswith("/multi-stream-input")]


async def said(turn: SpeechContext, texts: Sequence[str], rate_hz: int) -> tuple[list[bytes], list[SpokenWord]]:
    """The voice of each text, and the words of all."""
    spoken, voices = Spoken(), list[bytes]()
    for text in texts:
        spoken.begin(text, sum(map(len, voices)) / 2 / rate_hz)
        pcm = b""
        async with aclosing(turn.say(text, "")) as pieces:
            async for piece in pieces:
                spoken.align(piece.characters)
                pcm += piece.pcm
        voices.append(pcm)
        spoken.end(sum(map(len, voices)) / 2 / rate_hz)
    return voices, list(spoken.words)


async def reply(speech: SpeechSynthesizer, texts: Sequence[str] = REPLY) -> tuple[list[bytes], list[SpokenWord]]:
    async with speech.speaking(VOICE) as turn:
        return await said(turn, texts, speech.rate_hz)


async def test_a_reply_is_as_long_as_over_http_to_the_sample_and_its_words_lie_at_the_same_places(
    sandbox: RunningSandbox,
) -> None:
    async with speaking(sandbox) as (http, socket):
        voices, words = await reply(http)
        socket_voices, socket_words = await reply(socket)
        again, _ = await reply(socket)
    assert [len(pcm) for pcm in voices] == [len(pcm) for pcm in socket_voices] == [len(pcm) for pcm in again]
    assert socket_voices[0] == voices[0], "only the noise of later sentences is another one in a context"
    assert "".join(word.text for word in socket_words).strip() == " ".join(REPLY)
    assert not any(word.estimated for word in socket_words)
    for word, socket_word in zip(words, socket_words, strict=True):
        assert socket_word.start_s == pytest.approx(word.start_s, abs=0.02), word
        assert socket_word.end_s == pytest.approx(word.end_s, abs=0.02), word


@pytest.mark.parametrize("output_format", ["mp3_44100_128", "opus_48000_64", "ulaw_8000", "pcm_8000"])
async def test_any_format_is_as_long_as_over_http(quick_sandbox: RunningSandbox, output_format: str) -> None:
    async with speaking(quick_sandbox, output_format=output_format) as (http, socket):
        voices, words = await reply(http, REPLY[:2])
        socket_voices, socket_words = await reply(socket, REPLY[:2])
    assert [len(pcm) for pcm in voices] == [len(pcm) for pcm in socket_voices]
    for word, socket_word in zip(words, socket_words, strict=True):
        assert socket_word.start_s == pytest.approx(word.start_s, abs=0.15), "the sandbox's encoders hold sound back"


async def test_a_connection_outlives_turns_barge_ins_and_silence(quick_sandbox: RunningSandbox) -> None:
    before = len(connections(quick_sandbox))
    async with speaking(quick_sandbox, inactivity_s=1) as (_, socket):
        voices, _ = await reply(socket)
        async with socket.speaking(VOICE) as turn:
            assert (await said(turn, REPLY[:1], socket.rate_hz))[0] == voices[:1]
            await asyncio.sleep(1.3)  # the chat model takes its time, longer than the vendor waits for text
            assert (await said(turn, REPLY[1:2], socket.rate_hz))[0] == voices[1:2]
        async with socket.speaking(VOICE) as turn, aclosing(turn.say(REPLY[0], "")) as pieces:
            await anext(pieces)
        await asyncio.sleep(1.3)
        assert (await reply(socket))[0] == voices
    assert len(connections(quick_sandbox)) == before + 1


async def test_twenty_conversations_at_once_hear_their_own_words(quick_sandbox: RunningSandbox) -> None:
    before = len(connections(quick_sandbox))
    texts = [(f"This is conversation {'a' * number}.", f"And its end {'b' * number}!") for number in range(20)]
    async with speaking(quick_sandbox) as (http, socket):
        expected = [[len(pcm) for pcm in (await reply(http, own))[0]] for own in texts]

        async def conversation(number: int) -> None:
            await asyncio.sleep(0.02 * number)  # more texts at the same moment and the sandbox is busy
            for _ in range(2):
                voices, words = await reply(socket, texts[number])
                assert [len(pcm) for pcm in voices] == expected[number]
                assert "".join(word.text for word in words).strip() == " ".join(texts[number])

        await asyncio.gather(*map(conversation, range(20)))
    assert 10 <= len(connections(quick_sandbox)) - before <= 30


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "status", "status": 503},
        {"fault": "cut", "after": 0},
        {"fault": "close", "code": 1011, "after": 0},
        {"fault": "error_frame", "after": 0},
        {"fault": "garbage", "after": 0},
    ],
    ids=lambda fault: fault["fault"],
)
async def test_a_fault_of_the_sandbox_costs_an_attempt_and_nothing_else(
    quick_sandbox: RunningSandbox, fault: dict[str, Any]
) -> None:
    async with speaking(quick_sandbox) as (_, socket):
        voices, _ = await reply(socket, REPLY[:1])
    async with speaking(quick_sandbox) as (_, socket):
        inject(quick_sandbox, [{"on": "speech_socket", "first": 1} | fault])
        assert (await reply(socket, REPLY[:1]))[0] == voices
        assert [request["fault"] for request in connections(quick_sandbox)[-2:]] == [fault["fault"], None]
    inject(quick_sandbox, [])


def inject(sandbox: RunningSandbox, rules: list[dict[str, Any]]) -> None:
    request = urllib.request.Request(f"{sandbox.url}/sandbox/faults", json.dumps(rules).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass


async def test_a_conversation_over_grpc_speaks_its_turns_on_one_connection(
    quick_sandbox: RunningSandbox, tmp_path: Path
) -> None:
    before = len(connections(quick_sandbox))
    sentences = ("It is near.", "Go and look!")
    chat = FakeChat(Reply(" ".join(sentences), 0.01, 0.01))
    async with (
        speaking(quick_sandbox) as (http, socket),
        serving(write_avatars(tmp_path, "ada"), Fakes(chat=chat, speech=cast(Any, socket))) as server,
    ):
        voices, _ = await reply(http, sentences)
        call = server.converse()
        await call.configure()
        for turn_id in (1, 2, 3):
            await call.text("Where shall I go?")
            if turn_id == 2:
                await call.until("audio")
                await call.interrupt()
            await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
        first, second, third = call.all("turn_completed")
        assert second.outcome == TurnOutcome.TURN_OUTCOME_INTERRUPTED
        for completed in (first, third):
            assert completed.outcome == TurnOutcome.TURN_OUTCOME_COMPLETED
            assert completed.heard_text == completed.generated_text == " ".join(sentences)
        end = sum(map(len, voices))
        for turn_id in (1, 3):
            heard = b"".join(audio.data for audio in call.all("audio") if audio.turn_id == turn_id)
            assert heard.startswith(voices[0])
            assert any(heard[len(voices[0]) : end])
            assert 0 <= len(heard) - end < 1_920, "the whole reply, and the rest of its last frame"
    assert len(connections(quick_sandbox)) == before + 1
