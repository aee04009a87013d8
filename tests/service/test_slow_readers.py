"""Clients that read too slowly, or not at all: what they cost, what they get, and how they end."""

import asyncio
import gc
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import AvatarServiceStub, NoticeReason, PlaybackReport
from avatar_service import metrics
from avatar_service.background import running
from avatar_service.media.play_out import EXTRAPOLATED_S
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import Frame
from avatar_service.rpc import connections
from avatar_service.rpc.responses import EVENTS, MEDIA_BYTES
from avatar_service.turn import pacing
from avatar_service.turn.capacities import frames_waiting
from tests.fakes.blackhole import blackhole
from tests.fakes.chat import FakeChat, Reply
from tests.fakes.lip_sync import FakeLipSync
from tests.fakes.speech import FakeSpeech
from tests.measuring import Growth, Lag
from tests.scenario import MEDIA
from tests.service.calls import Call, Fakes, Server, serving
from tests.service.responses import DEADLINE_S

IMAGE_BYTES = 60_000
"""A second of these is 1.5 MB, of which a client with small windows holds next to nothing."""
STALL_S = 0.4
"""How long a client of these tests may read nothing."""
FREED_WITHIN_S = 2.0
"""By when nothing of a stream may be left that is ended for its client's silence."""
STANDS_S = 1.2
"""For how long a client reads nothing that goes on afterwards."""


def talking(seconds: float) -> Fakes:
    """A reply of about so many seconds, faster than it is played."""
    return Fakes(
        chat=FakeChat(Reply("The moon is near. " * round(seconds / 0.9), 0.01, 0.05)),
        speech=FakeSpeech(ttfb_s=0.01, rate=8.0),
        lip_sync=FakeLipSync(render_s=0.002, image_bytes=IMAGE_BYTES),
    )


def frames_held() -> tuple[int, int]:
    """How many frames this process holds, and their bytes; the client's are messages of the contract."""
    sizes = [len(thing.image) for thing in gc.get_objects() if type(thing) is Frame]
    return len(sizes), sum(sizes)


def check_voice(call: Call) -> int:
    """The voice is there from its first sample to its last, in order; returns the number of its chunks."""
    voice, samples = call.all("audio"), 0
    for index, audio in enumerate(voice):
        assert audio.index == index
        assert audio.offset.ToNanoseconds() == samples * 1_000_000_000 // 24_000
        samples += audio.sample_count
    return len(voice)


async def test_a_client_that_stops_reading_misses_frames_and_nothing_of_the_voice(store: Path) -> None:
    growth, most_frames, most_bytes = Growth(), 0, 0
    gc.collect()  # frames that other tests have left in cycles are not this client's
    async with serving(store, talking(5.4)) as server:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio", lambda audio: audio.index == 10)
        for _ in range(12):
            await asyncio.sleep(STANDS_S / 12)
            frames, size = frames_held()
            most_frames, most_bytes = max(most_frames, frames), max(most_bytes, size)
        assert await call.finish() is grpc.StatusCode.OK
    chunks, shown = check_voice(call), [frame.index for frame in call.all("frame")]
    metrics = call.only("turn_completed").metrics
    assert metrics.shed_frame_count == growth("avatar_frames_shed_total") > 0
    assert metrics.sent_frame_count == len(shown)
    assert metrics.sent_frame_count + metrics.shed_frame_count + metrics.held_frame_count == chunks
    shed = [notice for notice in call.all("notice") if notice.reason == NoticeReason.NOTICE_REASON_FRAMES_SHED]
    assert [notice.turn_id for notice in shed] == [1]
    assert shown[-1] == chunks - 1, "video has returned"

    waiting = frames_waiting(Timeline(24_000, MEDIA.fps), MEDIA.spans)
    assert 0 < most_frames <= waiting + EVENTS
    assert most_bytes <= waiting * IMAGE_BYTES + MEDIA_BYTES + IMAGE_BYTES


class Player:
    """Plays what has been read, in real time, and says so each 50 ms: also while nothing is read."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.is_over = False
        """Set it to end `play`: gRPC takes a cancelled write for a cancelled call."""
        self.reported: list[tuple[float, float]] = []
        """Moments on the loop's clock, and the positions told then."""

    async def play(self) -> None:
        """Until it is over."""
        loop, position_s = asyncio.get_running_loop(), 0.0
        before_s = loop.time()
        while not self.is_over:
            await asyncio.sleep(0.05)
            position_s = min(position_s + loop.time() - before_s, self._call.media_ms / 1000)
            before_s = loop.time()
            if position_s:
                self.reported.append((before_s, position_s))
                position = Duration()
                position.FromNanoseconds(round(1e9 * position_s))
                await self._call.send(playback_report=PlaybackReport(turn_id=1, position=position))

    def known_s(self, at_s: float) -> float:
        """The furthest position that the server can have known of at a moment."""
        return max((position_s for told_s, position_s in self.reported if told_s <= at_s), default=0.0)


async def test_with_reports_the_lead_holds_while_the_client_does_not_read(store: Path) -> None:
    async with serving(store, talking(3.6)) as server, asyncio.TaskGroup() as tasks:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio")
        player = Player(call)
        tasks.create_task(player.play())
        await call.until("audio", lambda audio: audio.index == 10)
        await asyncio.sleep(STANDS_S)
        await call.until("turn_completed")
        player.is_over = True
        assert await call.finish() is grpc.StatusCode.OK
    check_voice(call)
    end_s, first_s = 0.0, call.times_s[call.kinds.index("audio")]
    for response, at_s in zip(call.responses, call.times_s, strict=True):
        if response.WhichOneof("payload") == "audio":
            end_s += response.audio.sample_count / 24_000
            if at_s > first_s + STANDS_S:
                assert end_s <= player.known_s(at_s) + EXTRAPOLATED_S + MEDIA.lead_s + 0.001
    stood_s = max(later - earlier for (earlier, _), (later, _) in pairwise([*player.reported]))
    assert stood_s < 1.0, "the player told its position all the time"


class Freed:
    """How long it takes until a server holds nothing of its only stream: no place, no task, no call of a vendor."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._began_s = asyncio.get_running_loop().time()
        self._lag = Lag()

    async def within(self, limit_s: float) -> None:
        """Wait for that; fail if it takes longer, but for what the machine itself was late."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S), running(self._lag.measure()):
            while not self._server.fakes.idle or session_tasks():
                await asyncio.sleep(0.01)
        assert loop.time() - self._began_s <= limit_s + self._lag.longest_s
        assert metrics.REGISTRY.get_sample_value("avatar_sessions_active", {"method": "Converse"}) == 0
        again = self._server.converse()
        await again.configure()
        assert await again.finish() is grpc.StatusCode.OK


def session_tasks() -> list[str]:
    """Tasks of the calls in this process; those by which gRPC waits for a client's end of a call are none."""
    ours = ("object Session.", "object write", "object read_conversation", "object Hearing.", "object pace")
    named = ((task.get_name(), str(task.get_coro())) for task in asyncio.all_tasks())
    return [name for name, coro in named if "HandleExceptions" in name or any(part in coro for part in ours)]


async def test_a_client_that_never_reads_again_is_freed_in_time_though_its_status_cannot_be_sent(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "READER_STALL_S", STALL_S)
    growth = Growth()
    async with serving(store, talking(9.0), max_sessions=1) as server:
        call = server.converse()
        await call.configure()
        assert session_tasks()
        await call.text("hello")
        await Freed(server).within(STALL_S + FREED_WITHIN_S)
        assert growth("avatar_sessions_total", method="Converse", code="ABORTED") == 1
        assert await call.end() is grpc.StatusCode.ABORTED
        assert (await call.status()).error_info.reason == "READER_TOO_SLOW"


async def test_a_player_that_stands_still_is_ended_by_its_reports(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads everything, so that no write ever waits; what it reports makes no progress."""
    monkeypatch.setattr(pacing, "READER_STALL_S", STALL_S)
    async with serving(store, talking(9.0), max_sessions=1) as server:
        call = server.converse()
        await call.configure()
        await call.text("hello")
        await call.until("audio")
        await call.send(playback_report=PlaybackReport(turn_id=1, position=Duration(nanos=40_000_000)))
        assert await call.end() is grpc.StatusCode.ABORTED
        status = await call.status()
        assert status.error_info.reason == "READER_TOO_SLOW"
        assert "nothing was played" in status.message
        assert call.media_ms <= 1_000 * (0.04 + EXTRAPOLATED_S + MEDIA.lead_s) + 41
        await Freed(server).within(FREED_WITHIN_S)


@pytest.mark.parametrize("spoken_to", [True, False])
async def test_a_client_that_vanishes_without_a_word_is_noticed(
    store: Path, monkeypatch: pytest.MonkeyPatch, spoken_to: bool
) -> None:
    """Its connection stays open and nobody is there. One that is spoken to stops reading; a silent one is asked."""
    monkeypatch.setattr(pacing, "READER_STALL_S", STALL_S if spoken_to else DEADLINE_S)
    monkeypatch.setattr(connections, "KEEPALIVE_S", DEADLINE_S if spoken_to else STALL_S / 2)
    monkeypatch.setattr(connections, "KEEPALIVE_TIMEOUT_S", DEADLINE_S if spoken_to else STALL_S / 2)
    async with (
        serving(store, talking(9.0), max_sessions=1) as server,
        blackhole(server.address) as (address, way),
        grpc.aio.insecure_channel(address, options=[("grpc.http2.bdp_probe", 0)]) as channel,
    ):
        stub: Any = AvatarServiceStub(channel)
        call = Call(stub.Converse())
        await call.configure()
        if spoken_to:
            await call.text("hello")
            await call.until("audio")
        way.swallow()
        await Freed(server).within(STALL_S + FREED_WITHIN_S)
        call.call.cancel()
