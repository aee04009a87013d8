"""Avatars made by the real models: a photograph, a landscape, a video, and a command that is killed."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from avatar_client import AsyncAvatarClient, Avatar, Frame, PreparationFailed
from avatar_service.avatars.bundle import bundle_sha256
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.record import RecordState
from avatar_service.avatars.store import AvatarStore
from avatar_service.engines.base import Engines
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.engines.triton_preparation import TritonFacePreparer
from avatar_service.local.triton import TritonServer, TritonServerSettings
from avatar_service.rpc.server import running_server
from avatar_service.settings import PreparationSettings, ServerSettings, Settings
from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from tests.fakes.chat import FakeChat
from tests.fakes.speech import FakeSpeech
from tests.fakes.transcriber import FakeTranscriber
from tests.fakes.voice_activity import FakeVoiceActivity
from tests.sources import Picture, encoded, write_video

WITHIN_S = 300.0
"""A machine may be busy with other things."""
ASTRONAUT = skimage.data.astronaut()
FACE = (140, 40, 310, 210)
"""A region of that photograph in which the whole face lies."""


def moving(frames: int) -> list[Picture]:
    """The astronaut at 1280 by 720, seen by a camera that sways."""
    large = np.asarray(Image.fromarray(ASTRONAUT).resize((1_400, 1_400)))
    pictures = []
    for index in range(frames):
        x, y = 60 + round(40 * np.sin(index / 20)), 60 + round(20 * np.cos(index / 15))
        pictures.append(np.ascontiguousarray(large[y : y + 720, x : x + 1_280]))
    return pictures


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made") / "store"


@pytest.fixture(scope="module")
def triton(runner: asyncio.Runner, store: Path) -> Iterator[TritonServer]:
    server = TritonServer(TritonServerSettings(avatars_dirs=(AVATARS_DIR, store)))
    runner.run(server.__aenter__())
    yield server
    runner.run(server.stop())


@asynccontextmanager
async def client_of(triton: TritonServer, store: Path) -> AsyncIterator[AsyncAvatarClient]:
    """A service of its own in front of Triton, and a client of it."""
    settings = Settings.load(env_file=None)
    settings = replace(
        settings,
        server=ServerSettings.model_validate({"listen": "127.0.0.1:0"}),
        triton=settings.triton.model_copy(update={"address": triton.grpc_address, "timeout_s": 60.0}),
        preparation=PreparationSettings.model_validate({"store": str(store)}),
    )
    async with AsyncExitStack() as stack:
        lip_sync = await stack.enter_async_context(TritonLipSync(settings.triton))
        faces = TritonFacePreparer(settings.triton, settings.preparation, settings.limits)
        await stack.enter_async_context(faces)
        engines = Engines(FakeVoiceActivity(), FakeTranscriber(), FakeChat(), FakeSpeech(rate=50.0), lip_sync, faces)
        catalogue = Catalogue.of(settings.server, settings.preparation)
        address = await stack.enter_async_context(running_server(settings, engines, catalogue))
        yield await stack.enter_async_context(AsyncAvatarClient(address))


async def prepared(client: AsyncAvatarClient, avatar: Avatar) -> tuple[Avatar, list[int]]:
    """The avatar once it is ready, and the progress that was seen."""
    seen = []
    async with asyncio.timeout(WITHIN_S):
        async for state in client.preparation(avatar.name):
            avatar = state
            seen.append(state.progress_percent)
    return avatar, seen


async def frames_of(client: AsyncAvatarClient, avatar: str) -> list[bytes]:
    """The frames of one sentence."""
    async with asyncio.timeout(WITHIN_S), client.speak("Hello.", avatar=avatar, unpaced=True) as speech:
        return [event.data async for event in speech if isinstance(event, Frame)]


def pixels(jpeg: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), np.float32)


def left(store: Path) -> set[str]:
    """What lies in the store but for records and whole bundles."""
    names = {path.name for path in store.iterdir()} - {".lock", "records"}
    return {name for name in names if len(name) != 64 or bundle_sha256(store / name) != name}


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not happened():
            await asyncio.sleep(0.02)


async def test_a_photograph_becomes_an_avatar_that_speaks(triton: TritonServer, store: Path) -> None:
    async with client_of(triton, store) as client:
        assert "create-avatar" in (await client.get_server_info()).features
        begun = await client.create_avatar(encoded(ASTRONAUT), avatar_id="astronaut", force=True)
        avatar, _ = await prepared(client, begun)
        assert (avatar.width, avatar.height, avatar.loop_frame_count) == (512, 512, 1)
        bundle = AvatarBundle.load(store / avatar.content_sha256)
        x1, y1, x2, y2 = bundle.info.boxes[0]
        assert FACE[0] < x1 < x2 < FACE[2]
        assert FACE[1] < y1 < y2 < FACE[3]
        spoken = await frames_of(client, "astronaut")
    # Rendered frames among each other: against the still one, all of them differ by their JPEG quality.
    rendered = [pixels(frame) for frame in spoken if frame != bundle.frames[0]]
    assert len(rendered) > 2
    changed = np.max([np.abs(frame - rendered[0]).max(axis=2) for frame in rendered], axis=0)  # [height, width]
    assert changed[y1:y2, x1:x2].max() > 8, "the mouth did not move"  # a little: the fake's voice is no speech
    changed[max(0, y1 - 80) : y2 + 80, max(0, x1 - 80) : x2 + 80] = 0
    assert changed.max() == 0, "something else moved"


async def test_a_landscape_is_refused(triton: TritonServer, store: Path) -> None:
    async with client_of(triton, store) as client:
        begun = await client.create_avatar(encoded(skimage.data.rocket(), "JPEG"), avatar_id="rocket", force=True)
        with pytest.raises(PreparationFailed, match="no face of at least 32 pixels was found in the picture") as failed:
            await prepared(client, begun)
        assert failed.value.reason == "FACE_NOT_FOUND"
        assert left(store) == set()
        await client.delete_avatar("rocket")


async def test_a_video_is_prepared_while_progress_rises_and_can_be_cancelled(
    triton: TritonServer, store: Path, tmp_path: Path
) -> None:
    await _video(triton, store, write_video(tmp_path / "sway.mp4", moving(50)), 50)


@pytest.mark.full
async def test_ten_seconds_of_video_are_prepared_and_can_be_cancelled(
    triton: TritonServer, store: Path, tmp_path: Path
) -> None:
    await _video(triton, store, write_video(tmp_path / "sway.mp4", moving(250)), 250)


async def _video(triton: TritonServer, store: Path, video: Path, frames: int) -> None:
    async with client_of(triton, store) as client:
        cancelled = await client.create_avatar(video, avatar_id="sway", force=True)
        async for state in client.preparation(cancelled.name):
            if state.progress_percent >= 30:
                break
        await client.delete_avatar("sway")
        assert left(store) == set()
        avatar, seen = await prepared(client, await client.create_avatar(video, avatar_id="sway", force=True))
        assert seen == sorted(seen)
        assert (avatar.width, avatar.height, avatar.loop_frame_count) == (1_280, 720, 2 * frames - 2)
        bundle = AvatarBundle.load(store / avatar.content_sha256)
        assert len(bundle.frames) == frames
        assert len(await frames_of(client, "sway")) > 5
        await client.delete_avatar("sway")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
async def test_the_command_leaves_nothing_when_it_is_stopped(
    triton: TritonServer, store: Path, tmp_path: Path, number: signal.Signals
) -> None:
    video = write_video(tmp_path / "sway.mp4", moving(50))
    environment = {"AVATAR_STORE": str(store), "AVATAR_TRITON_ADDRESS": triton.grpc_address}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "avatar_service", "prepare", str(video), "--id", "stopped", "--force"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    await until(lambda: len(list(store.glob(".work-*/bundle/frames/*.jpg"))) > 10)
    process.send_signal(number)
    out, _ = await process.communicate()
    restarted = AvatarStore(PreparationSettings.model_validate({"store": str(store)}))
    restarted.open()
    states = {record.avatar_id: record.state for record in restarted.records()}
    if number is signal.SIGINT:
        assert (process.returncode, out) == (130, b"stopped; nothing was written\n")
        assert "stopped" not in states
    else:
        assert states["stopped"] is RecordState.FAILED
    assert left(store) == set()


@pytest.mark.full
async def test_the_command_writes_a_bundle_where_it_is_told(triton: TritonServer, store: Path, tmp_path: Path) -> None:
    (tmp_path / "me.png").write_bytes(encoded(ASTRONAUT))
    environment = {"AVATAR_STORE": str(store), "AVATAR_TRITON_ADDRESS": triton.grpc_address}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "avatar_service", "prepare", "me.png", "--force", "--out", "bundles/me"),
        *("--box", "165,60,120,130"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().splitlines() == ["avatars/me: 1 frame of 512 by 512, nano", "in bundles/me"]
    bundle = AvatarBundle.load(tmp_path / "bundles" / "me")
    assert bundle.info.boxes == ((165, 60, 285, 190),)
    assert json.loads((tmp_path / "bundles/me/avatar.json").read_text())["id"] == "me"
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["me"]
