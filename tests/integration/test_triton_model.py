"""The model in a real Triton: the contract over the wire, batching across sessions, errors of single requests."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerException, InferInput
from tritonclient.grpc.aio import InferenceServerClient

from avatar_service.local.triton import TritonServer
from inference.contract import INPUTS, MODEL_NAME, MUSETALK, OUTPUTS, PREPARE
from inference.engine import Engine
from inference.requests import RenderError, RenderRequest, RenderResult
from tests.inference_data import request
from tests.integration.conftest import MadeUpModel
from tests.integration.test_container_probe import probed

REPOSITORY = Path(__file__).parents[2] / "model_repository"


def inputs(each: RenderRequest) -> list[InferInput]:
    """The request as tensors."""
    values: dict[str, tuple[str, NDArray[Any]]] = {
        "AUDIO": ("INT16", each.audio),
        "AUDIO_START": ("INT64", np.array([each.audio_start], np.int64)),
        "AVATAR": ("BYTES", np.array([each.avatar.encode()], np.object_)),
        "FRAME_INDEX": ("INT32", np.array(each.frame_index, np.int32)),
        "FRAME_START": ("INT32", np.array(each.frame_start, np.int32)),
        "MOUTH_WEIGHT": ("FP32", np.array(each.mouth_weight, np.float32)),
        "MEL_MAX": ("FP32", np.array([each.mel_max], np.float32)),
        "FORMAT": ("BYTES", np.array([each.format.encode()], np.object_)),
    }
    tensors = []
    for name, (kind, data) in values.items():
        tensor = InferInput(name, [1, len(data)], kind)
        tensor.set_data_from_numpy(data[None])
        tensors.append(tensor)
    return tensors


async def infer(client: InferenceServerClient, each: RenderRequest) -> RenderResult | InferenceServerException:
    """One answer over the wire; an error is returned, not raised."""
    try:
        result = await client.infer(MODEL_NAME, inputs(each))
    except InferenceServerException as error:
        return error
    return RenderResult(
        tuple(result.as_numpy("FRAMES")[0]),
        float(result.as_numpy("MEL_MAX")[0, 0]),
        int(result.as_numpy("RENDERED")[0, 0]),
    )


@dataclass(frozen=True, slots=True)
class Executions:
    """Triton's own count of requests and of batches."""

    requests: int
    batches: int


async def infer_all(
    triton: TritonServer, requests: Sequence[RenderRequest]
) -> tuple[list[RenderResult | InferenceServerException], Executions]:
    """Send all at once; the answers in order, and what Triton counted meanwhile."""
    async with InferenceServerClient(triton.grpc_address) as client:
        before = await executions(client)
        answers = await asyncio.gather(*(infer(client, each) for each in requests))
        after = await executions(client)
        async with asyncio.timeout(15.0):  # Triton counts a batch after it has answered it
            while after.requests < before.requests + sum(isinstance(each, RenderResult) for each in answers):
                after = await executions(client)
    return answers, Executions(after.requests - before.requests, after.batches - before.batches)


async def executions(client: InferenceServerClient) -> Executions:
    """What the model has done since it was loaded."""
    found = (await client.get_inference_statistics(MODEL_NAME)).model_stats[0]
    return Executions(found.inference_count, found.execution_count)


@pytest.fixture(scope="module")
def engine(made_up: MadeUpModel) -> Engine:
    return Engine.load(made_up.weights, [made_up.avatars])


def pixels(frame: bytes) -> NDArray[np.int16]:
    return np.frombuffer(frame, np.uint8).astype(np.int16)


def expected(engine: Engine, *requests: RenderRequest) -> list[RenderResult | RenderError]:
    return [engine.render([each])[0] for each in requests]


def test_concurrent_sessions_share_batches_and_get_what_the_engine_renders_for_each_alone(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel, engine: Engine
) -> None:
    requests = [
        replace(request(avatar, (0.0, 0.5, 1.0, 1.0), seed=seed), format="raw")
        for seed in range(6)
        for avatar in (made_up.ada, made_up.bo)
    ]
    answers, counted = runner.run(infer_all(triton, requests))
    assert counted.requests == 12
    assert counted.batches < counted.requests
    for answer, alone in zip(answers, expected(engine, *requests), strict=True):
        assert isinstance(answer, RenderResult)
        assert isinstance(alone, RenderResult)
        assert answer.rendered == alone.rendered == 3
        assert answer.mel_max == pytest.approx(alone.mel_max, abs=1e-5)
        for ours, theirs in zip(answer.frames, alone.frames, strict=True):
            difference = pixels(ours) - pixels(theirs)
            assert np.abs(difference).max() <= 1  # sums in another order may round to the neighbour


def test_requests_of_different_lengths_are_answered_in_full(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    lengths = (1, 8, 4, 2)
    answers, _ = runner.run(infer_all(triton, [request(made_up.ada, (1.0,) * n, seed=n) for n in lengths]))
    assert [len(answer.frames) for answer in answers if isinstance(answer, RenderResult)] == list(lengths)


def test_one_jpeg_request_equals_the_engines_answer(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel, engine: Engine
) -> None:
    one = request(made_up.ada, (1.0,) * 8)
    answers, _ = runner.run(infer_all(triton, [one]))
    assert answers == expected(engine, one)


def test_an_idle_request_needs_no_audio_and_returns_the_source_jpegs(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel, engine: Engine
) -> None:
    idle = replace(request(made_up.ada, (0.0,) * 3), audio=np.zeros(0, np.int16))
    answers, _ = runner.run(infer_all(triton, [idle]))
    assert answers == expected(engine, idle)
    assert isinstance(answers[0], RenderResult)
    assert answers[0].rendered == 0
    assert answers[0].frames[0] == (made_up.avatars / "ada" / "frames" / "00000.jpg").read_bytes()


def test_a_bad_request_fails_alone_with_an_error_that_names_the_field(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    good = request(made_up.ada)
    bad = [
        replace(good, avatar=f"nobody@{'0' * 64}"),
        replace(good, mouth_weight=(2.0,) * 4),
        replace(good, format="png"),
    ]
    answers, _ = runner.run(infer_all(triton, [good, *bad, good]))
    assert isinstance(answers[0], RenderResult)
    assert answers[0] == answers[4]
    messages = [str(answer) for answer in answers[1:4]]
    assert {answer.status() for answer in answers[1:4] if isinstance(answer, InferenceServerException)} == {
        "StatusCode.INVALID_ARGUMENT"
    }
    for message, start in zip(messages, ("AVATAR: no avatar", "MOUTH_WEIGHT: must be", "FORMAT: 'png'"), strict=True):
        assert start in message


def test_tensors_of_the_wrong_shape_are_refused_by_name(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    short = replace(request(made_up.ada), frame_start=(16_000,))
    answers, _ = runner.run(infer_all(triton, [short]))
    assert "FRAME_START: 1 values for 4 frames" in str(answers[0])


def test_a_missing_tensor_is_refused_by_name(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    async def without_mel_max() -> None:
        async with InferenceServerClient(triton.grpc_address) as client:
            await client.infer(MODEL_NAME, [each for each in inputs(request(made_up.ada)) if each.name() != "MEL_MAX"])

    with pytest.raises(InferenceServerException, match="MEL_MAX"):
        runner.run(without_mel_max())


def test_triton_reports_the_tensors_of_the_contract(runner: asyncio.Runner, triton: TritonServer) -> None:
    async def metadata() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        async with InferenceServerClient(triton.grpc_address) as client:
            found = await client.get_model_metadata(MODEL_NAME)
        return [(each.name, each.datatype) for each in found.inputs], [
            (each.name, each.datatype) for each in found.outputs
        ]

    def wire(data_type: str) -> str:
        return data_type.removeprefix("TYPE_").replace("STRING", "BYTES")

    assert runner.run(metadata()) == tuple(
        [(spec.name, wire(spec.data_type)) for spec in specs] for specs in (INPUTS, OUTPUTS)
    )


def test_the_probe_of_the_container_takes_a_refusal_of_the_model_for_an_answer(
    runner: asyncio.Runner, triton: TritonServer
) -> None:
    assert runner.run(probed(triton.http_address)) == (0, "")


def test_the_readme_lists_the_tensors_of_both_contracts() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([A-Z0-9]+) ", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert rows == [
        (spec.name, spec.data_type.removeprefix("TYPE_").replace("STRING", "BYTES"))
        for contract in (MUSETALK, PREPARE)
        for spec in (*contract.inputs, *contract.outputs)
    ]


def test_a_killed_server_takes_the_models_process_with_it(runner: asyncio.Runner, triton: TritonServer) -> None:
    """The last test of this file: the server does not come back."""
    children = Path(f"/proc/{triton.pid}/task/{triton.pid}/children")
    stubs = []
    for thread in children.parents[1].iterdir():
        with suppress(OSError):  # a thread that ended since it was listed
            stubs += [Path("/proc", pid) for pid in (thread / "children").read_text().split()]
    assert stubs
    os.kill(triton.pid, signal.SIGKILL)
    assert runner.run(triton.wait_exit()) == -signal.SIGKILL
    deadline = time.monotonic() + 15.0
    while any(_runs(stub) for stub in stubs):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    runner.run(triton.stop())
    assert not list(Path("/dev/shm").glob(f"avatar-triton-{os.getpid()}-*"))


def _runs(process: Path) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
