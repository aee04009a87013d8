"""How streams and servers end: whoever goes first, nothing is left."""

import asyncio
import random
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from avatar.v1 import ConverseConfig, TurnOutcome
from avatar_service.errors import StartupError
from avatar_service.turn import pacing
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber, Heard
from tests.measuring import Growth
from tests.service.calls import Call, Fakes, Server, serving
from tests.service.responses import DEADLINE_S

LONG = "The moon is near. " * 12


def talkative() -> Fakes:
    """A reply of several seconds, at the pace of a vendor."""
    return Fakes(
        transcriber=FakeTranscriber(Heard("hello", 0.02)),
        chat=FakeChat(Reply(LONG, 0.02, 0.2)),
        speech=FakeSpeech(ttfb_s=0.02, rate=6.0),
        lip_sync=FakeLipSync(render_s=0.002),
    )


async def at_rest(server: Server, tasks_before: int, within_s: float = DEADLINE_S) -> None:
    """Wait until the server holds nothing of any call; fail if that takes longer than the deadline."""
    async with asyncio.timeout(within_s):
        while not server.fakes.idle or len(asyncio.all_tasks()) > tasks_before:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(12))
async def test_a_client_that_vanishes_at_any_moment_leaves_nothing(store: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with serving(store, talkative()) as server:
        warm = server.converse()
        await warm.configure()
        await warm.finish()
        tasks = len(asyncio.all_tasks())
        for _ in range(3):
            call = server.converse()
            await call.send(config=ConverseConfig())
            if chance.random() < 0.5:
                await call.text("hello")
            else:
                await call.speak((1.0, 0.5), (0.0, 0.6))
            vanish_at_s = asyncio.get_running_loop().time() + chance.uniform(0.0, 0.5)
            try:
                async with asyncio.timeout_at(vanish_at_s):
                    while await call.next():
                        pass
            except TimeoutError:
                pass
            call.call.cancel()
        await at_rest(server, tasks)


async def test_after_a_client_has_vanished_the_next_one_is_served(store: Path) -> None:
    async with serving(store, talkative(), max_sessions=1) as server:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio")
        call.call.cancel()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                again = server.converse()
                await again.send(config=ConverseConfig())
                if await again.finish() is grpc.StatusCode.OK:
                    break


async def test_streams_do_not_disturb_each_other(store: Path) -> None:
    async def hold(server: Server, number: int) -> Call:
        call = server.converse()
        await call.configure()
        await call.say(f"Number {number}.")
        assert await call.finish() is grpc.StatusCode.OK
        return call

    async with serving(store) as server:
        calls = await asyncio.gather(*(hold(server, number) for number in range(8)))
        for number, call in enumerate(calls):
            voice = b"".join(audio.data for audio in call.all("audio"))
            expected = server.fakes.speech.voice_of(f"Number {number}.")
            assert voice[: len(expected)] == expected
        assert len({call.only("session_started").session_id for call in calls}) == 8


async def test_a_stop_lets_the_turn_finish(store: Path) -> None:
    fakes = talkative()
    fakes.chat = FakeChat(Reply("The moon is near.", 0.02, 0.02))
    async with serving(store, fakes, stop_grace_s=DEADLINE_S) as server, asyncio.TaskGroup() as tasks:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio")
        tasks.create_task(server.stop())
        assert await call.finish() is grpc.StatusCode.OK
        assert call.only("turn_completed").outcome == TurnOutcome.TURN_OUTCOME_COMPLETED


async def stop_begun(server: Server, tasks: asyncio.TaskGroup) -> None:
    """Ask for a stop; return when health says that it has begun."""
    watch = server.health.Watch(health_pb2.HealthCheckRequest(service="avatar.v1.AvatarService"), timeout=DEADLINE_S)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    tasks.create_task(server.stop())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()


async def test_health_says_not_serving_as_soon_as_a_stop_was_asked_for(store: Path) -> None:
    async with serving(store, talkative(), stop_grace_s=DEADLINE_S) as server, asyncio.TaskGroup() as tasks:
        call = server.converse()
        await call.configure()
        await stop_begun(server, tasks)
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_stopping_server_takes_in_no_new_streams(store: Path) -> None:
    async with serving(store, talkative(), stop_grace_s=DEADLINE_S) as server, asyncio.TaskGroup() as tasks:
        call = server.converse()
        await call.configure()
        await stop_begun(server, tasks)
        late = server.converse()
        assert await late.end() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await late.status()).error_info.reason == "DRAINING"
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_stream_that_does_not_end_is_ended_after_the_grace(store: Path) -> None:
    loop = asyncio.get_running_loop()
    async with serving(store, talkative(), stop_grace_s=0.3) as server, asyncio.TaskGroup() as tasks:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio")
        began_s = loop.time()
        tasks.create_task(server.stop())
        assert await call.end() is grpc.StatusCode.UNAVAILABLE
    assert 0.25 < loop.time() - began_s < 5.0
    assert server.fakes.idle


async def test_an_address_that_is_taken_is_an_error_that_names_the_way_out(store: Path) -> None:
    async with serving(store) as server:
        with pytest.raises(StartupError, match=r"AVATAR_LISTEN: .*\(Address already in use\); 127.0.0.1:0 takes"):
            async with serving(store, listen=server.address):
                pass


async def test_health_is_served_for_the_service_and_for_the_whole(store: Path) -> None:
    async with serving(store) as server:
        for name in ("", "avatar.v1.AvatarService"):
            checked = await server.health.Check(health_pb2.HealthCheckRequest(service=name))
            assert checked.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("reflection", [True, False])
async def test_reflection_can_be_switched_off(store: Path, reflection: bool) -> None:
    async with serving(store, reflection=reflection) as server:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)  # type: ignore[arg-type]  # typed for the other API
        call = stub.ServerReflectionInfo(timeout=DEADLINE_S)
        if reflection:
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            names = [service.name for service in (await call.read()).list_services_response.service]
            assert "avatar.v1.AvatarService" in names
            await call.done_writing()
        else:
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_client_that_stops_reading_holds_back_only_itself(store: Path) -> None:
    fakes = talkative()
    fakes.chat = FakeChat(Reply("Yes. " * 40, 0.01, 0.01))
    async with serving(store, fakes) as server:
        stalled = server.converse()
        await stalled.configure()
        await stalled.text("hello")
        await stalled.until("audio")
        other = server.converse()
        await other.configure()
        await other.say("Yes.")
        assert await other.finish() is grpc.StatusCode.OK
        stalled.call.cancel()


async def test_a_client_that_never_reads_loses_its_stream_and_all_of_it_is_freed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "READER_STALL_S", 0.4)
    fakes = talkative()
    fakes.lip_sync = FakeLipSync(image_bytes=60_000)
    async with serving(store, fakes) as server:
        stalled = server.converse()
        await stalled.configure()
        tasks = len(asyncio.all_tasks())
        await stalled.text("hello")
        async with asyncio.timeout(DEADLINE_S):
            while not fakes.lip_sync.requests:
                await asyncio.sleep(0.01)
        await at_rest(server, tasks - 1)
        assert await stalled.end() is grpc.StatusCode.ABORTED
        assert (await stalled.status()).error_info.reason == "READER_TOO_SLOW"
        assert len(stalled.all("frame")) < 20


async def test_a_client_that_goes_before_it_takes_the_status_is_no_fault_of_ours(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pacing, "READER_STALL_S", 0.4)
    fakes = talkative()
    fakes.lip_sync = FakeLipSync(image_bytes=60_000)
    growth = Growth()
    async with serving(store, fakes) as server:
        stalled = server.converse()
        tasks = len(asyncio.all_tasks())
        await stalled.configure()
        await stalled.text("hello")
        async with asyncio.timeout(DEADLINE_S):
            while not fakes.lip_sync.requests or not fakes.idle:
                await asyncio.sleep(0.01)
        stalled.call.cancel()
        await at_rest(server, tasks)
    assert growth.of_all("avatar_sessions_total") == {("CANCELLED", "Converse"): 1.0}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
