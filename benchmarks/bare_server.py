"""What gRPC itself costs: a server on grpc.aio and uvloop that sends media by the clock and does nothing else.

It speaks the service's contract, so that the same client drives both: after the configuration it says that the session
has started, and from the first `say` on it sends a chunk of voice and a frame every 40 ms, and beside them as many
words and acknowledgements as the service. Every message is built anew, as the service must; payloads are ready. What
the client sends is decoded and dropped.

Prints its address; ends with SIGTERM.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from avatar.v1 import (
    AudioChunk,
    AudioReceived,
    AvatarServiceServicer,
    ConverseRequest,
    ConverseResponse,
    Frame,
    SessionStarted,
    SpokenText,
    add_AvatarServiceServicer_to_server,
)

FPS = 25
CHUNK_SAMPLES = 960
LOOP_FRAMES = 250
WORD_CHUNKS, ACKNOWLEDGED_CHUNKS = 8, 25
"""So many chunks apart are words, and acknowledgements of the user's audio: three a second, and one."""
SERVICE = "avatar.v1.AvatarService"


class BareServicer(AvatarServiceServicer):
    """One stream: a reader, and a loop that writes."""

    def __init__(self, frame_bytes: int) -> None:
        self._image = bytes(frame_bytes)
        self._pcm = bytes(2 * CHUNK_SAMPLES)

    async def Converse(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[ConverseRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Send media until the client goes."""
        asked = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(request_iterator, asked))
            await context.write(ConverseResponse(session_started=SessionStarted()))
            await asked.wait()
            await self._send(context)
            reading.cancel()

    async def _send(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        loop, index = asyncio.get_running_loop(), 0
        began_s = loop.time()
        while True:
            await asyncio.sleep(began_s + index / FPS - loop.time())
            seconds, nanos = divmod(index * 1_000_000_000 // FPS, 1_000_000_000)
            offset = Duration(seconds=seconds, nanos=nanos)
            chunk = AudioChunk(turn_id=1, index=index, offset=offset, data=self._pcm, sample_count=CHUNK_SAMPLES)
            await context.write(ConverseResponse(audio=chunk))
            frame = Frame(
                turn_id=1,
                index=index,
                offset=offset,
                data=self._image,
                keyframe=True,
                loop_index=index % LOOP_FRAMES,
            )
            await context.write(ConverseResponse(frame=frame))
            if not index % WORD_CHUNKS:
                word = SpokenText(turn_id=1, text="tides ", start_offset=offset, end_offset=offset)
                await context.write(ConverseResponse(spoken_text=word))
            if not index % ACKNOWLEDGED_CHUNKS:
                await context.write(ConverseResponse(audio_received=AudioReceived(offset=offset)))
            index += 1


async def _read(requests: AsyncIterator[ConverseRequest], asked: asyncio.Event) -> None:
    async for request in requests:
        if request.WhichOneof("payload") == "say":
            asked.set()


async def serve(frame_bytes: int) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_AvatarServiceServicer_to_server(BareServicer(frame_bytes), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)  # noqa: T201  # its parent reads it
    await ended.wait()
    await server.stop(None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame-bytes", type=int, default=40_000)
    uvloop.run(serve(parser.parse_args().frame_bytes))
