"""The sandbox as a process: what it lists and remembers, its delays, how it stops."""

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import httpx
import pytest
import websockets

from tests.integration.sandbox.sdk import (
    PATIENCE_S,
    QUESTION,
    elevenlabs_client,
    openai_client,
    speech,
    user,
)
from tests.integration.sandbox_fixture import KEY, VOICE_ID, RunningSandbox, running_sandbox

STOP_S = 5.0
"""A stop that waited for the model would take longer; on a quiet machine it is over within half a second."""


async def test_openai_lists_the_models_that_it_serves(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client:
        names = {model.id for model in (await client.models.list()).data}
        assert {"gpt-4o-mini", "whisper-1", "gpt-transcribe"} <= names
        assert (await client.models.retrieve("whisper-1")).id == "whisper-1"


async def test_elevenlabs_lists_models_and_voices(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        assert "eleven_multilingual_v2" in {model.model_id for model in await client.models.list()}
        assert VOICE_ID in [voice.voice_id for voice in (await client.voices.get_all()).voices]
        assert VOICE_ID in [voice.voice_id for voice in (await client.voices.search()).voices]
        assert (await client.voices.get(VOICE_ID)).voice_id == VOICE_ID


async def test_answers_carry_ids_timings_and_limits(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox) as client, elevenlabs_client(sandbox) as speaker:
        openai_answer = await client.models.with_raw_response.list()
        async with speaker.text_to_speech.with_raw_response.stream(VOICE_ID, text="Hello.") as answer:
            headers = answer.headers
            assert [chunk async for chunk in answer.data]
    assert openai_answer.headers["x-request-id"].startswith("req_")
    assert int(openai_answer.headers["openai-processing-ms"]) >= 0
    limit, remaining = (int(openai_answer.headers[f"x-ratelimit-{what}-requests"]) for what in ("limit", "remaining"))
    assert 0 <= remaining < limit
    assert headers["request-id"]
    assert headers["history-item-id"]
    assert headers["character-cost"] == "6"
    assert 1 <= int(headers["current-concurrent-requests"]) <= int(headers["maximum-concurrent-requests"])


async def test_requests_are_recorded_without_texts_or_keys(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        pcm = await speech(client, text="Marmalade.")
        record = sandbox.last_request("/stream")
        assert record["response_bytes"] == len(pcm)
        assert record["sdk"] == "elevenlabs/2.78.0"
        assert record["status"] == 200
        assert record["started_s"] < record["first_byte_s"] <= record["last_byte_s"] <= time.monotonic()
        assert record["figures"]["audio_s"] == pytest.approx(len(pcm) / 48_000)
        assert "armalade" not in json.dumps(sandbox.requests())
        assert f'"{KEY}"' not in json.dumps(sandbox.requests())


async def test_delays_are_the_least_time_to_the_first_byte(tmp_path: Path) -> None:
    options = ("--chat-delay", "0.5", "--transcription-delay", "0.6", "--speech-delay", "0.4", "--key", "other")
    with running_sandbox(*options, environment={"HOME": str(tmp_path)}) as sandbox:
        await use_all(sandbox)
        waits = {
            request["route"].rsplit("/", 1)[-1]: request["first_byte_s"] - request["started_s"]
            for request in sandbox.requests()
        }
        for name, delay_s in (("completions", 0.5), ("transcriptions", 0.6), ("stream", 0.4)):
            assert delay_s <= waits[name] < delay_s + 2.0
    assert not await asyncio.to_thread(os.listdir, tmp_path), "models leave nothing behind, a telemetry id for one"


async def use_all(sandbox: RunningSandbox) -> None:
    async with openai_client(sandbox, "other") as client, elevenlabs_client(sandbox, "other") as speaker:
        await client.chat.completions.create(model="gpt-4o", messages=user("Hi!"), max_completion_tokens=2)
        await client.audio.transcriptions.create(file=("q.wav", QUESTION), model="whisper-1")
        await speech(speaker, text="Hello.")


async def test_a_replay_gives_every_request_the_same_answer_at_its_time(tmp_path: Path) -> None:
    script = {"transcript": "How far?", "tokens": ["Quite", " far", "."], "first_token_s": 0.2, "last_token_s": 0.6}
    (tmp_path / "script.json").write_text(json.dumps(script))
    with running_sandbox("--replay", str(tmp_path / "script.json")) as sandbox:
        async with openai_client(sandbox) as client, elevenlabs_client(sandbox) as speaker:
            heard = await client.audio.transcriptions.create(file=("q.wav", QUESTION), model="whisper-1")
            reply = await client.chat.completions.create(model="gpt-4o", messages=user("Hi!"), stream=True)
            written = "".join([chunk.choices[0].delta.content or "" async for chunk in reply])
            first, second = [await speech(speaker, text="Quite far.") for _ in range(2)]
        chat, made, kept = sandbox.requests()[-3:]

    assert heard.text == "How far?"
    assert written == "Quite far."
    assert chat["first_byte_s"] - chat["started_s"] >= 0.2
    assert chat["last_byte_s"] - chat["started_s"] >= 0.6
    assert first == second
    assert made["figures"]["model_s"] > kept["figures"]["model_s"] == 0.0


async def test_ctrl_c_stops_it_while_it_streams_and_listens() -> None:
    with running_sandbox("--speech-rate", "0.5") as sandbox:
        address = f"{sandbox.elevenlabs_url.replace('http', 'ws')}/v1/text-to-speech/{VOICE_ID}/stream-input"
        async with (
            openai_client(sandbox) as client,
            elevenlabs_client(sandbox) as speaker,
            websockets.connect(address, additional_headers={"xi-api-key": KEY}) as socket,
        ):
            chat = await client.chat.completions.create(
                model="gpt-4o", messages=user("Tell me about dogs in ten sentences."), stream=True
            )
            await anext(aiter(chat))
            dripped = aiter(speaker.text_to_speech.stream(VOICE_ID, text="A slow and long sentence."))
            await anext(dripped)
            sandbox.process.send_signal(signal.SIGINT)
            sent_s = time.monotonic()
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), PATIENCE_S)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            assert await asyncio.to_thread(sandbox.process.wait, PATIENCE_S) == 0
            assert time.monotonic() - sent_s < STOP_S
            await chat.close()
            with pytest.raises(httpx.TransportError):
                _ = [chunk async for chunk in dripped]


def test_a_signal_stops_it_while_it_loads() -> None:
    with running_sandbox(wait=False) as sandbox:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{sandbox.url}/sandbox/health", timeout=PATIENCE_S)
        assert caught.value.code == 503
        caught.value.close()
        sandbox.process.send_signal(signal.SIGTERM)
        sent_s = time.monotonic()
        assert sandbox.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - sent_s < STOP_S


def test_health_names_the_models(sandbox: RunningSandbox) -> None:
    with urllib.request.urlopen(f"{sandbox.url}/sandbox/health", timeout=PATIENCE_S) as answer:
        body = json.load(answer)
    assert body["status"] == "ready"
    assert set(body["models"]) == {"whisper", "smollm", "hibari"}
    assert all(model["loaded"] for model in body["models"].values())
