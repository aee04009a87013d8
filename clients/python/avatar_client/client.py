"""The async client: one channel to one avatar service."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import grpc

from avatar.v1 import (
    AnimateConfig,
    AvatarServiceStub,
    ConverseConfig,
    DeleteAvatarRequest,
    GetAvatarRequest,
    GetServerInfoRequest,
    ListAvatarsRequest,
    ListVoicesRequest,
    SpeakRequest,
)
from avatar_client import from_proto
from avatar_client.animation import AsyncAnimation, Pcm
from avatar_client.audio_file import AudioFile
from avatar_client.configs import animate_config, converse_config, resource_name, speak_request
from avatar_client.conversation import AsyncConversation
from avatar_client.credentials import Token, call_metadata
from avatar_client.errors import PreparationFailed, from_rpc_error
from avatar_client.events import SpeakStarted
from avatar_client.facts import AudioEncoding, Avatar, FaceBox, ServerInfo, Status, Voice
from avatar_client.mending import RESUME_WITHIN_S
from avatar_client.speech import AsyncSpeech
from avatar_client.tools import Tool
from avatar_client.trace_headers import trace_headers
from avatar_client.upload import Upload
from avatar_client.wire_audio import HIGHEST_RATE_HZ, wire_rate_hz

if TYPE_CHECKING:
    from avatar.v1.avatar_service_pb2_grpc import AvatarServiceAsyncStub

ADDRESS: Final = "127.0.0.1:50051"
"""Where a server listens unless it is told otherwise."""
UNARY_TIMEOUT_S = 10.0
UPLOAD_TIMEOUT_S = 1_000.0
"""A little longer than a server lets an upload go on."""
POLL_S = 0.5
"""How often a preparation is looked at."""
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # gRPC's core otherwise grows its windows to 4 to 5 MiB: seconds of video that cannot be taken back.
    ("grpc.http2.bdp_probe", 0),
    # A connection for each client. Otherwise all of a process share one, and its window of 64 KiB with it.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A broken conversation is to go on soon: gRPC's own waits between two connections grow from 1 s to 2 min.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class AsyncAvatarClient:
    """Talks to the avatar service at one address, used as an async context manager.

    Avatars and voices are named by id (`ada`) or in full (`avatars/ada`). Every call raises ServiceError.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        api_key: str | None = None,
    ) -> None:
        """Prepare a client for `address` (HOST:PORT or any gRPC target).

        `credentials` turn TLS on (`tls_credentials()`). `token` is sent as a bearer token with every call; a function
        is asked for it each time, so that a conversation outlives the token that it began with. `api_key` is sent as
        `x-api-key`. Raises ValueError for what no header can carry.
        """
        if not callable(token):
            call_metadata(token, api_key)
        self.address = address
        self._credentials = credentials
        self._token = token
        self._api_key = api_key
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

    def _sent(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call beside its messages."""
        return (*call_metadata(self._token, self._api_key), *trace_headers())

    def converse(
        self,
        config: ConverseConfig | None = None,
        *,
        avatar: str = "",
        voice: str = "",
        system_prompt: str = "",
        input_encoding: AudioEncoding | None = None,
        output_encoding: AudioEncoding | None = None,
        idle_frames: bool = False,
        manual_turns: bool = False,
        tools: Mapping[str, Tool] | None = None,
        resume_within_s: float = RESUME_WITHIN_S,
    ) -> AsyncConversation:
        """A conversation, to be entered with `async with`.

        What is not given is the server's default; `config` has everything that can be set. `idle_frames` asks for
        pictures between turns; with `manual_turns` you tell when the user begins and ends speaking. `tools` are run
        here when the chat model calls them. A stream that breaks is resumed by itself, until `resume_within_s` after
        that; 0 leaves it broken.
        """
        request = converse_config(
            config,
            avatar=avatar,
            voice=voice,
            system_prompt=system_prompt,
            input_encoding=input_encoding,
            output_encoding=output_encoding,
            idle_frames=idle_frames,
            manual_turns=manual_turns,
            tools=tools,
        )
        return AsyncConversation(
            lambda: self._stub.Converse(metadata=self._sent()), request, self.address, resume_within_s, tools
        )

    def speak(
        self,
        text: str,
        *,
        avatar: str = "",
        voice: str = "",
        output_encoding: AudioEncoding | None = None,
        audio_only: bool = False,
        unpaced: bool = False,
        config: SpeakRequest | None = None,
    ) -> AsyncSpeech:
        """An avatar speaks one text; to be entered with `async with`, and iterated over.

        Media come at the pace of play-out, at most the lead ahead; `unpaced`, as fast as they are made.
        """
        request = speak_request(
            text,
            config,
            avatar=avatar,
            voice=voice,
            output_encoding=output_encoding,
            audio_only=audio_only,
            unpaced=unpaced,
        )
        return AsyncSpeech(lambda: self._stub.Speak(request, metadata=self._sent()), self.address, SpeakStarted)

    def animate(
        self,
        audio: Pcm | Path | str | AudioFile | None = None,
        *,
        sample_rate_hz: int = 0,
        avatar: str = "",
        encoding: AudioEncoding | None = None,
        unpaced: bool = False,
        config: AnimateConfig | None = None,
    ) -> AsyncAnimation:
        """An avatar speaks with a voice that you bring; to be entered with `async with`, and iterated over.

        `audio`, a file (its path, or an AudioFile) or 16-bit mono samples (`bytes`, or an iterable of them), is sent as
        one segment while you iterate; without it, send segments yourself. `sample_rate_hz` is the rate of samples (0:
        24,000); a file keeps its own. An iterable that blocks holds up the end of the program until it gives its next
        piece. Raises FileError for an unusable file.
        """
        if isinstance(audio, Path | str):
            audio = AudioFile(Path(audio))
        if isinstance(audio, AudioFile):
            sample_rate_hz = wire_rate_hz(encoding or "LINEAR16", audio.rate_hz, HIGHEST_RATE_HZ)
            audio = audio.pieces(sample_rate_hz)
        request = animate_config(
            config,
            avatar=avatar,
            sample_rate_hz=sample_rate_hz,
            encoding=encoding,
            unpaced=unpaced,
            whole=audio is not None,
        )
        return AsyncAnimation(lambda: self._stub.Animate(metadata=self._sent()), request, self.address, audio)

    async def list_avatars(self, page_size: int = 0) -> AsyncIterator[Avatar]:
        """All avatars that this caller may use, asked for page by page."""
        request = ListAvatarsRequest(page_size=page_size)
        while True:
            page = await self._unary(self._stub.ListAvatars, request)
            for avatar in page.avatars:
                yield from_proto.plain(avatar, Avatar)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_avatar(self, name: str) -> Avatar:
        """One avatar; raises NotFound."""
        request = GetAvatarRequest(name=resource_name("avatars", name))
        return from_proto.plain((await self._unary(self._stub.GetAvatar, request)).avatar, Avatar)

    async def create_avatar(
        self,
        source: bytes | Path | str,
        *,
        avatar_id: str = "",
        display_name: str = "",
        request_id: str = "",
        face_boxes: Sequence[FaceBox] = (),
        smooth_boxes: bool = False,
        force: bool = False,
    ) -> Avatar:
        """Make an avatar of a video (MP4) or picture (PNG, JPEG), a file or its bytes; returns once it is uploaded.

        The server prepares on: iterate over `preparation(avatar.name)`. `request_id`, a UUID, lets the call be made
        again after a failure without making a second avatar. Raises FileError for an unusable file, AlreadyExists.
        """
        upload = await asyncio.to_thread(Upload.of, source)
        requests = upload.requests(
            avatar_id, display_name, request_id, face_boxes, force=force, smooth_boxes=smooth_boxes
        )
        call: Any = self._stub.CreateAvatar
        response = await self._unary(call, requests, UPLOAD_TIMEOUT_S)
        return from_proto.plain(response.avatar, Avatar)

    async def preparation(self, name: str) -> AsyncIterator[Avatar]:
        """The avatar each time its preparation has come further, and at last as it can be used.

        Raises PreparationFailed, and NotFound if it is deleted meanwhile.
        """
        before = -1
        while True:
            avatar = await self.get_avatar(name)
            if avatar.state == "FAILED":
                status = avatar.status or Status()
                raise PreparationFailed(f"{avatar.name} could not be prepared: {status.message}", status.reason)
            if avatar.state == "READY" or avatar.progress_percent != before:
                before = avatar.progress_percent
                yield avatar
            if avatar.state == "READY":
                return
            await asyncio.sleep(POLL_S)

    async def delete_avatar(self, name: str, *, allow_missing: bool = False) -> None:
        """Delete an avatar that was uploaded, or cancel its preparation; raises NotFound unless `allow_missing`."""
        request = DeleteAvatarRequest(name=resource_name("avatars", name), allow_missing=allow_missing)
        await self._unary(self._stub.DeleteAvatar, request)

    async def list_voices(self, page_size: int = 0) -> AsyncIterator[Voice]:
        """All voices that this caller may use, asked for page by page."""
        request = ListVoicesRequest(page_size=page_size)
        while True:
            page = await self._unary(self._stub.ListVoices, request)
            for voice in page.voices:
                yield from_proto.plain(voice, Voice)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_server_info(self) -> ServerInfo:
        """What the server offers."""
        return from_proto.plain(await self._unary(self._stub.GetServerInfo, GetServerInfoRequest()), ServerInfo)

    @property
    def _stub(self) -> "AvatarServiceAsyncStub":
        if self._channel is None:
            raise RuntimeError(f"{type(self).__name__} is not open: use it with `async with`")
        return AvatarServiceStub(self._channel)

    async def _unary(self, method: Any, request: Any, timeout_s: float = UNARY_TIMEOUT_S) -> Any:
        """Call a method that answers with one message; `request` is one, or an iterator of them."""
        try:
            return await method(request, timeout=timeout_s, metadata=self._sent())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self.address) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and not task.cancelling():  # it was the call that was cancelled, with its channel
                raise RuntimeError("the client was closed before the answer came") from None
            raise
