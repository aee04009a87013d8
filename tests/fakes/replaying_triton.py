"""A process that speaks Triton's gRPC protocol and renders nothing: every frame is one of a few ready pictures.

python -m tests.fakes.replaying_triton --bytes 40000

Prints `listening on HOST:PORT`; ends with SIGTERM or SIGINT. The pictures are valid JPEGs of exactly the stated size,
with noise in them as a photograph has, and differ from each other. Answers are encoded when it starts, so that a
request costs little but its transfer.
"""

from __future__ import annotations  # gRPC's classes take type arguments in their stubs alone

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import numpy as np
import simplejpeg
import uvloop
from tritonclient.grpc import service_pb2

from avatar_service.engines.triton_lipsync import INPUTS
from tests.fakes.triton_server import response

SERVICE = "inference.GRPCInferenceService"
MODEL = "musetalk"
PICTURES = 8
"""Different pictures: as many as one request may have frames."""
MAX_FRAMES = 8
"""Frames of one request, as model_repository/README.md bounds them."""
BYTES = 40_000
"""About what a frame of the bundled avatars has at twice their detail; benchmarks state their figures for this size."""
SIDE = 512
"""Pixels of a side, as the bundled avatars have them."""
QUALITY = 80
MEL_MAX = 1.0
"""What every answer says the voice's maximum is: any number within the model's range does."""
STEPS = 12
"""Of the search for the noise: the size is then within a few hundred bytes, and a comment fills it up."""
MAX_COMMENT = 65_533
"""Bytes of text that one comment of a JPEG can hold."""
COMMENT_HEAD = 4


def pictures(size: int = BYTES, side: int = SIDE, count: int = PICTURES) -> list[bytes]:
    """So many different JPEGs of exactly `size` bytes. Raises ValueError if a picture cannot be so small."""
    return [_picture(size, side, seed) for seed in range(count)]


def _picture(size: int, side: int, seed: int) -> bytes:
    noise = np.random.default_rng(seed).standard_normal((side, side, 1))
    grey = 64 + 16 * (seed % 8)

    def encoded(amplitude: float) -> bytes:
        pixels = np.clip(grey + amplitude * noise, 0, 255).astype(np.uint8).repeat(3, axis=2)
        jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY)
        return jpeg

    low, high, best = 0.0, 128.0, encoded(0.0)
    if len(best) + COMMENT_HEAD > size:
        raise ValueError(f"a JPEG of {side} x {side} pixels has {len(best) + COMMENT_HEAD} bytes or more, not {size}")
    for _ in range(STEPS):
        middle = (low + high) / 2
        jpeg = encoded(middle)
        if len(jpeg) + COMMENT_HEAD <= size:
            low, best = middle, jpeg
        else:
            high = middle
    return filled(best, size)


def filled(jpeg: bytes, size: int) -> bytes:
    """A JPEG with comments behind its first marker that bring it to exactly `size` bytes."""
    comments = b""
    while missing := size - len(jpeg) - len(comments):
        text = min(missing - COMMENT_HEAD, MAX_COMMENT)
        if 0 < missing - COMMENT_HEAD - text < COMMENT_HEAD:
            text -= COMMENT_HEAD  # a last comment must have room for its own head
        comments += b"\xff\xfe" + (text + 2).to_bytes(2, "big") + bytes(text)
    return jpeg[:2] + comments + jpeg[2:]


def answers(images: Sequence[bytes]) -> list[list[bytes]]:
    """The encoded answer to a request for so many frames (first index) from this picture on (second)."""
    return [
        [
            response([images[(first + at) % len(images)] for at in range(frames)], MEL_MAX).SerializeToString()
            for first in range(len(images))
        ]
        for frames in range(MAX_FRAMES + 1)
    ]


class Replaying(grpc.GenericRpcHandler):
    """Answers render requests after `delay_s` with ready bytes, and says that it serves the model and nothing else."""

    def __init__(self, images: Sequence[bytes], delay_s: float) -> None:
        self._answers = answers(images)
        self._delay_s = delay_s
        self._methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(method)
            for name, method in {
                "ModelInfer": self._infer,
                "ModelMetadata": self._metadata,
                "ModelReady": _says(service_pb2.ModelReadyResponse(ready=True)),
                "ServerReady": _says(service_pb2.ServerReadyResponse(ready=True)),
                "ServerLive": _says(service_pb2.ServerLiveResponse(live=True)),
            }.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of a method, if there is one."""
        return self._methods.get(handler_call_details.method)

    async def _infer(self, request: bytes, context: Any) -> bytes:
        asked = service_pb2.ModelInferRequest.FromString(request)
        if asked.model_name != MODEL:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"only {MODEL} is replayed")
        at = [tensor.name for tensor in asked.inputs].index("FRAME_INDEX")
        indices = np.frombuffer(asked.raw_input_contents[at], np.int32)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        return self._answers[len(indices)][int(indices[0]) % PICTURES]

    async def _metadata(self, request: bytes, context: Any) -> bytes:
        asked = service_pb2.ModelMetadataRequest.FromString(request)
        if asked.name != MODEL:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"only {MODEL} is replayed")
        metadata = service_pb2.ModelMetadataResponse(name=asked.name)
        for name, datatype in INPUTS.items():
            metadata.inputs.add(name=name, datatype=datatype, shape=[-1, -1])
        encoded: bytes = metadata.SerializeToString()
        return encoded


def _says(message: Any) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that always answers the same."""
    encoded: bytes = message.SerializeToString()

    async def answer(request: bytes, context: Any) -> bytes:
        del request, context
        return encoded

    return answer


async def serve(size: int, side: int, delay_s: float) -> None:
    """Serve on a free port until SIGTERM or SIGINT."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)))
    server.add_generic_rpc_handlers((Replaying(pictures(size, side), delay_s),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)  # noqa: T201  # its parent reads it
    await ended.wait()
    await server.stop(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=BYTES, help=f"size of a frame (default {BYTES})")
    parser.add_argument("--side", type=int, default=SIDE, help=f"pixels of a side (default {SIDE})")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that a request takes (default 0)")
    given = parser.parse_args()
    uvloop.run(serve(given.bytes, given.side, given.delay))
