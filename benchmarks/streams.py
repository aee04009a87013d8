"""How many streams one core serves, beside what gRPC itself costs: at 25 fps, 40 KB a frame, with audio both ways.

The server has a core of its own; its client, Envoy, Triton and vendors share the others. For each server the largest
number of streams is searched at which 99 of 100 frames come within 20 ms of their schedule. Three servers are compared:
bare grpc.aio that sends the same messages by the clock (bare_server.py), and the real service with all engines replayed
in its process, or with real voice activity detection and a replaying Triton over a socket (replayed_service.py), each
directly and through Envoy as it is deployed. `serve` is the service as it is started, with a replaying sandbox in the
vendors' place: a fact without a goal.

A run counts if the server's core was busy for 90 % of it; where none did, the figure's name says so. A run in which
frames were late although the server had core time left is made again: something else on the machine was in its way.
Core time a frame is a figure of its own, since it depends less on that.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.bars import draw_bars
from benchmarks.process_clocks import Clock, busy_share, favour, pin, rss_mb
from benchmarks.report import OUT, Figure, write_report
from benchmarks.stream_load import FPS, Came, Load
from tests.envoy import Envoy
from tests.programs import Program
from tests.stack import Stack

LAG_MS = 20.0
BUSY = 0.9
FIRST_STREAMS = 40
STEP = 1.06
"""How close the search comes: bounds nearer than this end it."""
RUNS = 6
"""Most numbers of streams that one search tries."""
TRIES = 2
"""How often a run is made that something else on the machine was in the way of."""
LISTENING = 100
SERVER_CORE = min(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Server:
    """One of the servers that are compared; `goal` is the share of bare gRPC's streams that it should reach."""

    name: str
    module: str
    options: tuple[str, ...] = ()
    triton: bool = False
    goal: float | None = None


BARE = Server("bare gRPC", "benchmarks.bare_server")
REPLAYED = Server("service, engines replayed", "benchmarks.replayed_service", goal=70.0)
SOCKETS = Server("service, real VAD, Triton", "benchmarks.replayed_service", ("--real-vad",), triton=True, goal=35.0)
SERVE = Server("serve, sandbox, Triton", "")
SERVERS = {"bare": BARE, "replayed": REPLAYED, "sockets": SOCKETS, "serve": SERVE}


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what came, and what it took of which cores."""

    came: Came
    own_share: float
    """Of a core that the server took."""
    core_busy: float
    """How busy its core was, with whatever else ran there."""
    envoy_share: float
    rss_mb: float

    @property
    def holds(self) -> bool:
        """Whether frames came in time, and everything came."""
        came, expected = self.came, self.came.streams * self.came.seconds * FPS
        return not came.faults and came.lag_ms["p99"] < LAG_MS and came.frames > 0.98 * expected

    @property
    def is_disturbed(self) -> bool:
        """Whether it does not hold although the server left a good part of its core alone."""
        return not self.holds and self.own_share < BUSY - 0.1

    @property
    def frame_us(self) -> float:
        """Core time of the server for a frame with all that goes with it: its voice, and the user's."""
        return 1e6 * self.own_share * self.came.seconds / self.came.frames


@dataclass(slots=True)
class Running:
    """A server that runs, and what stands before it."""

    server: Server
    address: str
    program: Program
    envoy: Program | None = None
    runs: list[Run] = field(default_factory=list)

    async def run(self, streams: int, seconds: float, *, speaks: bool = True) -> Run:
        """Let so many streams run, and look at the cores meanwhile."""
        clocks: list[Clock] = []

        def look() -> None:
            clocks.append(Clock.now(SERVER_CORE, self.program.pid, self.envoy.pid if self.envoy else None))

        came = await Load(streams, speaks=speaks).run(self.address, seconds, look)
        look()
        before, after = clocks
        run = Run(
            came,
            (after.server_s - before.server_s) / (after.at_s - before.at_s),
            busy_share(before, after),
            (after.proxy_s - before.proxy_s) / (after.at_s - before.at_s),
            rss_mb(self.program.pid),
        )
        self.runs.append(run)
        say(self, run)
        await asyncio.sleep(1.0)  # for the server to clean up
        return run

    async def _undisturbed(self, streams: int, seconds: float) -> Run:
        for _ in range(TRIES - 1):
            run = await self.run(streams, seconds)
            if not run.is_disturbed:
                return run
        return await self.run(streams, seconds)

    async def search(self, seconds: float, first: int) -> Run | None:
        """The run with the most streams that holds; None if none does."""
        best: Run | None = None
        streams, below, above = first, 0, 0
        for _ in range(RUNS):
            run = await self._undisturbed(streams, seconds)
            if run.holds:
                best, below = run, streams
            else:
                above = streams
            if above and (above <= STEP * below or above < 4):
                break
            if above:
                streams = (below + above) // 2
            else:
                # What a stream takes falls with their number, so that there is room for more than this says.
                streams = max(below + 2, min(3 * below, int(below * 0.98 / max(run.own_share, 0.3))))
        return best


def say(running: Running, run: Run) -> None:
    """Print how a run went."""
    came = run.came
    where = "Envoy " if running.envoy else "direct"
    lag = f"p99 {came.lag_ms['p99']:6.1f} ms" if came.lag_ms else "no frames"
    shares = f"server {run.own_share:4.0%} of its core, that {run.core_busy:4.0%} busy, client {came.client_share:4.0%}"
    held = "holds" if came.lag_ms and run.holds else (came.faults[0][:60] if came.faults else "")
    print(f"{where} {running.server.name}: {came.streams:4d} streams, {lag}, {shares}  {held}", flush=True)  # noqa: T201


@asynccontextmanager
async def running(server: Server, folder: Path, *, through_envoy: bool) -> AsyncIterator[Running]:
    """A server on its own core, and Envoy before it where that is asked for."""
    async with Stack(services=1 if server is SERVE else 0, env={"AVATAR_MAX_SESSIONS": "1000"}) as stack:
        if server is SERVE:
            program, address = stack.services[0].program, stack.services[0].address
        else:
            triton = ("--triton", stack.triton_address) if server.triton else ()
            argv = (sys.executable, "-m", server.module, *server.options, *triton)
            program = stack.run(Program("measured", argv, folder))
            address = (await program.said(r"^serving on (\S+)$"))[1]
        pin(program.pid, {SERVER_CORE})
        favour(program.pid)
        if not through_envoy:
            yield Running(server, address, program)
            return
        async with Envoy([address]) as envoy:
            favour(envoy.program.pid)
            yield Running(server, envoy.plain, program, envoy.program)


async def compare(names: Sequence[str], seconds: float, folder: Path, *, through_envoy: bool) -> list[Figure]:
    """The figures of the servers side by side."""
    figures: list[Figure] = []
    where = "through Envoy" if through_envoy else "direct"
    bars: list[tuple[str, float]] = []
    bare: Run | None = None
    for name in names:
        server = SERVERS[name]
        async with running(server, folder, through_envoy=through_envoy) as it:
            best = await it.search(seconds, FIRST_STREAMS)
        if best is None:
            figures.append(Figure(f"{server.name}, {where}: streams a core (none held)", 0.0, "streams"))
            continue
        bars.append((server.name, float(best.came.streams)))
        figures += held(f"{server.name}, {where}", best)
        if server is BARE:
            bare = best
        elif bare:
            figures += shares(f"{server.name}, {where}", server, best, bare)
    draw_bars(f"Streams a core, {where}", bars, OUT / f"streams-{'envoy' if through_envoy else 'direct'}.svg")
    return figures


def held(name: str, run: Run) -> list[Figure]:
    """What the largest run that held tells of a server."""
    came = run.came
    counts = "" if run.core_busy >= BUSY else f" (not counted: its core was {run.core_busy:.0%} busy)"
    figures = [
        Figure(f"{name}: streams a core{counts}", came.streams, "streams", better="higher"),
        Figure(f"{name}: lag of frames, p99", came.lag_ms["p99"], "ms", goal=LAG_MS),
        Figure(f"{name}: core time a frame, its audio included", run.frame_us, "us"),
        Figure(f"{name}: messages to clients", came.messages / came.seconds, "1/s", better="higher"),
        Figure(f"{name}: to one client", came.media_bytes * 8e-6 / came.seconds / came.streams, "Mbit/s"),
        Figure(f"{name}: memory", run.rss_mb, "MB"),
    ]
    if run.envoy_share:
        figures.append(Figure(f"{name}: Envoy, of a core", 100 * run.envoy_share, "%"))
        each_us = 1e6 * run.envoy_share * came.seconds / came.messages
        figures.append(Figure(f"{name}: Envoy, a message to a client", each_us, "us"))
    return figures


def shares(name: str, server: Server, run: Run, bare: Run) -> list[Figure]:
    """How a server compares with bare gRPC, in streams and in core time."""
    counts = min(run.core_busy, bare.core_busy) >= BUSY
    streams = 100 * run.came.streams / bare.came.streams
    core_time = 100 * bare.frame_us / run.frame_us
    return [
        Figure(
            f"{name}: share of bare gRPC's streams" + ("" if counts else " (not counted)"),
            streams,
            "%",
            baseline=100.0,
            goal=server.goal if counts else None,
            better="higher",
        ),
        Figure(f"{name}: the same by core time a frame", core_time, "%", 100.0, server.goal, better="higher"),
    ]


async def listening(folder: Path, seconds: float) -> list[Figure]:
    """What sessions cost that only listen, beside gRPC and beside voice activity detection, and their memory."""
    shares_ms: dict[str, float] = {}
    figures: list[Figure] = []
    for name in ("bare", "replayed", "sockets"):
        async with running(SERVERS[name], folder, through_envoy=False) as it:
            empty_mb = rss_mb(it.program.pid)
            run = await it.run(LISTENING, seconds, speaks=False)
            shares_ms[name] = 100 * run.own_share / LISTENING
            if name == "replayed":
                speaking = await it.run(LISTENING // 2, seconds)
                session_kb = 1_000 * (run.rss_mb - empty_mb) / LISTENING
                talking_kb = 1_000 * (speaking.rss_mb - empty_mb) / (LISTENING // 2)
                figures.append(Figure("memory of a session that listens", session_kb, "kB"))
                figures.append(Figure("memory of a session that speaks", talking_kb, "kB"))
    beside = shares_ms["replayed"]
    return [
        Figure("a session that listens, beside VAD", beside, "% of a core", shares_ms["bare"], goal=2.0),
        Figure("a session that listens, with VAD", shares_ms["sockets"], "% of a core"),
        *figures,
    ]


async def main(given: argparse.Namespace, folder: Path) -> None:
    """Measure what was asked for, and report."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        sys.exit("error: the server needs a core of its own, and its client another one; this process may use one")
    os.sched_setaffinity(0, cores - {SERVER_CORE})  # and all that it starts
    favour(os.getpid())
    names = given.servers.split(",")
    figures = await compare(names, given.seconds, folder, through_envoy=False)
    if not given.direct:
        figures += await compare(names, given.seconds, folder, through_envoy=True)
    if not given.servers_only:
        figures += await listening(folder, given.seconds)
    write_report("streams", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time of a run (default 6)")
    parser.add_argument("--servers", default="bare,replayed,sockets,serve", help="which, bare first (default all)")
    parser.add_argument("--direct", action="store_true", help="not through Envoy")
    parser.add_argument("--servers-only", action="store_true", help="without sessions that only listen")
    folder = OUT.absolute() / "streams"
    folder.mkdir(parents=True, exist_ok=True)
    uvloop.run(main(parser.parse_args(), folder))
