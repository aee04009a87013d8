"""Several Tritons behind one name: the requests are spread over all, and over those that are left if one goes."""

from contextlib import AsyncExitStack
from typing import Any

from tritonclient.grpc.aio import InferenceServerClient

from avatar_service.engines.triton_calls import CONNECTING
from tests.fakes.triton_server import Triton, serving_triton


class Counting(Triton):
    """Counts how often it is asked for its model."""

    asked = 0

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """As every Triton answers."""
        self.asked += 1
        return await super().ModelMetadata(request, context)


async def test_requests_go_to_all_of_them_and_to_the_others_when_one_is_gone() -> None:
    tritons = [Counting(), Counting(), Counting()]
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(serving_triton(each)) for each in tritons]
        # What a name with three addresses is resolved to.
        name = f"ipv4:{','.join(addresses)}"
        client = await stack.enter_async_context(InferenceServerClient(name, channel_args=list(CONNECTING)))
        while not all(each.asked for each in tritons):  # until the last of them is connected
            await client.get_model_metadata("musetalk")
        before = [each.asked for each in tritons]
        for _ in range(9):
            await client.get_model_metadata("musetalk")
        assert [each.asked - had for each, had in zip(tritons, before, strict=True)] == [3, 3, 3]
        await tritons[0].leave()
        for _ in range(6):
            assert (await client.get_model_metadata("musetalk")).name == "musetalk"
        assert tritons[0].asked - before[0] == 3
