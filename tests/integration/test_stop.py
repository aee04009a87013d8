"""SIGTERM to a real `avatar-service serve`: health first, then no new streams, then the grace, then the end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar.v1 import (
    AnimateConfig,
    AnimateRequest,
    AudioEncoding,
    AudioFormat,
    AvatarServiceStub,
    ConverseConfig,
    ConverseRequest,
    Say,
    SegmentAudio,
    SpeakRequest,
    Status,
)
from avatar_service.local.triton import TritonServer
from tests.integration.conftest import MadeUpModel
from tests.integration.sandbox_fixture import KEY, RunningSandbox, running_sandbox

START_S = 60.0
WAIT_S = 30.0
GRACE_S = 3.0
VOICE = AudioFormat(encoding=AudioEncoding.AUDIO_ENCODING_LINEAR16, sample_rate_hertz=16_000)
LONG = "This sentence goes on for quite a while. " * 8


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@dataclass
class Process:
    """A running `serve`, and where it is."""

    process: subprocess.Popen[str]
    address: str
    monitoring: str
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        """The generated client, whose stub takes streaming calls without requests only untyped."""
        return AvatarServiceStub(self.channel)

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> tuple[int, str]:
        """Exit code, and what stands on standard error."""
        _, errors = await asyncio.to_thread(self.process.communicate, timeout=WAIT_S)
        return self.process.returncode, errors

    async def health(self) -> int:
        """What a health check answers."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        status: int = (await stub.Check(health_pb2.HealthCheckRequest(service="avatar.v1.AvatarService"))).status
        return status


@pytest.fixture
def environment(sandbox: RunningSandbox, triton: TritonServer, made_up: MadeUpModel) -> dict[str, str]:
    return {
        "AVATAR_LISTEN": "127.0.0.1:0",
        "AVATAR_METRICS_LISTEN": "127.0.0.1:0",
        "AVATAR_STOP_GRACE_S": str(GRACE_S),
        "AVATAR_AVATARS": str(made_up.avatars),
        "AVATAR_TRITON_ADDRESS": triton.grpc_address,
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": sandbox.openai_url,
        "ELEVENLABS_API_KEY": KEY,
        "ELEVENLABS_BASE_URL": sandbox.elevenlabs_url,
    }


@asynccontextmanager
async def serving(folder: Path, environment: dict[str, str]) -> AsyncIterator[Process]:
    """The command in a folder without a `.env`; killed at the end if it still runs."""
    with subprocess.Popen(  # noqa: ASYNC220  # it takes a millisecond, and has simpler pipes
        [sys.executable, "-m", "avatar_service", "serve"],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                monitoring = (await asyncio.to_thread(process.stdout.readline)).split()[-1]
                address = (await asyncio.to_thread(process.stdout.readline)).split()[-1]
            async with grpc.aio.insecure_channel(address) as channel:
                yield Process(process, address, monitoring.removesuffix("/metrics"), channel)
        finally:
            process.kill()


async def conversing(server: Process, text: str) -> Any:
    """A conversation in which the avatar begins to say a text."""
    call = server.stub.Converse()
    await call.write(ConverseRequest(config=ConverseConfig()))
    await call.write(ConverseRequest(say=Say(text=text)))
    return await until_media(call)


async def speaking(server: Process, text: str) -> Any:
    """A text that begins to be spoken."""
    return await until_media(server.stub.Speak(SpeakRequest(text=text)))


async def animating(server: Process, seconds: int) -> Any:
    """A voice of the caller's own that begins to be animated."""
    call = server.stub.Animate()
    await call.write(AnimateRequest(config=AnimateConfig(audio_format=VOICE)))
    for _ in range(2 * seconds):
        await call.write(AnimateRequest(audio=SegmentAudio(data=bytes(16_000))))
    return await until_media(call)


async def until_media(call: Any) -> Any:
    """Read on to the first voice."""
    async with asyncio.timeout(WAIT_S):
        while (response := await call.read()) is not grpc.aio.EOF:
            if response.WhichOneof("payload") == "audio":
                return call
    raise AssertionError(f"no voice came: {await call.code()} {await call.details()}")


async def end(call: Any) -> tuple[grpc.StatusCode, list[str]]:
    """How a call ends, and what kinds of responses came until then."""
    kinds = []
    try:
        async with asyncio.timeout(WAIT_S):
            while (response := await call.read()) is not grpc.aio.EOF:
                kinds.append(response.WhichOneof("payload"))
    except grpc.aio.AioRpcError:
        pass  # the code below tells
    return await call.code(), kinds


async def draining(server: Process) -> None:
    """Wait until the stop has begun."""
    async with asyncio.timeout(WAIT_S):
        while await server.health() != health_pb2.HealthCheckResponse.NOT_SERVING:
            await asyncio.sleep(0.01)


async def test_turns_of_every_call_get_the_grace_and_then_end_with_unavailable(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    loop = asyncio.get_running_loop()
    async with serving(tmp_path, environment) as server:
        assert await server.health() == health_pb2.HealthCheckResponse.SERVING
        calls = [await conversing(server, LONG), await speaking(server, LONG), await animating(server, 15)]
        server.terminate()
        began_s = loop.time()
        await draining(server)
        async with aiohttp.ClientSession(server.monitoring) as http, http.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "draining\n")
        refused = server.stub.Converse()
        assert (await end(refused))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(await refused.trailing_metadata())["grpc-status-details-bin"]
        assert Status.FromString(details).error_info.reason == "DRAINING"
        server.terminate()  # an impatient second signal must not break the clean-up
        ended = [await end(call) for call in calls]
        took_s = loop.time() - began_s
        assert [code for code, _ in ended] == [grpc.StatusCode.UNAVAILABLE] * 3
        assert all("audio" in kinds for _, kinds in ended)  # they went on meanwhile
        assert GRACE_S - 0.2 < took_s < GRACE_S + 5.0
        code, errors = await server.ended()
    assert code == 0, errors
    assert "Traceback" not in errors


async def test_a_turn_that_ends_within_the_grace_is_finished_and_the_log_of_it_all_holds_no_words(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    asked = {"AVATAR_STOP_GRACE_S": "30", "AVATAR_LOG_FORMAT": "json", "AVATAR_LOG_LEVEL": "debug"}
    async with serving(tmp_path, environment | asked) as server:
        call = await conversing(server, "Vermilion is red.")
        await call.done_writing()
        server.terminate()
        code, kinds = await end(call)
        assert (code, kinds[-2:]) == (grpc.StatusCode.OK, ["turn_completed", "state_changed"])
        code_of_process, errors = await server.ended()
    assert code_of_process == 0, errors
    told = [json.loads(line) for line in errors.splitlines()]
    events = [line["event"] for line in told]
    for event in ("triton_renders", "serving", "attempt_finished", "turn_completed", "session_ended", "draining"):
        assert event in events
    assert "ermilion" not in errors
    assert not any(KEY in str(value) for line in told for name, value in line.items() if name != "address")
