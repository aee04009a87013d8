"""Eight sessions at once on one Triton with the bundled model: they share batches, and none sees that in its frames."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient

from avatar_service.local.triton import TritonServer, TritonServerSettings
from inference.config import START_MEL_MAX
from inference.engine import Engine
from inference.requests import RenderRequest, RenderResult
from inference.weights import NANO_DIR
from tests.inference_data import request, write_avatar
from tests.integration.test_triton_model import executions, infer, pixels

SESSIONS = 8
REQUESTS = 5  # of each session, one after the other, as the service sends them
FRAMES = 4  # of each request
BATCHED = 3.0  # requests a batch on average: so many at least under this load


@dataclass(frozen=True, slots=True)
class Session:
    """What one session asks for: an avatar and a voice of its own."""

    avatar: str
    number: int

    def request(self, position: int, mel_max: float) -> RenderRequest:
        """The request at a position of its segment, with the maximum that the one before returned."""
        seed, weights = 10 * self.number + position, (1.0,) * (FRAMES - 1) + (0.5,)
        asked = request(self.avatar, weights, seed=seed, first=self.number + position * FRAMES)
        return replace(asked, mel_max=mel_max, format="raw")


@pytest.fixture(scope="module")
def avatars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("avatars")


@pytest.fixture(scope="module")
def sessions(avatars: Path) -> list[Session]:
    return [Session(write_avatar(avatars, NANO_DIR, f"avatar-{i}", seed=i), i) for i in range(SESSIONS)]


@pytest.fixture(scope="module")
def nano(runner: asyncio.Runner, avatars: Path, sessions: list[Session]) -> Iterator[TritonServer]:
    server = TritonServer(TritonServerSettings(model_dir=NANO_DIR, avatars_dirs=(avatars,)))
    runner.run(server.__aenter__())
    yield server
    runner.run(server.stop())


async def run_session(client: InferenceServerClient, session: Session) -> list[RenderResult]:
    """A session's answers, each asked for when the one before has come."""
    results: list[RenderResult] = []
    for position in range(REQUESTS):
        mel_max = results[-1].mel_max if results else START_MEL_MAX
        answer = await infer(client, session.request(position, mel_max))
        assert isinstance(answer, RenderResult), answer
        results.append(answer)
    return results


async def run_all(server: TritonServer, sessions: list[Session]) -> tuple[list[list[RenderResult]], float]:
    """All sessions at once; the answers of each, and how many requests a batch held on average."""
    async with InferenceServerClient(server.grpc_address) as client:
        before = await executions(client)
        answers = await asyncio.gather(*(run_session(client, session) for session in sessions))
        after = await executions(client)
        async with asyncio.timeout(5.0):  # Triton counts a batch after it has answered it
            while after.requests < before.requests + SESSIONS * REQUESTS:
                after = await executions(client)
    return answers, (after.requests - before.requests) / (after.batches - before.batches)


def alone(engine: Engine, session: Session) -> list[RenderResult]:
    """The same session with nobody else there."""
    results: list[RenderResult] = []
    for position in range(REQUESTS):
        mel_max = results[-1].mel_max if results else START_MEL_MAX
        (answer,) = engine.render([session.request(position, mel_max)])
        assert isinstance(answer, RenderResult), answer
        results.append(answer)
    return results


def test_eight_sessions_share_batches_and_each_gets_what_it_gets_alone(
    runner: asyncio.Runner,
    nano: TritonServer,
    avatars: Path,
    sessions: list[Session],
    capsys: pytest.CaptureFixture[str],
) -> None:
    together, mean_batch = runner.run(run_all(nano, sessions))
    with capsys.disabled():
        sys.stdout.write(f"\n{SESSIONS} sessions on one Triton: {mean_batch:.1f} requests a batch on average\n")
    assert mean_batch > BATCHED
    engine = Engine.load(NANO_DIR, [avatars])
    for session, answers in zip(sessions, together, strict=True):
        for ours, theirs in zip(answers, alone(engine, session), strict=True):
            assert ours.rendered == theirs.rendered == FRAMES
            assert ours.mel_max == pytest.approx(theirs.mel_max, abs=1e-5)
            for frame, expected in zip(ours.frames, theirs.frames, strict=True):
                assert np.abs(pixels(frame) - pixels(expected)).max() <= 1


def test_sessions_differ_from_each_other(avatars: Path, sessions: list[Session]) -> None:
    """Else the test above could not tell whose frames a session got."""
    engine = Engine.load(NANO_DIR, [avatars])
    first = [alone(engine, session)[0].frames[0] for session in sessions[:2]]
    assert np.abs(pixels(first[0]) - pixels(first[1])).max() > 20
    swapped = engine.render([replace(sessions[0].request(0, START_MEL_MAX), audio=sessions[1].request(0, 0.5).audio)])
    assert isinstance(swapped[0], RenderResult)
    assert np.abs(pixels(swapped[0].frames[0]) - pixels(first[0])).max() > 1
