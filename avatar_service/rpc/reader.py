"""What a client sends, to its session."""

from collections.abc import AsyncIterator

from avatar.v1 import ConverseConfig, ConverseRequest
from avatar_service.errors import ClientError
from avatar_service.rpc.from_proto import InputParser
from avatar_service.rpc.undecodable import Undecodable
from avatar_service.session.session import Session

Requests = AsyncIterator[ConverseRequest | Undecodable]


async def read_config(requests: Requests) -> ConverseConfig:
    """The first message, which must be the configuration. Raises ClientError."""
    async for request in _decoded(requests):
        if request.WhichOneof("payload") == "config":
            return request.config
        break
    raise ClientError("config: must be the first message of the stream", reason="CONFIG_EXPECTED", field="config")


async def read(requests: Requests, parser: InputParser, session: Session) -> None:
    """Pass on every message until the client half-closes; then end the session's input."""
    async for request in _decoded(requests):
        if request.WhichOneof("payload") == "audio":
            for pcm in parser.audio(request):
                await session.audio.send(pcm)
        else:
            await session.inbox.send(parser.other(request))
    session.audio.close()


async def _decoded(requests: Requests) -> AsyncIterator[ConverseRequest]:
    async for request in requests:
        if isinstance(request, Undecodable):
            raise ClientError(
                "request: is no avatar.v1.ConverseRequest; generate the client from protos/avatar/v1",
                reason="MESSAGE_UNDECODABLE",
            )
        yield request
