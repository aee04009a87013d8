"""`avatar-service serve --workers 2`: two services under one parent, as an operator sees them."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar.v1 import AvatarServiceStub, ConverseConfig, Resume
from tests.programs import READY_S, Program
from tests.service.calls import Call
from tests.stack import running_stack

SERVING = health_pb2.HealthCheckResponse.SERVING


async def all_said(program: Program, pattern: str, count: int) -> list[str]:
    """What was said so often; waits for it."""
    async with asyncio.timeout(READY_S):
        while len(found := re.findall(pattern, program.output, re.MULTILINE)) < count:
            await asyncio.sleep(0.05)
    return found


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


async def health_of(address: str, name: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        status: int = (await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5.0)).status
        return status


async def test_workers_resume_each_others_sessions_are_started_again_and_stop_together() -> None:
    env = {"AVATAR_HEALTH_LISTEN": "127.0.0.1:0", "AVATAR_STOP_GRACE_S": "5"}
    async with running_stack(services=1, redis=True, env=env, serve_options=("--workers", "2")) as stack:
        program = stack.services[0].program
        one, other = await all_said(program, r"^serving on (\S+)$", 2)
        for address in await all_said(program, r"^health at (\S+)$", 2):
            assert [await health_of(address, name) for name in ("", "avatar.v1.AvatarService", "liveness")] == [
                SERVING
            ] * 3
        async with grpc.aio.insecure_channel(one) as channel, grpc.aio.insecure_channel(other) as second:
            call: Any = Call(AvatarServiceStub(channel).Converse())
            await call.configure()
            begun = call.only("session_started")
            again: Any = Call(AvatarServiceStub(second).Converse())
            await again.send(config=ConverseConfig(resume=Resume(resume_token=begun.resume_token)))
            assert (await again.until("session_started")).session_id == begun.session_id
            killed = min(children(program.pid))
            os.kill(killed, signal.SIGKILL)
            await all_said(program, r"^serving on (\S+)$", 3)
            assert len(children(program.pid)) == 2
            assert killed not in children(program.pid)
            assert "worker_died" in program.output
            last = (await all_said(program, r"^serving on (\S+)$", 3))[-1]
            async with grpc.aio.insecure_channel(last) as third:
                left: Any = Call(AvatarServiceStub(third).Converse())
                await left.configure()
                stack.services[0].terminate()
                await left.until("go_away")
                assert await left.finish() is grpc.StatusCode.OK
        assert await program.ended() == 0
        assert "Traceback" not in program.output
