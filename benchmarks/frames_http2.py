"""As much of HTTP/2 and of gRPC's framing as a client of many streams needs.

A client made with grpc.aio takes about as much of a core as the server that it drives, and the machine has two. This
one writes what it sends as ready bytes and looks at no more than the heads of large messages: a tenth of that.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Protocol, cast

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW_SIZE = 4
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
PREFIX_BYTES = 5
"""Before each message gRPC has a byte for compression and four for the length."""
HEAD_BYTES = 32
"""Of a large message so much is looked at: its kind, its turn and its index."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Receiver(Protocol):
    """One stream's side of the client."""

    def received(self, message: bytes, size: int) -> None:
        """A message of `size` bytes has come; of one that `is_large` only the head."""

    def ended(self, why: str) -> None:
        """The server has ended the stream, or the connection is gone."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def message_frame(stream_id: int, message: bytes) -> bytes:
    """A gRPC message, not compressed, in one DATA frame."""
    return frame(DATA, 0, stream_id, struct.pack(">BI", 0, len(message)) + message)


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that goes into no table (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class _Incoming:
    """What has come of one stream's current message."""

    __slots__ = ("head", "left", "receiver", "size")

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.head = b""
        self.size = 0
        """Bytes of the message, its prefix included."""
        self.left = 0
        """Bytes behind the head that have not come."""


class Connection(asyncio.Protocol):
    """One connection with many streams."""

    def __init__(self, authority: str, is_large: Callable[[int], bool]) -> None:
        """`is_large` tells from the first byte of a message whether its head is enough."""
        self._authority = authority.encode()
        self._is_large = is_large
        self._streams: dict[int, _Incoming] = {}
        self._next_id = 1
        self._rest = b""
        self._consumed = 0
        self._windows: dict[int, int] = {}
        """What may be sent, of each stream and, under 0, of the connection."""
        self._stream_window = DEFAULT_WINDOW
        self.error = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server, and let it send without limit."""
        self._transport = cast(asyncio.Transport, transport)
        self._windows[0] = DEFAULT_WINDOW
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, LARGEST_WINDOW)
        window = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        self._transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, window))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every stream."""
        for incoming in self._streams.values():
            incoming.receiver.ended(self.error or "the connection was lost")
        self._streams.clear()

    def open(self, method: str, receiver: Receiver) -> int:
        """Begin a call; returns its number. The server's limit of streams on a connection is not looked at."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self._streams[stream_id] = _Incoming(receiver)
        self._windows[stream_id] = self._stream_window
        # POST and http stand in HPACK's static table as 3 and 6, the names of path and authority as 4 and 1.
        block = b"\x83\x86\x04" + bytes([len(method)]) + method.encode()
        block += b"\x01" + bytes([len(self._authority)]) + self._authority
        block += _literal(b"te", b"trailers") + _literal(b"content-type", b"application/grpc")
        self._transport.write(frame(HEADERS, END_HEADERS, stream_id, block))
        return stream_id

    def may_send(self, stream_id: int, size: int) -> bool:
        """Whether the server has room for a frame of so many bytes; if so, it is taken."""
        size -= 9
        if self._windows[0] < size or self._windows.get(stream_id, 0) < size:
            return False
        self._windows[0] -= size
        self._windows[stream_id] -= size
        return True

    def write(self, frames: bytes) -> None:
        """Send frames for which there is room."""
        self._transport.write(frames)

    def close(self) -> None:
        """Break off."""
        self._streams.clear()
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take frames apart."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if end - at < 9 + size:
                break
            kind, flags, stream_id = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
            at += 9
            if kind == DATA:
                self._consumed += size
                if incoming := self._streams.get(stream_id):
                    self._take(incoming, data, at, at + size)
            else:
                self._control(kind, flags, stream_id, data[at : at + size])
            if flags & END_STREAM and kind in (DATA, HEADERS):
                self._end(stream_id, f"the server ended the call: {data[at : at + size]!r}")
            at += size
        self._rest = data[at:]
        if self._consumed >= LARGEST_WINDOW // 2:
            self._transport.write(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed)))
            self._consumed = 0

    def _take(self, incoming: _Incoming, data: bytes, at: int, end: int) -> None:
        while at < end:
            if incoming.left:
                taken = min(incoming.left, end - at)
                incoming.left -= taken
            else:
                taken = min(self._wanted(incoming.head) - len(incoming.head), end - at)
                incoming.head += data[at : at + taken]
                if len(incoming.head) < self._wanted(incoming.head):
                    at += taken
                    continue
                incoming.size = PREFIX_BYTES + int.from_bytes(incoming.head[1:PREFIX_BYTES], "big")
                incoming.left = incoming.size - len(incoming.head)
            at += taken
            if not incoming.left:
                head, incoming.head = incoming.head, b""
                incoming.receiver.received(head[PREFIX_BYTES:], incoming.size - PREFIX_BYTES)

    def _wanted(self, head: bytes) -> int:
        """Up to where a message is looked at, as far as its first bytes tell: its prefix, then its kind, then the head
        of a large message or all of another."""
        if len(head) < PREFIX_BYTES:
            return PREFIX_BYTES
        size = PREFIX_BYTES + int.from_bytes(head[1:PREFIX_BYTES], "big")
        if len(head) == PREFIX_BYTES:
            return min(size, PREFIX_BYTES + 1)
        return min(size, PREFIX_BYTES + HEAD_BYTES) if self._is_large(head[PREFIX_BYTES]) else size

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._settings(payload)
            self._transport.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._windows[stream_id] = self._windows.get(stream_id, 0) + int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            self._end(stream_id, f"the server reset the call: {int.from_bytes(payload, 'big')}")
        elif kind == GOAWAY:
            self.error = f"the server ended the connection: {payload[4:]!r}"

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                for stream_id in self._streams:
                    self._windows[stream_id] += value - self._stream_window
                self._stream_window = value

    def _end(self, stream_id: int, why: str) -> None:
        if incoming := self._streams.pop(stream_id, None):
            incoming.receiver.ended(why)
