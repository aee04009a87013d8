"""A day on which every vendor fails and quotes what it was given: nothing of that is in logs, spans or metrics."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from aiohttp.test_utils import TestServer

from avatar.v1 import ConverseConfig, UserAudio, UtteranceEnded, UtteranceStarted
from avatar_service.engines.base import Engines
from avatar_service.engines.elevenlabs_speech import ElevenLabsSpeech
from avatar_service.engines.openai_chat import OpenAIChat
from avatar_service.engines.openai_client import openai_client
from avatar_service.engines.openai_transcriber import OpenAITranscriber
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.settings import ElevenLabsSettings, LimitSettings, OpenAISettings, TritonSettings
from tests.chaos.system import running_system
from tests.fakes.triton_server import JPEG, Triton, serving_triton
from tests.fakes.voice_activity import FakeVoiceActivity, pcm_of_probability
from tests.nothing_private import Private, Told, listening
from tests.service.calls import Call, Fakes, serving
from tests.service.engines.vendor import chunk, event

PRIVATE = Private.of("badday")
LIMITS = LimitSettings.model_validate({"attempts": 2, "retry_wait_s": 0.01, "first_output_s": 2.0, "stage_s": 5.0})


class Quoting:
    """Both vendors at once: each answers with the next of its script, and puts what it was sent into every refusal."""

    def __init__(self, **scripts: list[Any]) -> None:
        self.scripts = scripts

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with a status, or with the pieces of a body."""
        sent = await request.read()
        script = next((script for path, script in self.scripts.items() if path in request.path), [404])
        answer = script.pop(0) if len(script) > 1 else script[0]
        headers = {"x-request-id": f"for {PRIVATE.body}", "request-id": f"for {PRIVATE.body}"}
        if isinstance(answer, int):
            return web.Response(status=answer, body=self._quoted(request, sent), headers=headers)
        response = web.StreamResponse(headers=headers | {"Content-Type": answer[0]})
        await response.prepare(request)
        for piece in answer[1:]:
            await response.write(piece)
        return response

    def _quoted(self, request: web.Request, sent: bytes) -> bytes:
        words = f"{PRIVATE.body} {dict(request.headers)} {sent.decode('latin-1')}"
        error = {"message": words, "type": PRIVATE.body, "code": PRIVATE.body, "param": PRIVATE.body}
        return json.dumps({"error": error, "detail": {"status": PRIVATE.body, "message": words}}).encode()


class QuotingTriton(Triton):
    """Refuses its first request in words of its own."""

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """The first is refused."""
        if not self.requests:
            self.requests.append({})
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{PRIVATE.body} {request.raw_input_contents!r}")
        return await super().ModelInfer(request, context)


SSE, LINES = "text/event-stream", "application/json"
WHOLE = (
    SSE,
    chunk(f"{PRIVATE.reply} it is. "),
    chunk(f"So {PRIVATE.reply}."),
    chunk(finish_reason="stop"),
    event("[DONE]"),
)
CUT = (SSE, chunk(f"{PRIVATE.reply} it is. And"), event({"error": {"message": PRIVATE.body, "code": PRIVATE.body}}))
GARBAGE = (SSE, f"data: {{{PRIVATE.body}\n\n".encode(), f"{PRIVATE.body}\n\n".encode())
VOICE = json.dumps({"audio_base64": base64.b64encode(PRIVATE.sound * 8).decode()}).encode() + b"\n"
UNDERSTOOD = ("application/json", json.dumps({"text": f"What of {PRIVATE.transcript}?"}).encode())
NO_JSON = ("text/html", f"<html>{PRIVATE.body}</html>".encode())


class RealVendors(Fakes):
    """The adapters of vendors and Triton; voice activity is a fake."""

    def __init__(self, url: str, lip_sync: TritonLipSync) -> None:
        super().__init__()
        self.client = openai_client(OpenAISettings.model_validate({"api_key": PRIVATE.key, "base_url": url}), LIMITS)
        self.voice = ElevenLabsSpeech(
            ElevenLabsSettings.model_validate({"api_key": PRIVATE.key, "base_url": url}), LIMITS
        )
        self._lip_sync = lip_sync

    @property
    def engines(self) -> Engines:
        transcriber, chat = OpenAITranscriber(self.client, LIMITS), OpenAIChat(self.client, LIMITS)
        return Engines(FakeVoiceActivity(), transcriber, chat, self.voice, self._lip_sync)


@asynccontextmanager
async def conversing(store: Path, vendors: Quoting) -> AsyncIterator[Call]:
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", vendors.handle)
        url = str((await stack.enter_async_context(TestServer(app))).make_url("")).rstrip("/")
        address = await stack.enter_async_context(serving_triton(QuotingTriton(picture=JPEG + b"frame")))
        settings = TritonSettings.model_validate({"address": address})
        real = RealVendors(url, await stack.enter_async_context(TritonLipSync(settings)))
        stack.push_async_callback(real.client.close)
        stack.push_async_callback(real.voice.aclose)
        server = await stack.enter_async_context(serving(store, real))
        call = server.converse()
        await call.configure(system_prompt=PRIVATE.prompt, transcription={"early": False})
        yield call
        assert await call.finish() is grpc.StatusCode.OK
        wrong = server.converse()
        await wrong.send(config=ConverseConfig(avatar=f"avatars/{PRIVATE.transcript}"))
        assert await wrong.end() is grpc.StatusCode.NOT_FOUND


async def say(call: Call) -> None:
    """The user says something."""
    voice = pcm_of_probability(1.0, 0.4)
    await call.send(audio=UserAudio(data=pcm_of_probability(0.0, 0.4) + voice))
    await call.send(audio=UserAudio(data=PRIVATE.sound + voice))
    await call.send(audio=UserAudio(data=pcm_of_probability(0.0, 1.0)))
    await call.until("turn_completed")


async def write(call: Call) -> None:
    """The user types something."""
    await call.text(f"What of {PRIVATE.transcript}?")
    await call.until("turn_completed")


async def test_a_bad_day_leaves_nothing_private_behind(store: Path) -> None:
    vendors = Quoting(
        transcriptions=[503, UNDERSTOOD, 400, NO_JSON],
        completions=[401, CUT, WHOLE, GARBAGE],
        speech=[(LINES, VOICE), 500, (LINES, VOICE, f"{{{PRIVATE.body}\n".encode()), 401],
    )
    with listening() as told:
        async with conversing(store, vendors) as call:
            for act in (say, write, write, write, say, say):
                await act(call)
    assert PRIVATE.found_in(told.text) == []
    assert "body" in PRIVATE.found_in(told.libraries), "they are heard, and some of it is there to be found"
    assert len(told.spans.named("turn")) == 6
    failed = {
        (line["stage"], line["fault"])
        for line in lines(told)
        if line["event"] == "attempt_finished" and "fault" in line
    }
    assert {stage for stage, _ in failed} == {"transcribe", "think", "speak", "animate"}
    assert {"authentication", "bad_request", "malformed"} <= {fault for _, fault in failed}


async def test_a_day_of_every_fault_leaves_nothing_private_behind(tmp_path: Path) -> None:
    """The whole service as it is wired; the sandbox fails each request but the last ones in a way of its own."""
    replay = Replay(
        f"What of {PRIVATE.transcript}?", (PRIVATE.reply, " it", " is.", " Yes", "."), 0.0, 0.0, speech="tone"
    )
    sandbox = Sandbox(SandboxSettings(key=PRIVATE.key), replay)
    code: dict[str, Any] = {"code": PRIVATE.body}
    faults: dict[str, list[dict[str, Any]]] = {
        "transcription": [{"fault": "status", "status": 400, **code}, *named("garbage", "content_type", "empty")],
        "chat": [
            *({"fault": "error_frame", "after": 2, **code}, {"fault": "cut", "after": 2}),
            *named("garbage", "content_type", "refusal", "content_filter", "broken_tool_call", "empty"),
        ],
        "speech": [
            *({"fault": "status", "status": 401, **code}, {"fault": "error_frame", "after": 1, **code}),
            *named("garbage", "content_type", "odd_length", "empty", "cut"),
        ],
    }
    rules = [{"on": on, "nth": [nth], **fault} for on, of in faults.items() for nth, fault in enumerate(of, 1)]
    keys = {"api_key": PRIVATE.key}
    with listening() as told:
        async with running_system(tmp_path, sandbox=sandbox, openai=keys, elevenlabs=keys) as system:
            sandbox.faults.replace(rules)
            call = system.converse()
            manual = {"mode": "TURN_TAKING_MODE_MANUAL"}
            await call.configure(system_prompt=PRIVATE.prompt, turn_taking=manual, transcription={"early": False})
            for _ in range(7):
                await mark(call)
            assert call.all("turn_completed")[-1].heard_text == f"{PRIVATE.reply} it is. Yes."
            assert await call.finish() is grpc.StatusCode.OK
    assert [rule for rule in sandbox.faults.to_json() if not rule["injected"]] == []
    assert PRIVATE.found_in(told.text) == []


def named(*faults: str) -> list[dict[str, Any]]:
    """Faults without fields of their own."""
    return [{"fault": fault} for fault in faults]


async def mark(call: Call) -> None:
    """The user says something, and the client marks beginning and end."""
    await call.send(utterance_started=UtteranceStarted())
    await call.send(audio=UserAudio(data=pcm_of_probability(1.0, 0.2) + PRIVATE.sound))
    await call.send(utterance_ended=UtteranceEnded())
    await call.until("turn_completed")


def lines(told: Told) -> Iterator[dict[str, Any]]:
    """The log's lines as JSON."""
    yield from map(json.loads, told.formats[1].getvalue().splitlines())
