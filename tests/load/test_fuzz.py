"""Ten thousand messages that no client would write, in any order, at a live server: it says what is wrong and goes on.

What is sent follows from seeds, which a failure prints with the messages: `python -m tests.load.fuzzing SERVER SEED`.
"""

import secrets
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from avatar_client.talk import talk
from tests.load.conftest import faults, idle
from tests.load.fuzzing import SERVICE, Tally, case_of, play_all
from tests.service.calls import serving, write_avatars
from tests.stack import ServiceProcess

WARM_UP = 3_000
"""Messages after which every way through the service has been taken: what it holds then it may hold."""
GROWTH_MB = 45.0
"""Resident memory that further messages may add, however many: caches that fill, and what malloc does not give back."""
KEPT_CONNECTIONS = 64
"""Idle connections to vendors that may be kept: two vendors, as many of each as there were calls at one time."""
AT_ONCE = 24


def told(tally: Tally) -> str:
    return "\n".join(map(str, tally.finds))


async def fuzz(service: ServiceProcess, messages: int, first_seed: int) -> None:
    before = await idle(service)
    warming = await play_all(service.address, count(first_seed), WARM_UP, at_once=AT_ONCE)
    assert not warming.finds, told(warming)
    warm = await idle(service)
    tally = await play_all(service.address, count(first_seed + 1_000_000), messages, at_once=AT_ONCE)
    assert not tally.finds, told(tally)
    assert service.program.returncode is None, service.program.output[-5_000:]
    assert not faults(service)
    after = await idle(service, before.tasks)
    print(f"{tally.messages:,} messages, {tally.cases:,} calls, first seed {first_seed}: {before}, {warm}, {after}")  # noqa: T201
    assert after.rss_mb <= warm.rss_mb + GROWTH_MB
    assert after.descriptors <= before.descriptors + KEPT_CONNECTIONS
    await still_serves(service)


async def still_serves(service: ServiceProcess) -> None:
    """The health service says so, and a conversation shows it."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=""))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    result = await talk(service.address, text="Tell me about the moon.", timeout_s=60.0)
    assert result.answered


async def test_ten_thousand_messages_break_nothing(service: ServiceProcess) -> None:
    await fuzz(service, 10_000, first_seed=0)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_a_hundred_thousand_messages_break_nothing(service: ServiceProcess) -> None:
    await fuzz(service, 100_000, first_seed=secrets.randbits(40))


async def test_uploads_that_nobody_would_send_break_nothing(tmp_path: Path) -> None:
    def uploads() -> Iterator[int]:
        """Seeds of calls about avatars, at a server that can make some."""
        return (seed for seed in count(5_000_000) if case_of(seed).method in ("CreateAvatar", "DeleteAvatar"))

    async with serving(write_avatars(tmp_path / "avatars", "ada")) as server:
        tally = await play_all(server.address, uploads(), 2_000, at_once=8)
        assert not tally.finds, told(tally)
        assert tally.codes["CreateAvatar INVALID_ARGUMENT"] > 20


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_that_is_too_large_or_grows_to_that_is_refused_for_its_size(
    service: ServiceProcess, compression: grpc.Compression
) -> None:
    before = await idle(service)
    async with grpc.aio.insecure_channel(service.address) as channel:
        for _ in range(5):
            call: Any = channel.unary_unary(f"{SERVICE}GetServerInfo")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(bytes(60_000_000), compression=compression, timeout=20.0)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await idle(service)).rss_mb <= before.rss_mb + GROWTH_MB
