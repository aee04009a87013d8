"""The client: one channel to one avatar service."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from avatar.v1 import (
    Avatar,
    AvatarServiceStub,
    ConverseConfig,
    GetAvatarRequest,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListAvatarsRequest,
    ListVoicesRequest,
    SpeakRequest,
    SpeakResponse,
    Voice,
)
from avatar_client.conversation import Conversation
from avatar_client.errors import from_rpc_error

if TYPE_CHECKING:
    from avatar.v1.avatar_service_pb2_grpc import AvatarServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")

UNARY_TIMEOUT_S = 10.0
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # gRPC's core otherwise grows its windows to 4 to 5 MiB: seconds of video that cannot be taken back.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class AvatarClient:
    """Talks to the avatar service at one address, used as an async context manager."""

    def __init__(
        self, address: str, *, credentials: grpc.ChannelCredentials | None = None, token: str | None = None
    ) -> None:
        """Prepare a client for `address` (HOST:PORT or any gRPC target).

        `credentials` turn TLS on (`grpc.ssl_channel_credentials()`); `token` is sent as a bearer token.
        """
        self.address = address
        self._credentials = credentials
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        """Open the channel; the connection is made with the first call."""
        if self._credentials:
            self._channel = grpc.aio.secure_channel(self.address, self._credentials, options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel, and with it whatever calls are left."""
        if self._channel:
            await self._channel.close()
            self._channel = None

    def converse(self, config: ConverseConfig | None = None) -> Conversation:
        """A conversation, to be entered with `async with`; without `config` the server's defaults hold."""
        return Conversation(self._stub.Converse(metadata=self._metadata), config or ConverseConfig(), self.address)

    async def speak(self, request: SpeakRequest) -> AsyncIterator[SpeakResponse]:
        """Have an avatar speak one text; yields what comes until the end."""
        call = self._stub.Speak(request, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self.address) from error
        finally:
            call.cancel()

    async def list_avatars(self) -> Sequence[Avatar]:
        """All avatars that this caller may use."""
        avatars: list[Avatar] = []
        request = ListAvatarsRequest()
        while True:
            page = await self._unary(self._stub.ListAvatars, request)
            avatars.extend(page.avatars)
            if not page.next_page_token:
                return avatars
            request.page_token = page.next_page_token

    async def get_avatar(self, name: str) -> Avatar:
        """The avatar `avatars/{id}`; raises `NotFound`."""
        response = await self._unary(self._stub.GetAvatar, GetAvatarRequest(name=name))
        return response.avatar

    async def list_voices(self) -> Sequence[Voice]:
        """All voices that this caller may use."""
        voices: list[Voice] = []
        request = ListVoicesRequest()
        while True:
            page = await self._unary(self._stub.ListVoices, request)
            voices.extend(page.voices)
            if not page.next_page_token:
                return voices
            request.page_token = page.next_page_token

    async def get_server_info(self) -> GetServerInfoResponse:
        """What the server offers."""
        return await self._unary(self._stub.GetServerInfo, GetServerInfoRequest())

    @property
    def _stub(self) -> "AvatarServiceAsyncStub":
        if self._channel is None:
            raise RuntimeError("AvatarClient is not open: use it with `async with`")
        return AvatarServiceStub(self._channel)

    async def _unary(self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request) -> Response:
        """Call a unary method, for at most 10 s."""
        try:
            return await method(request, timeout=UNARY_TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self.address) from error
