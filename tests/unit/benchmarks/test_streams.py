"""The client of many streams: what it takes from the wire, how late it says that frames are, and how it searches."""

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.v1 import AudioChunk, ConverseResponse, Frame, SpokenText
from benchmarks import streams
from benchmarks.frames_http2 import DATA, HEAD_BYTES, LARGEST_WINDOW, PING, SETTINGS, Connection, frame
from benchmarks.stream_load import AUDIO, FPS, FRAME, Came, _index, _lag_ms
from benchmarks.streams import BARE, Run, Running
from tests.programs import Program


class Received:
    """One stream's side."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, int]] = []
        self.why = ""

    def received(self, message: bytes, size: int) -> None:
        self.messages.append((message, size))

    def ended(self, why: str) -> None:
        self.why = why


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


def opened() -> tuple[Connection, Wire, Received, int]:
    """A connection with one call."""
    connection, wire, received = Connection("127.0.0.1:1", lambda kind: kind in (AUDIO, FRAME)), Wire(), Received()
    connection.connection_made(wire)
    return connection, wire, received, connection.open("/avatar.v1.AvatarService/Converse", received)


def responses() -> list[bytes]:
    """A word, a chunk, a frame, and a frame without a picture, as they go over the wire."""
    return [
        ConverseResponse(spoken_text=SpokenText(turn_id=1, text="tides " * 20)).SerializeToString(),
        ConverseResponse(audio=AudioChunk(turn_id=1, index=3, data=bytes(1_920))).SerializeToString(),
        ConverseResponse(frame=Frame(turn_id=1, index=3, data=bytes(40_000))).SerializeToString(),
        ConverseResponse(frame=Frame(turn_id=1)).SerializeToString(),
    ]


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """A string in pieces of these sizes, again and again."""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(40, 20_000), min_size=1, max_size=6), st.lists(st.integers(7, 30_000), min_size=1, max_size=6)
)
def test_messages_come_whole_however_they_are_cut_into_frames_and_reads(frames: list[int], reads: list[int]) -> None:
    connection, _, received, stream_id = opened()
    sent = responses() * 2
    stream = b"".join(struct.pack(">BI", 0, len(message)) + message for message in sent)
    wire = b"".join(frame(DATA, 0, stream_id, part) for part in cut(stream, frames))
    for part in cut(wire, reads):
        connection.data_received(part)
    assert [size for _, size in received.messages] == list(map(len, sent))
    for (head, _), message in zip(received.messages, sent, strict=True):
        assert message.startswith(head)
        assert len(head) == (min(len(message), HEAD_BYTES) if message[0] in (AUDIO, FRAME) else len(message))


def test_pings_and_settings_are_answered_and_room_is_kept_count_of() -> None:
    connection, wire, _, stream_id = opened()
    wire.written = b""
    connection.data_received(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 100)) + frame(PING, 0, 0, b"12345678"))
    assert wire.written == frame(SETTINGS, 1, 0, b"") + frame(PING, 1, 0, b"12345678")
    assert connection.may_send(stream_id, 9 + 100)
    assert not connection.may_send(stream_id, 9 + 1), "the server has room for 100 bytes"


def test_a_server_that_has_sent_much_is_given_room_for_as_much_again() -> None:
    connection, wire, _, stream_id = opened()
    connection._consumed = LARGEST_WINDOW // 2 - 1
    wire.written = b""
    connection.data_received(frame(DATA, 0, stream_id, b"\0"))
    assert wire.written == frame(8, 0, 0, struct.pack(">I", LARGEST_WINDOW // 2))


def test_a_call_that_the_server_ends_is_told_of() -> None:
    connection, _, received, stream_id = opened()
    connection.data_received(frame(1, 0x5, stream_id, b"grpc-status 8"))
    assert "grpc-status 8" in received.why


@given(st.integers(0, 1 << 40), st.integers(1, 70_000))
def test_the_index_of_a_frame_is_read_off_its_head(index: int, size: int) -> None:
    message = ConverseResponse(frame=Frame(turn_id=1, index=index, data=bytes(size))).SerializeToString()
    assert _index(message[:HEAD_BYTES]) == index


def test_a_frame_is_late_against_the_earliest_of_its_own_stream() -> None:
    on_time = [(index, 10.0 + index / FPS) for index in range(50)]
    late = [(index, 20.0 + index / FPS + (0.03 if index == 49 else 0.0)) for index in range(50)]
    lag = _lag_ms([on_time, late])
    assert lag["p50"] == pytest.approx(0.0, abs=1e-6)
    assert lag["worst"] == pytest.approx(30.0)


class Imagined(Running):
    """A server that holds so many streams, each of which takes so much of a core."""

    def __init__(self, holds: int, share: float) -> None:
        super().__init__(BARE, "", Program("none", (), Path("out")))
        self._most = holds
        self._share = share
        self.asked: list[int] = []

    async def run(self, streams: int, seconds: float, *, speaks: bool = True) -> Run:
        self.asked.append(streams)
        lag = 5.0 if streams <= self._most else 90.0
        came = Came(streams, seconds, frames=round(streams * seconds * FPS), lag_ms={"p99": lag})
        return Run(came, min(1.0, streams * self._share), 1.0, 0.0, 0.0)


@pytest.mark.parametrize(("holds", "share"), [(220, 1 / 230), (70, 1 / 72), (41, 1 / 45), (12, 1 / 13)])
async def test_the_search_ends_close_below_what_a_server_holds(holds: int, share: float) -> None:
    server = Imagined(holds, share)
    best = await server.search(6.0, 40)
    assert best is not None
    assert 0.85 * holds <= best.came.streams <= holds
    assert len(server.asked) <= streams.RUNS


async def test_a_run_that_something_else_was_in_the_way_of_is_made_again() -> None:
    idle = Imagined(holds=0, share=0.001)
    assert await idle.search(6.0, 40) is None
    assert idle.asked[:3] == [40, 40, 20]
