"""Metrics and probes over HTTP, with a real server behind them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2
from prometheus_client.parser import text_string_to_metric_families

from avatar.v1 import ConverseConfig, GetAvatarRequest, ListAvatarsRequest
from avatar_service import background, metrics
from avatar_service.errors import StartupError
from avatar_service.rpc.monitoring import Readiness, monitored
from tests.measuring import Growth
from tests.service.calls import serving
from tests.service.responses import DEADLINE_S

LOOPBACK = "127.0.0.1:0"


@asynccontextmanager
async def getting(readiness: Readiness | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client of a monitoring server on a free port."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with (
        monitored(LOOPBACK, readiness or Readiness()) as url,
        aiohttp.ClientSession(url, timeout=timeout) as http,
    ):
        yield http


async def probe(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as answer:
        return answer.status, (await answer.text()).strip()


def value(name: str, **labels: str) -> float:
    """A sample of the process' registry; 0 where there is none yet."""
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


async def test_prometheus_can_read_every_metric_and_each_says_what_it_is() -> None:
    async with getting() as http, http.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    ours = {name: family for name, family in families.items() if name.startswith("avatar_")}
    assert len(ours) > 30
    assert all(family.documentation.endswith(".") for family in ours.values())
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "python_gc_collections"} <= families.keys()


async def test_the_process_is_alive_from_its_start_and_ready_while_it_takes_streams_in() -> None:
    readiness = Readiness()
    async with getting(readiness) as http:
        assert await probe(http, "/readyz") == (503, "starting")
        for state, status in (("ready", 200), ("draining", 503)):
            readiness.state = state  # type: ignore[assignment]  # both are states
            assert await probe(http, "/readyz") == (status, state)
            assert value("avatar_ready") == (state == "ready")
        assert await probe(http, "/healthz") == (200, "ok")


async def test_a_server_without_a_stream_says_that_it_has_none(store: Path) -> None:
    """An autoscaler takes a pod that says nothing for a full one."""
    metrics.SESSIONS_ACTIVE.clear()
    async with serving(store):
        for method in ("Converse", "Speak", "Animate"):
            assert metrics.REGISTRY.get_sample_value("avatar_sessions_active", {"method": method}) == 0.0


async def test_nothing_else_is_served_there() -> None:
    async with getting() as http:
        for method, path, status in (("GET", "/", 404), ("POST", "/metrics", 405), ("GET", "/metrics/../etc", 404)):
            async with http.request(method, path) as answer:
                assert answer.status == status


async def test_an_empty_address_serves_nothing() -> None:
    async with monitored("", Readiness()) as url:
        assert url == ""


async def test_an_address_that_is_taken_is_an_error_that_names_both_ways_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartupError, match=r"AVATAR_METRICS_LISTEN: .*in use.*127\.0\.0\.1:0.*empty"):
            async with monitored(address, Readiness()):
                pass


async def test_the_lag_of_the_loop_is_measured_meanwhile() -> None:
    before = value("avatar_event_loop_lag_seconds_count")
    async with getting():
        async with asyncio.timeout(DEADLINE_S):
            while value("avatar_event_loop_lag_seconds_count") == before:
                await asyncio.sleep(0.05)


async def test_what_runs_beside_a_block_ends_with_it_and_leaves_its_error_alone() -> None:
    ended = asyncio.Event()

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def block() -> None:
        async with background.running(beside()):
            await asyncio.sleep(0)
            raise StartupError("no Triton")

    with pytest.raises(StartupError):
        await block()
    assert ended.is_set()


async def test_streams_are_counted_by_method_and_status(store: Path) -> None:
    growth = Growth()
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        assert value("avatar_sessions_active", method="Converse") == 1
        assert await call.finish() is grpc.StatusCode.OK
        wrong = server.converse()
        await wrong.send(config=ConverseConfig(avatar="avatars/nobody"))
        assert await wrong.end() is grpc.StatusCode.NOT_FOUND
        gone = server.converse()
        await gone.configure()
        gone.call.cancel()
        async with asyncio.timeout(DEADLINE_S):
            while value("avatar_sessions_active", method="Converse"):
                await asyncio.sleep(0.01)
        assert await server.speak("Hello.").end() is grpc.StatusCode.OK
    assert growth.of_all("avatar_sessions_total") == {
        ("OK", "Converse"): 1.0,
        ("NOT_FOUND", "Converse"): 1.0,
        ("CANCELLED", "Converse"): 1.0,
        ("OK", "Speak"): 1.0,
    }
    assert growth("avatar_session_duration_seconds_count", method="Converse") == 3


async def test_other_calls_are_counted_beside_the_streams(store: Path) -> None:
    growth = Growth()
    async with serving(store) as server:
        await server.stub.ListAvatars(ListAvatarsRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await server.stub.GetAvatar(GetAvatarRequest(name="avatars/nobody"))
    assert growth.of_all("avatar_unary_calls_total") == {("OK", "ListAvatars"): 1.0, ("NOT_FOUND", "GetAvatar"): 1.0}


async def test_a_stream_that_is_turned_away_is_counted_by_its_reason(store: Path) -> None:
    growth = Growth()
    async with serving(store, max_sessions=1) as server:
        first = server.converse()
        await first.configure()
        assert await server.speak("Hello.").end() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.finish()
    assert growth.of_all("avatar_streams_refused_total") == {("SESSIONS_EXHAUSTED",): 1.0}


async def test_what_comes_in_and_goes_out_is_counted(store: Path) -> None:
    growth = Growth()
    async with serving(store) as server:
        call = server.converse()
        await call.configure()
        await call.speak((0.0, 1.5))
        await call.say("Hello.")
        assert await call.finish() is grpc.StatusCode.OK
    assert growth("avatar_received_audio_seconds_total") == pytest.approx(1.5)
    sent = {"audio": sum(len(audio.data) for audio in call.all("audio"))}
    sent["frame"] = sum(len(frame.data) for frame in call.all("frame"))
    assert {kind: growth("avatar_sent_media_bytes_total", kind=kind) for kind in sent} == sent


async def test_health_checks_are_no_calls_of_ours(store: Path) -> None:
    def methods() -> set[str]:
        collected = (*metrics.SESSIONS.collect(), *metrics.UNARY_CALLS.collect())
        return {sample.labels["method"] for family in collected for sample in family.samples}

    before = methods()
    async with serving(store, max_sessions=1) as server:
        call = server.converse()
        await call.configure()  # takes the only place
        checked = await server.health.Check(health_pb2.HealthCheckRequest())
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        await call.finish()
    assert methods() == before | {"Converse"}
