"""The sandbox as a process: what it lists and remembers, its delays, how it stops."""

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

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


async def test_elevenlabs_lists_models_and_the_voice(sandbox: RunningSandbox) -> None:
    async with elevenlabs_client(sandbox) as client:
        assert "eleven_multilingual_v2" in {model.model_id for model in await client.models.list()}
        assert [voice.voice_id for voice in (await client.voices.get_all()).voices] == [VOICE_ID]
        assert [voice.voice_id for voice in (await client.voices.search()).voices] == [VOICE_ID]
        assert (await client.voices.get(VOICE_ID)).voice_id == VOICE_ID


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


async def test_ctrl_c_stops_it_in_mid_generation() -> None:
    with running_sandbox() as sandbox:
        async with openai_client(sandbox) as client:
            stream = await client.chat.completions.create(
                model="gpt-4o", messages=user("Tell me about dogs in ten sentences."), stream=True
            )
            await anext(aiter(stream))
            sandbox.process.send_signal(signal.SIGINT)
            sent_s = time.monotonic()
            assert await asyncio.to_thread(sandbox.process.wait, PATIENCE_S) == 0
            assert time.monotonic() - sent_s < STOP_S
            await stream.close()


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
