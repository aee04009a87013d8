"""The model `prepare` in a real Triton: photographs become boxes, latents and masks; what it cannot take is named."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import simplejpeg
import skimage.data
from numpy.typing import NDArray
from PIL import Image as Pillow
from tritonclient.grpc import InferenceServerException, InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient

from avatar_service.local.triton import TritonServer
from inference.contract import PREPARE
from inference.weights import VAE_FILE, file_sha256
from tests.integration.conftest import MadeUpModel

pytestmark = pytest.mark.timeout(240)  # torch is imported twice: by the server's start and by the first request

Answer = Mapping[str, NDArray[Any]]
FACES_ALONE = ("BOXES", "FACES")
ALL = ("BOXES", "FACES", "LATENTS", "MASKS", "WEIGHTS")
WIRE_TYPES = {np.dtype(np.object_): "BYTES", np.dtype(np.int32): "INT32"}


def jpeg(image: NDArray[np.uint8]) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), 95, colorspace="RGB")
    return encoded


ASTRONAUT = jpeg(skimage.data.astronaut())
COFFEE = jpeg(skimage.data.coffee())


async def infer(
    triton: TritonServer,
    images: Sequence[bytes],
    outputs: Sequence[str],
    boxes: Sequence[Sequence[int]] | None = None,
    box_shift: int | None = None,
) -> Answer:
    values: dict[str, NDArray[Any]] = {"IMAGES": np.array([*images, b""], np.object_)[:-1]}
    if boxes is not None:
        values["BOXES"] = np.array(boxes, np.int32)
    if box_shift is not None:
        values["BOX_SHIFT"] = np.array([box_shift], np.int32)
    inputs = []
    for name, value in values.items():
        inputs.append(InferInput(name, list(value.shape), WIRE_TYPES[value.dtype]))
        inputs[-1].set_data_from_numpy(value)
    async with InferenceServerClient(triton.grpc_address) as client:
        result = await client.infer("prepare", inputs, outputs=[InferRequestedOutput(name) for name in outputs])
    return {name: result.as_numpy(name) for name in outputs}


def error(runner: asyncio.Runner, *arguments: Any, **named: Any) -> str:
    """The message with which a request is refused as invalid."""
    with pytest.raises(InferenceServerException) as raised:
        runner.run(infer(*arguments, **named))
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    return str(raised.value.message())


def test_a_photograph_becomes_box_latents_and_mask_and_a_landscape_is_no_face(
    runner: asyncio.Runner, triton: TritonServer, made_up: MadeUpModel
) -> None:
    answer = runner.run(infer(triton, [ASTRONAUT, COFFEE], ALL))
    x1, y1, x2, y2 = answer["BOXES"][0].tolist()
    assert np.abs(np.array([x1, y1, x2, y2]) - (159, 55, 291, 187)).max() <= 3
    assert answer["BOXES"][1].tolist() == [0, 0, 0, 0]
    assert answer["FACES"][0] > 0.9
    assert answer["FACES"][1] == 0.0
    assert answer["LATENTS"].shape == (2, 8, 32, 32)
    assert answer["LATENTS"][0].std() > 0.01
    assert not answer["LATENTS"][1].any()
    mask = np.asarray(Pillow.open(io.BytesIO(answer["MASKS"][0])))
    assert mask.shape == (y2 - y1, x2 - x1)
    assert mask.dtype == np.uint8
    assert answer["MASKS"][1] == b""
    assert answer["WEIGHTS"].tolist() == [b"nano", file_sha256(made_up.weights / VAE_FILE).encode()]


def test_two_passes_give_what_one_gives_and_the_same_bytes_each_time(
    runner: asyncio.Runner, triton: TritonServer
) -> None:
    found = runner.run(infer(triton, [ASTRONAUT], FACES_ALONE))
    once, again = (
        runner.run(infer(triton, [ASTRONAUT], ("LATENTS", "MASKS"), boxes=found["BOXES"].tolist())) for _ in range(2)
    )
    whole = runner.run(infer(triton, [ASTRONAUT], ALL))
    assert np.array_equal(found["BOXES"], whole["BOXES"])
    assert np.array_equal(once["LATENTS"], whole["LATENTS"])
    assert once["LATENTS"].tobytes() == again["LATENTS"].tobytes()
    assert once["MASKS"][0] == again["MASKS"][0]


def test_a_box_is_taken_as_given_where_no_face_is_seen(runner: asyncio.Runner, triton: TritonServer) -> None:
    answer = runner.run(infer(triton, [COFFEE, COFFEE], ALL, boxes=[[100, 50, 300, 290], [0, 0, 0, 0]]))
    assert answer["BOXES"].tolist() == [[100, 50, 300, 290], [0, 0, 0, 0]]
    assert answer["FACES"].tolist() == [1.0, 0.0]
    assert np.asarray(Pillow.open(io.BytesIO(answer["MASKS"][0]))).shape == (240, 200)


def test_what_cannot_be_taken_is_refused_by_the_tensors_name(runner: asyncio.Runner, triton: TritonServer) -> None:
    large = jpeg(np.zeros((8, 4100, 3), np.uint8))
    assert error(runner, triton, [ASTRONAUT, b"no jpeg"], ALL).startswith("IMAGES: picture 1 is not a JPEG")
    assert error(runner, triton, [ASTRONAUT[:2000]], ALL).startswith("IMAGES: picture 0 is not a JPEG")
    assert error(runner, triton, [large], ALL).startswith("IMAGES: picture 0 is 4100x8, at most 4096")
    assert error(runner, triton, [b"\xff" * ((16 << 20) + 1)], ALL).startswith("IMAGES: picture 0 has 16777217 bytes")
    assert error(runner, triton, [COFFEE] * 9, ALL).startswith("IMAGES: 9 pictures, a request takes 1 to 8")
    assert error(runner, triton, [COFFEE], ALL, boxes=[[0, 0, 64, 64]] * 2).startswith("BOXES: shape [2, 4] for 1")
    assert error(runner, triton, [COFFEE], ALL, boxes=[[0, 0, 6000, 64]]).startswith("BOXES: box 0 (0, 0, 6000, 64)")
    assert error(runner, triton, [COFFEE], ALL, box_shift=7).startswith("BOX_SHIFT: 7, but the boxes of nano")


def test_triton_reports_the_tensors_of_the_contract(runner: asyncio.Runner, triton: TritonServer) -> None:
    async def metadata() -> list[list[tuple[str, str]]]:
        async with InferenceServerClient(triton.grpc_address) as client:
            found = await client.get_model_metadata("prepare")
        return [[(each.name, each.datatype) for each in part] for part in (found.inputs, found.outputs)]

    def wire(data_type: str) -> str:
        return data_type.removeprefix("TYPE_").replace("STRING", "BYTES")

    assert runner.run(metadata()) == [
        [(spec.name, wire(spec.data_type)) for spec in specs] for specs in (PREPARE.inputs, PREPARE.outputs)
    ]
