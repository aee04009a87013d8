"""The client for code without an event loop: the async client, run on one thread of its own.

    with AvatarClient("127.0.0.1:50051") as client, client.converse() as conversation:
        conversation.send_text("How far is the moon?")
        conversation.end_input()
        for event in conversation:
            ...

Every method passes on to its async twin, which says more.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from avatar.v1 import AnimateConfig, ConverseConfig, SpeakRequest
from avatar_client.animation import Pcm
from avatar_client.audio_file import AudioFile
from avatar_client.client import ADDRESS, AsyncAvatarClient
from avatar_client.credentials import Token
from avatar_client.facts import AudioEncoding, Avatar, FaceBox, ServerInfo, Voice
from avatar_client.loop_thread import LoopThread
from avatar_client.mending import RESUME_WITHIN_S
from avatar_client.sync_streams import Animation, Conversation, Speech
from avatar_client.tools import Tool


class AvatarClient:
    """Talks to the avatar service at one address, used as a context manager; see AsyncAvatarClient."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        api_key: str | None = None,
    ) -> None:
        """Prepare a client for `address` (HOST:PORT or any gRPC target); a callable `token` runs on its thread."""
        self.address = address
        self._client = AsyncAvatarClient(address, credentials=credentials, token=token, api_key=api_key)
        self._loop = LoopThread("avatar-client")

    def __enter__(self) -> Self:
        """Start the client's thread and open the channel; the connection is made with the first call."""
        self._loop.start()
        try:
            self._loop.call(self._client.__aenter__)
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel and join the thread."""
        try:
            self._loop.call(lambda: self._client.__aexit__(None, None, None))
        finally:
            self._loop.stop()

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
    ) -> Conversation:
        """A conversation, to be entered with `with`; `tools` run on other threads."""
        stream = self._client.converse(
            config,
            avatar=avatar,
            voice=voice,
            system_prompt=system_prompt,
            input_encoding=input_encoding,
            output_encoding=output_encoding,
            idle_frames=idle_frames,
            manual_turns=manual_turns,
            tools=tools,
            resume_within_s=resume_within_s,
        )
        return Conversation(self._loop, stream)

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
    ) -> Speech:
        """An avatar speaks one text; to be entered with `with`, and iterated over."""
        stream = self._client.speak(
            text,
            avatar=avatar,
            voice=voice,
            output_encoding=output_encoding,
            audio_only=audio_only,
            unpaced=unpaced,
            config=config,
        )
        return Speech(self._loop, stream)

    def animate(
        self,
        audio: Pcm | Path | str | AudioFile | None = None,
        *,
        sample_rate_hz: int = 0,
        avatar: str = "",
        encoding: AudioEncoding | None = None,
        unpaced: bool = False,
        config: AnimateConfig | None = None,
    ) -> Animation:
        """An avatar speaks with a voice that you bring; to be entered with `with`, and iterated over."""
        stream = self._client.animate(
            audio, sample_rate_hz=sample_rate_hz, avatar=avatar, encoding=encoding, unpaced=unpaced, config=config
        )
        return Animation(self._loop, stream)

    def list_avatars(self, page_size: int = 0) -> Iterator[Avatar]:
        """All avatars that this caller may use, asked for page by page."""
        return self._loop.iterate(self._client.list_avatars(page_size))

    def get_avatar(self, name: str) -> Avatar:
        """One avatar; raises NotFound."""
        return self._loop.call(lambda: self._client.get_avatar(name))

    def create_avatar(
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
        """Make an avatar of a video or picture; returns once it is uploaded."""
        return self._loop.call(
            lambda: self._client.create_avatar(
                source,
                avatar_id=avatar_id,
                display_name=display_name,
                request_id=request_id,
                face_boxes=face_boxes,
                smooth_boxes=smooth_boxes,
                force=force,
            )
        )

    def preparation(self, name: str) -> Iterator[Avatar]:
        """The avatar each time its preparation has come further, and at last as it can be used."""
        return self._loop.iterate(self._client.preparation(name))

    def delete_avatar(self, name: str, *, allow_missing: bool = False) -> None:
        """Delete an avatar that was uploaded, or cancel its preparation."""
        self._loop.call(lambda: self._client.delete_avatar(name, allow_missing=allow_missing))

    def list_voices(self, page_size: int = 0) -> Iterator[Voice]:
        """All voices that this caller may use, asked for page by page."""
        return self._loop.iterate(self._client.list_voices(page_size))

    def get_server_info(self) -> ServerInfo:
        """What the server offers."""
        return self._loop.call(self._client.get_server_info)
