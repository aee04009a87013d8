"""Many paced conversations from one process: what comes of them, and how late.

Every stream asks for one long reply at a moment of its own, sends user audio all the time, and reports play-out every
200 ms, as clients do. How late a frame is: its arrival against its stream's own schedule, in which frame i is due i/fps
after frame 0 and the earliest frame of the measured time is on time. The second of media with which a reply begins is
sent at once, and not measured.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from avatar.v1 import ConverseConfig, ConverseRequest, ConverseResponse, PlaybackReport, Say, UserAudio
from benchmarks.frames_http2 import Connection, message_frame

METHOD = "/avatar.v1.AvatarService/Converse"
AUDIO, FRAME = 0x0A, 0x12
"""First bytes of a response that is a chunk of voice, or a frame."""
FPS = 25
TICK_S = 0.004
PIECE_S = 0.04
"""User audio of one message, as the clients of this repository send it."""
REPORT_EVERY_S = 0.2
RATE_HZ = 16_000
NOISE = 30
"""Loudest sample of the user's silence: a quiet room."""
RAMP_S = 10.0
"""Over which the streams begin, as often as replies of that length would: each gets a second of media at once, which is
a load of its own."""
SETTLE_S = 5.0
"""From the last stream's begin until measuring begins: leads are filled, and voices are as far ahead as they go."""
CONNECTIONS = 4
"""As many as the replicas of a small backend have."""
WORDS = "Tides rise and fall because the moon pulls on the near side of the sea more than on the far side. "
TEXT = WORDS * 6
"""A long reply: almost 40 s of speech."""


@dataclass(slots=True)
class Came:
    """What came in the measured time, over all streams."""

    streams: int
    seconds: float = 0.0
    frames: int = 0
    chunks: int = 0
    others: int = 0
    """Messages that are no media, such as words and acknowledgements."""
    media_bytes: int = 0
    lag_ms: dict[str, float] = field(default_factory=dict)
    """By quantile: p50, p99 and worst."""
    faults: list[str] = field(default_factory=list)
    """What must not be, since the first stream began: notices, turns and calls that have ended, audio held back."""
    client_share: float = 0.0
    """Of a core that this process took."""

    @property
    def messages(self) -> int:
        """Everything that the server sent."""
        return self.frames + self.chunks + self.others


class _Talk:
    """One stream."""

    def __init__(self, load: "Load", connection: Connection) -> None:
        self.connection = connection
        self._load = load
        self._id = connection.open(METHOD, self)
        self._piece = message_frame(self._id, load.piece)
        self._next_audio_s = self._next_report_s = 0.0
        self._is_open = False
        self._first_audio_s = self._received_s = 0.0
        self.frames: list[tuple[int, float]] = []
        """Index and arrival of each."""
        self._send(ConverseRequest(config=ConverseConfig()))

    def _send(self, request: ConverseRequest) -> None:
        sent = message_frame(self._id, request.SerializeToString())
        if self.connection.may_send(self._id, len(sent)):
            self.connection.write(sent)
        else:
            self._load.came.faults.append("the server takes no more")

    def received(self, message: bytes, size: int) -> None:
        """Note media; look at everything else."""
        load, came, now_s = self._load, self._load.came, time.perf_counter()
        kind = message[0]
        if kind == FRAME and load.measures:
            came.frames += 1
            came.media_bytes += size
            self.frames.append((_index(message), now_s))
        elif kind == AUDIO:
            self._first_audio_s = self._first_audio_s or now_s
            self._received_s += 1 / FPS
            came.chunks += load.measures
            came.media_bytes += size * load.measures
        elif kind != FRAME:
            came.others += load.measures
            self._other(ConverseResponse.FromString(message))

    def _other(self, response: ConverseResponse) -> None:
        match response.WhichOneof("payload"):
            case "session_started":
                self._is_open = True
                if self._load.speaks:
                    self._send(ConverseRequest(say=Say(text=TEXT)))
            case "notice":
                self._load.came.faults.append(response.notice.message)
            case "turn_completed":
                self._load.came.faults.append("a turn was over")

    def ended(self, why: str) -> None:
        """Note it."""
        self._load.came.faults.append(why)

    def due(self, now_s: float) -> bytes:
        """Frames that are to be sent."""
        if not self._is_open:
            return b""
        due = b""
        if now_s >= self._next_audio_s:
            first = not self._next_audio_s
            self._next_audio_s = now_s + self._load.phase_s() if first else self._next_audio_s + PIECE_S
            due = self._piece
        if self._first_audio_s and now_s >= self._next_report_s:
            self._next_report_s = now_s + REPORT_EVERY_S
            report = PlaybackReport(turn_id=1)
            report.position.FromNanoseconds(int(1e9 * min(now_s - self._first_audio_s, self._received_s)))
            due += message_frame(self._id, ConverseRequest(playback_report=report).SerializeToString())
        if due and not self.connection.may_send(self._id, len(due)):
            self._load.came.faults.append("the server takes no more")
            return b""
        return due


def _index(message: bytes) -> int:
    """The index of a frame, from the head of its response.

    Before it stand the tag and the length of the frame and its turn, 1; an index of 0 is left out.
    """
    at = 1
    while message[at] & 0x80:
        at += 1
    at += 3
    if message[at] != 0x10:
        return 0
    index = shift = 0
    while True:
        at += 1
        index |= (message[at] & 0x7F) << shift
        if not message[at] & 0x80:
            return index
        shift += 7


class Load:
    """So many streams at once; they only listen unless one `speaks`."""

    def __init__(self, streams: int, *, speaks: bool = True) -> None:
        self.speaks = speaks
        self.came = Came(streams)
        self.measures = False
        noise = np.random.default_rng(0).integers(-NOISE, NOISE + 1, round(PIECE_S * RATE_HZ)).astype(np.int16)
        self.piece = ConverseRequest(audio=UserAudio(data=noise.tobytes())).SerializeToString()
        self._random = random.Random(0)

    def phase_s(self) -> float:
        """A moment within the length of a piece."""
        return self._random.random() * PIECE_S

    async def run(self, address: str, seconds: float, on_measuring: Callable[[], None]) -> Came:
        """Open the streams one after the other, let them settle, say so, and measure."""
        lines = [await _connected(address) for _ in range(CONNECTIONS)]
        settled_s = RAMP_S + SETTLE_S
        starts = sorted(self._random.random() * RAMP_S for _ in range(self.came.streams))
        talks: list[_Talk] = []
        began_s, cpu_s = time.perf_counter(), 0.0
        while (now_s := time.perf_counter()) < began_s + settled_s + seconds:
            while len(talks) < len(starts) and now_s >= began_s + starts[len(talks)]:
                talks.append(_Talk(self, lines[len(talks) % CONNECTIONS]))
            if not self.measures and now_s >= began_s + settled_s:
                self.measures, cpu_s = True, time.process_time()
                on_measuring()
            due: dict[Connection, list[bytes]] = {line: [] for line in lines}
            for talk in talks:
                if frames := talk.due(now_s):
                    due[talk.connection].append(frames)
            for line, parts in due.items():
                line.write(b"".join(parts))
            await asyncio.sleep(max(0.0, now_s + TICK_S - time.perf_counter()))
        self.measures = False
        self.came.seconds = time.perf_counter() - began_s - settled_s
        self.came.client_share = (time.process_time() - cpu_s) / self.came.seconds
        for line in lines:
            line.close()
        self.came.lag_ms = _lag_ms([talk.frames for talk in talks])
        return self.came


async def _connected(address: str) -> Connection:
    host, _, port = address.rpartition(":")
    connection = Connection(address, lambda kind: kind in (AUDIO, FRAME))
    await asyncio.get_running_loop().create_connection(lambda: connection, host, int(port))
    await asyncio.sleep(0.05)  # the server's settings come at once
    return connection


def _lag_ms(streams: list[list[tuple[int, float]]]) -> dict[str, float]:
    """How late the frames came, each against its own stream's earliest."""
    lags = [np.zeros(0)]
    for frames in filter(None, streams):
        index, at_s = np.array(frames).T
        late_s = at_s - index / FPS
        lags.append(1_000 * (late_s - late_s.min()))
    every = np.concatenate(lags)
    if not every.size:
        return {}
    p50, p99 = np.quantile(every, (0.5, 0.99))
    return {"p50": float(p50), "p99": float(p99), "worst": float(every.max())}
