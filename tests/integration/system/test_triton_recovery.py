"""Triton killed in mid-sentence of a conversation on the whole system, first the server, then the model's process: the
voice goes on as if nothing were, and frames come back by themselves.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from avatar_client import AsyncAvatarClient
from avatar_client.events import Audio, ConverseEvent, Frame, Notice, TurnCompleted
from avatar_service.local.stubs import stubs
from avatar_service.local.triton_models import MODEL, State, TritonModels
from tests.integration.system.conftest import RunningSystem

LONG = "Every morning the old captain walks down to the harbour and counts the boats. " * 25
"""Two minutes of speech: longer than both recoveries take, on a busy machine too."""
BACK_S = 20.0
"""Longest that frames may be away after a kill."""
AFTER_READY_S = 3.0
"""Longest that frames may be away after Triton renders again."""
RATE_HZ = 24_000
FPS = 25
WAIT_S = 60.0
PROBE_S = 0.1
ASSETS = Path(__file__).parents[3] / "inference/assets/avatars"


@dataclass
class Seen:
    """What came from the service, and when by this process's clock."""

    timed: list[tuple[float, ConverseEvent]] = field(default_factory=list)

    def first(self, wanted: Callable[[ConverseEvent], bool], since_s: float = 0.0) -> float | None:
        """When the first such event came after a moment."""
        return next((at_s for at_s, event in self.timed if at_s > since_s and wanted(event)), None)

    async def wait(self, wanted: Callable[[ConverseEvent], bool], since_s: float = 0.0) -> float:
        """Wait for the first such event after a moment."""
        async with asyncio.timeout(WAIT_S):
            while (at_s := self.first(wanted, since_s)) is None:
                await asyncio.sleep(0.01)
        return at_s


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took from a kill, in seconds, until the client was told, Triton rendered, and a frame came again."""

    lost_s: float
    ready_s: float
    frame_s: float


def told(reason: str) -> Callable[[ConverseEvent], bool]:
    return lambda event: isinstance(event, Notice) and event.reason == reason


def triton_pid(system: RunningSystem) -> int:
    """The server below `avatar-service up`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == system.pid and b"tritonserver" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue  # it ended meanwhile
    raise AssertionError("no Triton runs")


async def renders(system: RunningSystem) -> float:
    """When Triton renders again: its model, by a probe of its own."""
    about = json.loads(next(ASSETS.glob("*/avatar.json")).read_text())
    async with aiohttp.ClientSession() as http, asyncio.timeout(WAIT_S):
        models = TritonModels(http, urlsplit(system.triton).netloc, f"{about['id']}@{about['sha256']}")
        while await models.renders() is not State.ANSWERS:
            await asyncio.sleep(PROBE_S)
    return time.monotonic()


async def recovery(system: RunningSystem, seen: Seen, pid: int) -> Recovery:
    """Kill a process and wait until frames are back."""
    killed_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    lost_s = await seen.wait(told("VIDEO_LOST"), since_s=killed_s)
    ready_s = await renders(system)
    restored_s = await seen.wait(told("VIDEO_RESTORED"), since_s=killed_s)
    frame_s = await seen.wait(lambda event: isinstance(event, Frame) and event.turn_id > 0, since_s=restored_s)
    return Recovery(lost_s - killed_s, ready_s - killed_s, frame_s - killed_s)


def assert_without_a_gap(seen: Seen, completed: TurnCompleted) -> None:
    """The voice is one piece, and by the client's own reports none of it came later than it was played."""
    voice = [event for _, event in seen.timed if isinstance(event, Audio)]
    for before, after in itertools.pairwise(voice):
        assert round(after.offset_s * RATE_HZ) == round(before.offset_s * RATE_HZ) + before.sample_count
    assert completed.metrics.starved_ms == 0


async def test_frames_come_back_by_themselves_while_the_voice_goes_on(system: RunningSystem) -> None:
    seen = Seen()

    async def read(conversation: object) -> None:
        async for event in conversation:  # type: ignore[attr-defined]  # the conversation below
            seen.timed.append((time.monotonic(), event))

    async with (
        AsyncAvatarClient(system.service) as client,
        client.converse() as conversation,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(read(conversation))
        await conversation.say(LONG)
        await seen.wait(lambda event: isinstance(event, Frame) and event.index > 2 * FPS)
        server = await recovery(system, seen, triton_pid(system))
        (stub,) = stubs(triton_pid(system), MODEL)
        model = await recovery(system, seen, stub)
        await conversation.interrupt()
        await seen.wait(lambda event: isinstance(event, TurnCompleted))
        await conversation.end_input()
    print(f"server: {server}\nmodel: {model}\nload: {os.getloadavg()}", file=sys.stderr)  # noqa: T201 - on failure

    for killed in (server, model):
        assert killed.frame_s <= BACK_S
        assert killed.frame_s - killed.ready_s <= AFTER_READY_S
    reasons = [event.reason for _, event in seen.timed if isinstance(event, Notice)]
    assert reasons == ["VIDEO_LOST", "VIDEO_RESTORED"] * 2
    (completed,) = (event for _, event in seen.timed if isinstance(event, TurnCompleted))
    assert "VIDEO_LOST" in completed.degraded_reasons
    assert_without_a_gap(seen, completed)
