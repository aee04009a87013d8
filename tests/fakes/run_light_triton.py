"""Starts Triton with the light model, prints the server's pid, and waits: a parent for tests to kill."""

import asyncio
from pathlib import Path

from tritonclient.grpc import InferenceServerException
from tritonclient.grpc.aio import InferenceServerClient

from avatar_service.local.triton import TritonServer, TritonServerSettings


async def loaded(grpc_address: str) -> bool:
    """Whether the model is there."""
    async with InferenceServerClient(grpc_address) as client:
        try:
            return bool(await client.is_model_ready("musetalk"))
        except InferenceServerException:
            return False


LIGHT = TritonServerSettings(model_repository=Path(__file__).with_name("light_model"), probe=loaded)


async def main() -> None:
    """Run until killed."""
    async with TritonServer(LIGHT) as server:
        print(server.pid, flush=True)  # noqa: T201 - its parent reads it
        await server.wait_exit()


if __name__ == "__main__":
    asyncio.run(main())
