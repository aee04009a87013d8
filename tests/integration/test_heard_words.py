"""What the chat vendor is told that the user heard, and what the avatar goes on with: to the word.

The sandbox replays one reply and speaks it; a proxy in front of it keeps what the vendor is asked.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import PlaybackReport, TurnTakingConfig
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox, running_sandbox
from tests.service.calls import Call, Fakes, Server, serving, write_avatars

REPLY = "The moon is very near tonight, and it goes around the earth once in a month."
WORDS = REPLY.split()
COUGH = ((0.0, 0.2), (1.0, 0.4), (0.0, 0.8))
"""User audio with one sound, long enough to stop the avatar: (probability of speech, seconds)."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    tokens = [word if not index else f" {word}" for index, word in enumerate(WORDS)]
    script = {"transcript": "", "tokens": tokens, "first_token_s": 0.01, "last_token_s": 0.1}
    path = tmp_path_factory.mktemp("replay") / "script.json"
    path.write_text(json.dumps(script))
    with running_sandbox("--replay", str(path), "--speech-rate", "4") as running:
        yield running


@dataclass
class Recorder:
    """A proxy that keeps the conversations the vendor was asked to go on with."""

    vendor: str
    url: str = ""
    asked: list[list[dict[str, Any]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, and its answer back as it comes."""
        body = await request.read()
        if request.path.endswith("/chat/completions"):
            self.asked.append(json.loads(body)["messages"])
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            aiohttp.ClientSession() as http,
            http.request(request.method, f"{self.vendor}{request.path}", data=body, headers=headers) as answer,
        ):
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            return response


@asynccontextmanager
async def recording(vendor: str) -> AsyncIterator[Recorder]:
    recorder = Recorder(vendor)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    recorder.url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield recorder
    finally:
        await runner.cleanup()


@asynccontextmanager
async def service(sandbox: RunningSandbox, folder: Path) -> AsyncIterator[tuple[Server, Recorder]]:
    """The service with both vendors at the sandbox; what the user says is nothing but coughs."""
    limits = LimitSettings.model_validate({})
    async with recording(sandbox.openai_url) as recorder:
        openai = openai_client(OpenAISettings.model_validate({"base_url": recorder.url, "api_key": KEY}), limits)
        voice = {"base_url": sandbox.elevenlabs_url, "api_key": KEY, "output_format": "pcm_24000", "voice_id": VOICE_ID}
        speech = ElevenLabsSpeech(ElevenLabsSettings.model_validate(voice), limits)
        fakes = Fakes(
            transcriber=FakeTranscriber(Heard("")),
            chat=cast(Any, OpenAIChat(openai, limits)),
            speech=cast(Any, speech),
        )
        try:
            async with serving(write_avatars(folder, "ada"), fakes) as server:
                yield server, recorder
        finally:
            await speech.aclose()
            await openai.close()


async def heard_five_words(call: Call) -> Duration:
    """Read on until the fifth word is told; returns where it ends."""
    while len(call.all("spoken_text")) < 6:
        await call.until("audio")
    fifth = call.all("spoken_text")[4]
    assert fifth.text.strip() == WORDS[4]
    assert not fifth.estimated
    end: Duration = fifth.end_offset
    return end


async def report(call: Call, position: Duration, *, stopped: bool = False) -> None:
    await call.send(playback_report=PlaybackReport(turn_id=1, position=position, stopped=stopped))


async def test_the_next_request_to_the_chat_vendor_holds_exactly_the_words_that_were_heard(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    async with service(sandbox, tmp_path) as (server, recorder):
        call = server.converse()
        await call.configure()
        await call.text("Where is the moon?")
        position = await heard_five_words(call)
        await report(call, position)
        await call.interrupt()
        await report(call, position, stopped=True)
        completed = await call.until("turn_completed")
        await call.text("Go on.")
        await call.until("reply_text", lambda reply: reply.turn_id == 2)
        await call.interrupt()
        await call.finish()

    assert completed.heard_text == " ".join(WORDS[:5])
    assert not completed.heard_estimated
    assert [(message["role"], message["content"]) for message in recorder.asked[-1][1:]] == [
        ("user", "Where is the moon?"),
        ("assistant", " ".join(WORDS[:5])),
        ("user", "Go on."),
    ]


async def test_after_a_cough_the_avatar_goes_on_with_the_sixth_word(sandbox: RunningSandbox, tmp_path: Path) -> None:
    async with service(sandbox, tmp_path) as (server, recorder):
        call = server.converse()
        await call.configure(turn_taking=TurnTakingConfig(false_barge_in_wait=Duration(nanos=100_000_000)))
        await call.text("Where is the moon?")
        position = await heard_five_words(call)
        await report(call, position)
        await call.speak(*COUGH)
        await call.until("interrupted")
        await report(call, position, stopped=True)
        started = await call.until("turn_started", lambda turn: turn.resumes_turn_id == 1)
        rest = await call.until("turn_completed", lambda turn: turn.turn_id == started.turn_id)
        await call.finish()

    assert rest.generated_text == " ".join(WORDS[5:])
    spoken = [word.text.strip() for word in call.all("spoken_text") if word.turn_id == started.turn_id]
    assert spoken == WORDS[5:]
    assert len(recorder.asked) == 1, "the rest of a reply is not asked for again"
