"""The tokens by which sessions are resumed: which count, which do not, and on a server that is full."""

import asyncio
from pathlib import Path

import grpc

from avatar.v1 import ConverseConfig, PlaybackReport, Resume
from tests.service.calls import Server, serving
from tests.service.responses import DEADLINE_S
from tests.service.resuming import begun, resumed

TOKEN = "s-0123456789abcdef." + "a" * 43


async def refused(server: Server, token: str) -> str:
    """The sentence with which a token is refused."""
    call = server.converse()
    await call.send(config=ConverseConfig(resume=Resume(resume_token=token)))
    assert await call.end() is grpc.StatusCode.NOT_FOUND
    status = await call.status()
    assert status.error_info.reason == "SESSION_NOT_FOUND"
    return str(status.message)


async def test_unknown_and_used_tokens_and_those_of_sessions_that_are_over_are_refused_alike(store: Path) -> None:
    async with serving(store) as server:
        async with begun(server) as (_, first):
            pass
        call, second = await resumed(server, first.resume_token)
        await call.say("Yes.")
        await call.until("turn_started")
        sentences = {await refused(server, token) for token in ("abc", TOKEN, first.resume_token)}
        assert await call.finish() is grpc.StatusCode.OK
        sentences.add(await refused(server, second.resume_token))
        assert sentences == {"config.resume.resume_token: is unknown, used or expired; begin a new session"}


async def test_a_client_that_never_got_the_next_token_comes_back_with_the_one_it_has(store: Path) -> None:
    async with serving(store) as server:
        async with begun(server) as (_, first):
            pass
        lost = server.converse()
        await lost.send(config=ConverseConfig(resume=Resume(resume_token=first.resume_token)))
        await lost.until("session_started")  # as far as the server knows, the network may have lost it
        early = server.converse()
        await early.send(config=ConverseConfig(resume=Resume(resume_token=first.resume_token)))
        assert await early.end() is grpc.StatusCode.UNAVAILABLE
        assert (await early.status()).error_info.reason == "SESSION_HELD"
        tasks = len(asyncio.all_tasks())
        lost.call.cancel()
        async with asyncio.timeout(DEADLINE_S):
            while len(asyncio.all_tasks()) >= tasks:
                await asyncio.sleep(0.005)
        call, started = await resumed(server, first.resume_token)
        assert started.session_id == first.session_id
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_session_is_taken_over_on_a_server_where_every_place_is_taken(store: Path) -> None:
    async with serving(store, max_sessions=2) as server, begun(server) as (old, first), begun(server):
        new, _ = await resumed(server, first.resume_token)
        assert await old.end() is grpc.StatusCode.ABORTED
        refused_call = server.converse()
        await refused_call.send(config=ConverseConfig())
        assert await refused_call.end() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await refused_call.status()).error_info.reason == "SESSIONS_EXHAUSTED"
        assert await new.finish() is grpc.StatusCode.OK


async def test_a_client_that_half_closes_because_it_was_told_to_go_finds_its_session(store: Path) -> None:
    async with serving(store, sessions={"age_s": 60.0, "go_away_s": 60.0}) as server:
        call = server.converse()
        await call.configure()
        go_away = await call.until("go_away")
        assert await call.finish() is grpc.StatusCode.OK
        again, started = await resumed(server, go_away.resume_token)
        assert started.session_id == call.only("session_started").session_id
        assert await again.until("go_away")
        again.call.cancel()


async def test_a_wrong_position_is_refused_and_leaves_the_token(store: Path) -> None:
    async with serving(store) as server:
        async with begun(server) as (_, first):
            pass
        call = server.converse()
        wrong = PlaybackReport(turn_id=1)
        wrong.position.FromMilliseconds(-1)
        await call.send(config=ConverseConfig(resume=Resume(resume_token=first.resume_token, playback=wrong)))
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await call.status()).field == "config.resume.playback.position"
        call, _ = await resumed(server, first.resume_token)
        assert await call.finish() is grpc.StatusCode.OK
