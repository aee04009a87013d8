"""A service at DEBUG: every line is structured and belongs to its session, and none holds what must not be told."""

import io
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import ConverseConfig
from avatar_service import log
from avatar_service.engines.base import ChatModel, Engines, SpeechSynthesizer, Transcriber
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.errors import EngineUnavailable
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings
from tests.animating import own_voice
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.service.calls import SPEECH_THEN_SILENCE, Fakes, serving
from tests.service.engines.vendor import Answer, vendor

SECRETS = ("cerulean", "vermilion", "umber", "ochre", "magenta", "sk-proj-4711")
"""Said by the user, by the model, by the client; the system prompt; an error's text; a key."""
HEARD, REPLY, SAID, PROMPT, ERROR, KEY = SECRETS


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Everything that is logged, as JSON at DEBUG."""
    written = io.StringIO()
    with log.restored():
        log.set_up("DEBUG", "json", written)
        yield written


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def assert_nothing_told(stream: io.StringIO) -> None:
    told = stream.getvalue().lower()
    assert [secret for secret in SECRETS if secret in told] == []


async def test_a_conversation_is_told_without_its_words(store: Path, stream: io.StringIO) -> None:
    fakes = Fakes(
        transcriber=FakeTranscriber(Heard(HEARD, 0.01)), chat=FakeChat(Reply(f"{REPLY} it is. {REPLY}!", 0.01, 0.01))
    )
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(system_prompt=PROMPT)
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        await call.say(f"{SAID} is brown.")
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
        wrong = server.converse()
        await wrong.send(config=ConverseConfig(avatar=f"avatars/{SAID}"))
        assert await wrong.end() is grpc.StatusCode.NOT_FOUND
    assert_nothing_told(stream)
    events = [line["event"] for line in lines(stream)]
    assert events.count("turn_completed") == 2
    of_first = [line for line in lines(stream) if line["event"] in ("turn_completed", "session_ended")][:3]
    assert len({line["session_id"] for line in of_first}) == 1
    assert [line.get("turn_id") for line in of_first] == [1, 2, None]
    ended = [line for line in lines(stream) if line["event"] == "session_ended"]
    assert [(line["code"], line["turns"]) for line in ended] == [("OK", 2), ("NOT_FOUND", 0)]
    assert ended[0]["duration_s"] > 0


async def test_a_callers_labels_are_logged_once_by_which_its_session_is_found(store: Path, stream: io.StringIO) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(metadata={"ticket": "A-17"})
        await call.say("Hello.")
        assert await call.finish() is grpc.StatusCode.OK
        assert await server.speak("Hello.", metadata={"ticket": "A-18"}).end() is grpc.StatusCode.OK
    started = [line for line in lines(stream) if line["event"] == "session_started"]
    assert [line["metadata"] for line in started] == [{"ticket": "A-17"}, {"ticket": "A-18"}]
    assert started[0]["session_id"] == call.only("session_started").session_id
    assert stream.getvalue().count("A-17") == 1


async def test_every_stream_names_its_session_and_its_turns(store: Path, stream: io.StringIO) -> None:
    async with serving(store, Fakes(lip_sync=FakeLipSync(fails=range(100)))) as server:
        speaking = server.speak(f"{SAID} is brown.", pacing={"unpaced": True})
        assert await speaking.end() is grpc.StatusCode.OK
        animating = server.animate()
        await animating.configure(pacing={"unpaced": True})
        for _ in range(2):
            await animating.voice(own_voice(0.1))
            await animating.end_segment()
        assert await animating.finish() is grpc.StatusCode.OK
    assert_nothing_told(stream)
    for started, turns in (("speak_started", [1]), ("animate_started", [1, 2])):
        (call,) = (call for call in (speaking, animating) if call.all(started))
        session_id = call.only(started).session_id
        of_session = [line for line in lines(stream) if line.get("session_id") == session_id]
        failed = [line["turn_id"] for line in of_session if line["event"] == "engine_failed"]
        assert [line["turn_id"] for line in of_session if line["event"] == "turn_completed"] == turns
        assert failed == [1]  # once for a stretch without frames, as the client is told
        assert of_session[-1]["event"] == "session_ended"


async def test_an_error_that_quotes_what_was_said_is_told_by_its_type_alone(store: Path, stream: io.StringIO) -> None:
    class QuotesItsInput(Exception):
        """As validation errors do."""

    class Broken(FakeTranscriber):
        async def transcribe(self, *_: Any) -> str:
            raise QuotesItsInput(ERROR)

    async with serving(store, Fakes(transcriber=Broken())) as server:
        call = server.converse()
        await call.configure(transcription={"early": False})  # all is sent before it breaks
        await call.speak(*SPEECH_THEN_SILENCE)
        assert await call.end() is grpc.StatusCode.INTERNAL
        error_id = (await call.status()).error_info.metadata["error_id"]
    assert_nothing_told(stream)
    (internal,) = [line for line in lines(stream) if line["event"] == "internal_error"]
    assert internal["error_id"] == error_id
    assert internal["session_id"].startswith("s-")
    assert "QuotesItsInput" in internal["exception"]


class RealVendors(Fakes):
    """The adapters themselves; voice activity and lip-sync are fakes."""

    def __init__(self, transcriber: Transcriber, chat: ChatModel, speech: SpeechSynthesizer) -> None:
        super().__init__()
        self._real = {"transcriber": transcriber, "chat": chat, "speech": speech}

    @property
    def engines(self) -> Engines:
        return replace(super().engines, **self._real)  # type: ignore[arg-type]  # replace's fields are of several types


async def test_vendors_that_quote_keys_and_texts_are_told_by_their_status(store: Path, stream: io.StringIO) -> None:
    quoting = Answer((f'{{"error": {{"message": "{KEY} may not say {ERROR}"}}}}'.encode(),), 401, "application/json")
    limits = LimitSettings.model_validate({})
    async with AsyncExitStack() as stack:
        url = (await stack.enter_async_context(vendor(quoting))).url
        client = openai_client(OpenAISettings.model_validate({"api_key": KEY, "base_url": url}), limits)
        stack.push_async_callback(client.close)
        speech = ElevenLabsSpeech(ElevenLabsSettings.model_validate({"api_key": KEY, "base_url": url}), limits)
        stack.push_async_callback(speech.aclose)
        vendors = RealVendors(OpenAITranscriber(client, limits), OpenAIChat(client, limits), speech)
        server = await stack.enter_async_context(serving(store, vendors))
        call = server.converse()
        await call.configure()
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        for send in (call.text(SAID), call.say(SAID)):
            await send
            await call.until("turn_completed")
        await call.finish()
    assert_nothing_told(stream)
    exhausted = [(line["stage"], line["error"]) for line in lines(stream) if line["event"] == "attempts_exhausted"]
    assert exhausted == [(stage, "EngineRejected") for stage in ("transcribe", "think", "speak", "speak")]


async def test_the_events_of_a_stage_are_those_that_operators_know(store: Path, stream: io.StringIO) -> None:
    failing = FakeTranscriber(Heard("", 0.01, EngineUnavailable("transcribe", "fake", "gone")))
    async with serving(store, Fakes(transcriber=failing)) as server:
        call = server.converse()
        await call.configure()
        await call.speak(*SPEECH_THEN_SILENCE)
        await call.until("turn_completed")
        await call.finish()
    (warning,) = [line for line in lines(stream) if line["level"] == "warning"]
    assert (warning["event"], warning["stage"], warning["turn_id"]) == ("engine_failed", "transcribe", 1)
    assert_nothing_told(stream)
