"""Two processes of the service and one Redis: a conversation that loses its stream goes on at the other process."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import AvatarServiceStub, ConverseConfig, GoAwayReason, PlaybackReport, Resume, SessionStarted
from avatar_client import AsyncAvatarClient, Resumed, SpokenText, TurnCompleted
from tests.fakes.run_service import STORY
from tests.redis_server import RedisServer
from tests.service.calls import Call, write_avatars

ROOT = Path(__file__).resolve().parents[3]
STOP_S = 20.0
"""How long a process may take to stop."""


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service of which nothing but its address and its process is known."""

    address: str
    process: subprocess.Popen[str]


@contextmanager
def service(avatars: Path, redis: RedisServer) -> Iterator[ServiceProcess]:
    """Start one; kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.run_service", str(avatars), redis.url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield ServiceProcess(process.stdout.readline().strip(), process)
    finally:
        process.kill()
        process.communicate(timeout=STOP_S)


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_avatars(tmp_path_factory.mktemp("services") / "avatars", "ada")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def second(avatars: Path, redis: RedisServer) -> Iterator[ServiceProcess]:
    """The process at which every test goes on."""
    with service(avatars, redis) as process:
        yield process


@dataclass
class Client:
    """A client with a loudspeaker: it plays a turn from its first chunk on and knows which words were heard."""

    channel: grpc.aio.Channel
    call: Call = field(init=False)
    turn_id: int = 0
    sent_s: float = 0.0
    position_s: float = 0.0
    words: list[Any] = field(default_factory=list)
    _played_from_s: float = 0.0

    def __post_init__(self) -> None:
        stub: Any = AvatarServiceStub(self.channel)
        self.call = Call(stub.Converse())

    async def begin(self, **fields: Any) -> SessionStarted:
        await self.call.send(config=ConverseConfig(**fields))
        started = await self.call.until("session_started")
        assert isinstance(started, SessionStarted)
        return started

    async def play(self, until_s: float) -> None:
        """Read, and play, until so much of a turn was heard."""
        while self.position_s < until_s:
            response = await self.call.next()
            assert response is not None, "the stream ended"
            match response.WhichOneof("payload"):
                case "spoken_text":
                    self.words.append(response.spoken_text)
                case "audio":
                    self._take(response.audio)
            if self.turn_id:
                elapsed_s = asyncio.get_running_loop().time() - self._played_from_s
                self.position_s = min(elapsed_s, self.sent_s)

    def _take(self, audio: Any) -> None:
        if audio.turn_id != self.turn_id:
            self.turn_id, self._played_from_s = audio.turn_id, asyncio.get_running_loop().time()
        self.sent_s = audio.offset.ToNanoseconds() / 1e9 + audio.sample_count / 24_000

    @property
    def heard(self) -> str:
        """The words that were over at the position."""
        heard = [word.text for word in self.words if word.end_offset.ToNanoseconds() / 1e9 <= self.position_s]
        return "".join(heard).strip()

    @property
    def playback(self) -> PlaybackReport:
        report = PlaybackReport(turn_id=self.turn_id)
        report.position.FromNanoseconds(round(self.position_s * 1e9))
        return report


async def go_on(service: ServiceProcess, token: str, playback: PlaybackReport) -> tuple[SessionStarted, str]:
    """Resume a session at a service and hear it to its end; returns what was heard."""
    async with grpc.aio.insecure_channel(service.address) as channel:
        client = Client(channel)
        started = await client.begin(resume=Resume(resume_token=token, playback=playback))
        completed = await client.call.until("turn_completed")
        assert await client.call.finish() is grpc.StatusCode.OK
        return started, completed.heard_text


async def listen(
    service: ServiceProcess, after_s: float, heard_s: float, broken: asyncio.Barrier
) -> tuple[str, Client]:
    """After a while, hear so much of the story, and wait for the others; returns the token."""
    channel = grpc.aio.insecure_channel(service.address)
    client = Client(channel)
    begun = await client.begin()
    await asyncio.sleep(after_s)
    await client.call.text("tell me")
    await client.play(heard_s)
    await broken.wait()
    return begun.resume_token, client


@pytest.mark.parametrize(
    ("how", "heard_s"),
    # A process that is killed has saved the words of earlier sentences, and those of the current one when they came.
    [("connections are cut", (0.4, 1.6)), ("the process is killed", (1.2, 1.8))],
)
async def test_whoever_is_cut_off_goes_on_elsewhere_and_loses_no_word_and_hears_none_twice(
    avatars: Path, redis: RedisServer, second: ServiceProcess, how: str, heard_s: tuple[float, ...]
) -> None:
    with service(avatars, redis) as first:
        broken = asyncio.Barrier(len(heard_s))
        listened = await asyncio.gather(*(listen(first, max(heard_s) - each_s, each_s, broken) for each_s in heard_s))
        if how == "the process is killed":
            first.process.send_signal(signal.SIGKILL)
            first.process.wait(STOP_S)
        for _, client in listened:
            await client.channel.close()
        resumed = await asyncio.gather(*(go_on(second, token, client.playback) for token, client in listened))
        for (token, client), (started, rest) in zip(listened, resumed, strict=True):
            assert (started.resumed, started.last_turn_id) == (True, 1)
            assert token.startswith(f"{started.session_id}.")
            assert client.heard
            assert f"{client.heard} {rest}" == STORY


async def test_a_stream_that_is_taken_over_elsewhere_ends_within_its_next_renewal(
    avatars: Path, redis: RedisServer, second: ServiceProcess
) -> None:
    with service(avatars, redis) as first:
        async with grpc.aio.insecure_channel(first.address) as channel:
            client = Client(channel)
            begun = await client.begin()
            async with grpc.aio.insecure_channel(second.address) as other:
                again = Client(other)
                await again.begin(resume=Resume(resume_token=begun.resume_token))
                assert await client.call.end() is grpc.StatusCode.ABORTED
                assert (await client.call.status()).error_info.reason == "SESSION_TAKEN_OVER"
                assert await again.call.finish() is grpc.StatusCode.OK


async def test_a_process_that_is_told_to_stop_sends_its_sessions_elsewhere(
    avatars: Path, redis: RedisServer, second: ServiceProcess
) -> None:
    with service(avatars, redis) as first:
        async with grpc.aio.insecure_channel(first.address) as channel:
            client = Client(channel)
            await client.begin()
            await client.call.text("tell me")
            await client.play(0.5)
            first.process.send_signal(signal.SIGTERM)
            go_away = await client.call.until("go_away")
            assert go_away.reason == GoAwayReason.GO_AWAY_REASON_DRAINING
            heard = (await client.call.until("turn_completed")).heard_text
            assert heard == STORY
            async with grpc.aio.insecure_channel(second.address) as other:
                again = Client(other)
                started = await again.begin(resume=Resume(resume_token=go_away.resume_token))
                assert started.last_turn_id == 1
                assert await again.call.finish() is grpc.StatusCode.OK
        assert first.process.wait(STOP_S) == 0


@asynccontextmanager
async def balanced(*services: ServiceProcess) -> AsyncIterator[str]:
    """One address for several services, as a load balancer gives it: connections go to the first that takes them."""

    connections = set[asyncio.Task[None]]()

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        for service in services:
            host, _, port = service.address.rpartition(":")
            try:
                behind, to_service = await asyncio.open_connection(host, int(port))
            except ConnectionError:
                continue
            with closing(writer), closing(to_service), suppress(asyncio.CancelledError):
                await asyncio.gather(passed(reader, to_service), passed(behind, writer))
            return

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for connection in connections:
            connection.cancel()
        await asyncio.wait(connections)


async def test_our_client_goes_on_by_itself_when_its_process_is_killed(
    avatars: Path, redis: RedisServer, second: ServiceProcess
) -> None:
    words, outage_s, rest = list[SpokenText](), 0.0, ""
    with service(avatars, redis) as first:
        async with (
            balanced(first, second) as address,
            AsyncAvatarClient(address) as client,
            client.converse() as conversation,
        ):
            await conversation.send_text("tell me")
            async for event in conversation:
                match event:
                    case SpokenText(turn_id=1):
                        words.append(event)
                        if len(words) == 18:  # a second ahead of play-out, and so in the last but one sentence
                            first.process.kill()
                    case Resumed(turn_id=1, played_s=played_s):
                        words = [word for word in words if word.end_offset_s <= played_s]
                        outage_s = event.outage_s
                    case TurnCompleted(turn_id=2):
                        rest = event.heard_text
                        await conversation.end_input()
    assert words
    assert "".join(word.text for word in words) + rest == STORY
    assert 0 < outage_s < 5.0
