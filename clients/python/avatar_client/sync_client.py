"""The client for code without an event loop: the async client, run on one thread of its own.

    with AvatarClient("127.0.0.1:50051") as client, client.converse() as conversation:
        conversation.send_text("How far is the moon?")
        conversation.end_input()
        for event in conversation:
            ...

Every class here passes on to its async twin, whose methods say more. Any thread may send; one may iterate.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc

from avatar.v1 import AnimateConfig, ConfigUpdate, ConverseConfig, SpeakRequest, ToolResult
from avatar_client.animation import AsyncAnimation, Pcm
from avatar_client.audio_file import AudioFile
from avatar_client.client import ADDRESS, AsyncAvatarClient
from avatar_client.conversation import AsyncConversation
from avatar_client.events import (
    AnimateEvent,
    AnimateStarted,
    ConverseEvent,
    SessionStarted,
    SpeakEvent,
    SpeakStarted,
)
from avatar_client.facts import AudioEncoding, Avatar, FaceBox, MediaFormat, ServerInfo, Voice
from avatar_client.loop_thread import Held, LoopThread
from avatar_client.play_out import PlayOutClock
from avatar_client.speech import AsyncSpeech

T = TypeVar("T")
StreamT = TypeVar("StreamT", bound=AsyncConversation | AsyncSpeech | AsyncAnimation)


class _Stream(Generic[StreamT]):
    """What the sync streams have in common."""

    def __init__(self, loop: LoopThread, stream: StreamT) -> None:
        self._loop = loop
        self._stream = stream
        self._held = Held(loop, stream)

    def __enter__(self) -> Self:
        """Make the call and wait for its first response."""
        self._held.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the stream, at once if it has not ended by itself."""
        self._held.leave()

    @property
    def media(self) -> MediaFormat:
        """How the media are encoded."""
        return self._stream.media

    @property
    def clock(self) -> PlayOutClock:
        """Where play-out stands."""
        return self._stream.clock

    def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        return self._loop.call(work)


class Conversation(_Stream[AsyncConversation]):
    """An open `Converse` stream; see AsyncConversation."""

    @property
    def started(self) -> SessionStarted:
        """The first response: what is in force."""
        return self._stream.started

    def __iter__(self) -> Iterator[ConverseEvent]:
        """Events until the stream ends well; raises ServiceError if it fails."""
        return self._loop.iterate(aiter(self._stream))

    def send_audio(self, data: bytes) -> None:
        """Send a piece of the user's audio as `input_audio` says."""
        self._call(lambda: self._stream.send_audio(data))

    def send_pcm(self, pcm: bytes) -> None:
        """Send 16-bit mono samples, encoded as `input_audio` says."""
        self._call(lambda: self._stream.send_pcm(pcm))

    def send_text(self, text: str, request_id: str = "") -> None:
        """Send what the user typed."""
        self._call(lambda: self._stream.send_text(text, request_id))

    def say(self, text: str, *, interrupt: bool = False, omit_from_history: bool = False, request_id: str = "") -> None:
        """Have the avatar say `text` as it stands."""
        self._call(
            lambda: self._stream.say(
                text, interrupt=interrupt, omit_from_history=omit_from_history, request_id=request_id
            )
        )

    def utterance_started(self) -> None:
        """Tell that the user begins to speak; with manual turn taking alone."""
        self._call(self._stream.utterance_started)

    def utterance_ended(self) -> None:
        """Tell that the user has finished speaking; with manual turn taking alone."""
        self._call(self._stream.utterance_ended)

    def interrupt(self, turn_id: int = 0) -> None:
        """Stop what is being spoken, or only `turn_id`."""
        self._call(lambda: self._stream.interrupt(turn_id))

    def update(self, update: ConfigUpdate) -> None:
        """Change the configuration from the next turn on."""
        self._call(lambda: self._stream.update(update))

    def send_tool_results(self, *results: ToolResult) -> None:
        """Answer tool calls."""
        self._call(lambda: self._stream.send_tool_results(*results))

    def end_input(self) -> None:
        """Half-close: nothing more will be sent."""
        self._call(self._stream.end_input)


class Speech(_Stream[AsyncSpeech]):
    """An open `Speak` call; see AsyncSpeech."""

    @property
    def started(self) -> SpeakStarted:
        """The first response: what is in force."""
        return self._stream.started

    def __iter__(self) -> Iterator[SpeakEvent]:
        """Events until the call ends well; raises ServiceError if it fails."""
        return self._loop.iterate(aiter(self._stream))


class Animation(_Stream[AsyncAnimation]):
    """An open `Animate` stream; see AsyncAnimation."""

    @property
    def started(self) -> AnimateStarted:
        """The first response: what is in force."""
        return self._stream.started

    def __iter__(self) -> Iterator[AnimateEvent]:
        """Events until the stream ends well; raises ServiceError if it fails."""
        return self._loop.iterate(aiter(self._stream))

    def send_audio(self, data: bytes) -> None:
        """Send a piece of the voice as `audio_format` says."""
        self._call(lambda: self._stream.send_audio(data))

    def send_pcm(self, pcm: bytes) -> None:
        """Send 16-bit mono samples, encoded as `audio_format` says."""
        self._call(lambda: self._stream.send_pcm(pcm))

    def end_segment(self) -> None:
        """The segment is complete."""
        self._call(self._stream.end_segment)

    def interrupt(self, segment_id: int = 0) -> None:
        """Stop what is being played and drop what is queued."""
        self._call(lambda: self._stream.interrupt(segment_id))

    def end_input(self) -> None:
        """Half-close: nothing more will be sent."""
        self._call(self._stream.end_input)


class AvatarClient:
    """Talks to the avatar service at one address, used as a context manager; see AsyncAvatarClient."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
    ) -> None:
        """Prepare a client for `address` (HOST:PORT or any gRPC target)."""
        self.address = address
        self._client = AsyncAvatarClient(address, credentials=credentials, token=token)
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
    ) -> Conversation:
        """A conversation, to be entered with `with`."""
        stream = self._client.converse(
            config,
            avatar=avatar,
            voice=voice,
            system_prompt=system_prompt,
            input_encoding=input_encoding,
            output_encoding=output_encoding,
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
