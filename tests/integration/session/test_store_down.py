"""A service whose Redis goes away and comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from avatar.v1 import ConverseConfig, NoticeReason, Resume
from tests.redis_server import RedisServer
from tests.service.calls import Call, Server, serving, write_avatars


@asynccontextmanager
async def served(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Server]:
    avatars = write_avatars(tmp_path / "avatars", "ada")
    async with serving(avatars, sessions={"redis_url": redis.url}) as server:
        yield server


async def resumed(server: Server, token: str) -> Call:
    call = server.converse()
    await call.send(config=ConverseConfig(resume=Resume(resume_token=token)))
    return call


async def test_streams_go_on_without_their_store_and_are_saved_again_when_it_returns(tmp_path: Path) -> None:
    with RedisServer() as redis:
        async with served(tmp_path, redis) as server:
            call = server.converse()
            await call.configure()
            token = call.only("session_started").resume_token
            redis.stop()
            lost = await call.until("notice")
            assert lost.reason == NoticeReason.NOTICE_REASON_NOT_RESUMABLE
            await call.text("hello")
            assert (await call.until("turn_completed")).heard_text == "Hello there."
            refused = await resumed(server, token)
            assert await refused.end() is grpc.StatusCode.UNAVAILABLE
            assert (await refused.status()).error_info.reason == "STORE_UNAVAILABLE"
            redis.start()
            assert (await call.until("notice")).reason == NoticeReason.NOTICE_REASON_RESUMABLE
            call.call.cancel()
            again = await resumed(server, token)
            assert (await again.until("session_started")).last_turn_id == 1
            assert await again.finish() is grpc.StatusCode.OK


async def test_a_session_that_begins_without_a_store_is_told_and_served(tmp_path: Path) -> None:
    redis = RedisServer()
    async with served(tmp_path, redis) as server:
        call = server.converse()
        await call.configure()
        assert call.only("session_started").resume_token
        assert (await call.until("notice")).reason == NoticeReason.NOTICE_REASON_NOT_RESUMABLE
        await call.text("hello")
        assert (await call.until("turn_completed")).heard_text == "Hello there."
        assert await call.finish() is grpc.StatusCode.OK


async def test_a_store_that_hangs_holds_a_conversation_up_for_a_second_at_most(tmp_path: Path) -> None:
    with RedisServer() as redis:
        async with served(tmp_path, redis) as server:
            call = server.converse()
            await call.configure()
            with redis.hanging():
                await call.text("hello")
                await call.until("turn_completed")
                sent_s = call.times_s[call.kinds.index("turn_started")]
                assert call.times_s[call.kinds.index("audio")] - sent_s < 3.0
            assert await call.finish() is grpc.StatusCode.OK
