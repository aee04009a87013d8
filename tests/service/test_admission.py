"""Who is taken in, for how long, and how much a client may send."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    AnimateConfig,
    AnimateRequest,
    AvatarServiceStub,
    ConverseConfig,
    ConverseRequest,
    CreateAvatarConfig,
    CreateAvatarRequest,
    GetServerInfoRequest,
    GoAwayReason,
    ListAvatarsRequest,
    PlaybackReport,
    Resume,
    SegmentAudio,
    SegmentEnded,
    SpeakRequest,
    Status,
    UserAudio,
)
from avatar_service.access.tokens import LEEWAY_S
from tests.issuer import AUDIENCE, ISSUER, Issuer
from tests.measuring import Growth
from tests.service.access.calling import bearer
from tests.service.calls import Call, Server, serving
from tests.service.responses import DEADLINE_S, DETAILS, Responses
from tests.service.uploads import parts

PIECE = bytes(640)
"""20 ms at 16 kHz."""


def access_of(issuer: Issuer, folder: Path) -> dict[str, Any]:
    """Settings by which the issuer's tokens are taken."""
    (folder / "jwks.json").write_text(issuer.jwks())
    return {"jwks": str(folder / "jwks.json"), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


def conversing(server: Server, token: str) -> Call:
    """A stream of the caller that the token names."""
    call: Any = server.stub.Converse
    return Call(call(metadata=bearer(token)))


async def sent(call: Any, request: Any, count: int) -> None:
    """Send a message so often, as fast as it goes."""
    for _ in range(count):
        await call.write(request)


async def flooded(address: str, method: str, first: Any, again: Any) -> tuple[grpc.StatusCode, Status, list[Any]]:
    """How a stream ends whose client sends one message after the other and never stops, and what came until then.

    By gRPC's other client: that of asyncio says INTERNAL of itself where its stream ends while it writes.
    """

    def flood() -> tuple[grpc.StatusCode, Status, list[Any]]:
        came: list[Any] = []
        with grpc.insecure_channel(address) as channel:
            call = getattr(AvatarServiceStub(channel), method)(itertools.chain([first], itertools.repeat(again)))
            try:
                came.extend(call)
            except grpc.RpcError as error:
                ended: Any = error
                return ended.code(), Status.FromString(dict(ended.trailing_metadata())[DETAILS]), came
        raise AssertionError("the stream ended well")

    return await asyncio.wait_for(asyncio.to_thread(flood), DEADLINE_S)


async def reason(call: Any) -> str:
    """What a client branches on."""
    return str((await call.status()).error_info.reason)


async def test_a_tenant_has_so_many_streams_whatever_they_are_and_others_have_theirs(
    store: Path, tmp_path: Path
) -> None:
    issuer, growth = Issuer(), Growth()
    shop, bank = issuer.token(tenant="shop"), issuer.token(tenant="bank")
    async with serving(store, access=access_of(issuer, tmp_path), sessions_per_tenant=1) as server:
        first = conversing(server, shop)
        await first.configure()
        limits = first.only("session_started").limits
        assert (limits.max_concurrent_sessions, limits.max_messages_per_second) == (1, 200)
        second = conversing(server, shop)
        await second.send(config=ConverseConfig())
        spoken = Responses[Any](server.stub.Speak(SpeakRequest(text="Hi"), metadata=bearer(shop)))
        for refused in (second, spoken):
            assert await refused.end() is grpc.StatusCode.RESOURCE_EXHAUSTED
            status = await refused.status()
            assert status.error_info.reason == "QUOTA_EXHAUSTED"
            assert status.retry_delay.ToMilliseconds() > 0
        other = conversing(server, bank)
        await other.configure()
        token = first.only("session_started").resume_token
        again = conversing(server, shop)
        await again.configure(resume=Resume(resume_token=token))
        assert await first.end() is grpc.StatusCode.ABORTED
        assert await again.finish() is grpc.StatusCode.OK
        assert await other.finish() is grpc.StatusCode.OK
    assert growth("avatar_streams_refused_total", reason="QUOTA_EXHAUSTED") == 2


async def test_a_credential_that_ends_is_told_then_ends_the_stream_and_a_new_one_resumes_the_session(
    store: Path, tmp_path: Path
) -> None:
    issuer, loop = Issuer(), asyncio.get_running_loop()
    async with serving(store, access=access_of(issuer, tmp_path)) as server:
        expires = int(time.time()) + 2  # until then it is taken, because clocks differ
        began_s, left_s = loop.time(), expires - time.time()
        call = conversing(server, issuer.token(exp=expires - int(LEEWAY_S)))
        await call.configure()
        go_away = await call.until("go_away")
        assert go_away.reason == GoAwayReason.GO_AWAY_REASON_CREDENTIAL_EXPIRING
        assert 0 < go_away.time_left.ToNanoseconds() / 1e9 <= left_s
        assert await call.end() is grpc.StatusCode.UNAUTHENTICATED
        assert left_s - 0.1 < loop.time() - began_s < left_s + 2.0
        assert await reason(call) == "CREDENTIAL_EXPIRED"
        again = conversing(server, issuer.token())
        await again.configure(resume=Resume(resume_token=go_away.resume_token))
        assert again.only("session_started").session_id == call.only("session_started").session_id
        assert await again.finish() is grpc.StatusCode.OK


async def test_a_client_that_sends_more_than_it_may_loses_its_stream_and_not_its_session(store: Path) -> None:
    first = ConverseRequest(config=ConverseConfig())
    again = ConverseRequest(playback_report=PlaybackReport(turn_id=1))
    async with serving(store, limits={"messages_per_second": 50}) as server:
        code, status, came = await flooded(server.address, "Converse", first, again)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert status.error_info.reason == "MESSAGE_RATE_EXCEEDED"
        assert status.retry_delay.ToMilliseconds() == 1_000
        started = came[0].session_started
        assert started.limits.max_messages_per_second == 50
        resumed = server.converse()
        await resumed.configure(resume=Resume(resume_token=started.resume_token))
        assert resumed.only("session_started").session_id == started.session_id
        assert await resumed.finish() is grpc.StatusCode.OK


async def test_a_client_that_resumes_may_send_again_all_that_was_not_heard_at_once(store: Path) -> None:
    limits = {"messages_per_second": 50, "utterance_s": 2.0, "buffered_audio_s": 2.0}
    async with serving(store, limits=limits) as server:
        call = server.converse()
        await call.configure()
        token = call.only("session_started").resume_token
        again = server.converse()
        await again.configure(resume=Resume(resume_token=token))
        await sent(again, ConverseRequest(audio=UserAudio(data=PIECE)), 50 + 50 * 4)
        assert await again.finish() is grpc.StatusCode.OK


async def test_the_callers_own_voice_may_come_as_fast_as_it_is_made_and_other_messages_may_not(store: Path) -> None:
    limits = {"messages_per_second": 50, "buffered_audio_s": 4.0}
    async with serving(store, limits=limits) as server:
        call = server.animate()
        await call.configure(pacing={"unpaced": True})
        await sent(call, AnimateRequest(audio=SegmentAudio(data=bytes(960))), 200)
        await call.end_segment()
        assert await call.finish() is grpc.StatusCode.OK
        ended = AnimateRequest(segment_ended=SegmentEnded())
        code, status, _ = await flooded(server.address, "Animate", AnimateRequest(config=AnimateConfig()), ended)
        assert (code, status.error_info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_RATE_EXCEEDED")


async def stop_begun(server: Server, tasks: asyncio.TaskGroup) -> None:
    """Ask for a stop; return once streams are refused."""
    tasks.create_task(server.stop())
    async with asyncio.timeout(DEADLINE_S):
        while True:
            late = server.speak("Hi")
            if await late.end() is not grpc.StatusCode.OK:
                assert await reason(late) == "DRAINING"
                return


async def test_while_a_server_stops_it_still_tells_what_it_is_and_takes_no_upload(store: Path) -> None:
    async with serving(store, stop_grace_s=DEADLINE_S) as server, asyncio.TaskGroup() as tasks:
        call = server.converse()
        await call.configure()
        await stop_begun(server, tasks)
        assert (await server.stub.GetServerInfo(GetServerInfoRequest())).default_avatar
        assert len((await server.stub.ListAvatars(ListAvatarsRequest())).avatars) == 2
        upload: Any = server.stub.CreateAvatar
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await upload(iter(parts(b"")))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call.finish() is grpc.StatusCode.OK


async def test_an_upload_gets_the_grace_of_a_stop_and_is_then_ended_with_a_reason(store: Path) -> None:
    async with serving(store, stop_grace_s=0.3) as server, asyncio.TaskGroup() as tasks:
        create: Any = server.stub.CreateAvatar
        upload: Any = Responses[Any](create())
        await upload.call.write(CreateAvatarRequest(config=CreateAvatarConfig(avatar_id="me", media_type="image/png")))
        await asyncio.sleep(0.1)  # so that it is taken in
        tasks.create_task(server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await upload.call
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await reason(upload) == "DRAINING"


@pytest.mark.parametrize("method", ["Speak", "Animate"])
async def test_what_cannot_be_resumed_is_ended_after_the_grace_with_the_same_reason(store: Path, method: str) -> None:
    async with serving(store, stop_grace_s=0.3) as server, asyncio.TaskGroup() as tasks:
        call: Any = server.speak("The moon is near. " * 20) if method == "Speak" else server.animate()
        if method == "Animate":
            await call.configure()
        else:
            await call.until("audio")
        tasks.create_task(server.stop())
        assert await call.end() is grpc.StatusCode.UNAVAILABLE
        assert await reason(call) == "DRAINING"
