"""The streams of the synchronous client. Each passes on to its async twin, whose methods say more.

Any thread may send; one may iterate.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from avatar.v1 import ConfigUpdate, ToolResult
from avatar_client.animation import AsyncAnimation
from avatar_client.conversation import AsyncConversation
from avatar_client.events import (
    AnimateEvent,
    AnimateStarted,
    ConverseEvent,
    SessionStarted,
    SpeakEvent,
    SpeakStarted,
)
from avatar_client.facts import MediaFormat
from avatar_client.loop_thread import Held, LoopThread
from avatar_client.play_out import PlayOutClock
from avatar_client.speech import AsyncSpeech
from avatar_client.tools import Tool

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

    def begin_utterance(self) -> None:
        """Tell that the user begins to speak; with manual turns alone."""
        self._call(self._stream.begin_utterance)

    def end_utterance(self) -> None:
        """Tell that the user has finished speaking; with manual turns alone."""
        self._call(self._stream.end_utterance)

    def interrupt(self, turn_id: int = 0) -> None:
        """Stop what is being spoken, or only `turn_id`."""
        self._call(lambda: self._stream.interrupt(turn_id))

    def update(
        self,
        update: ConfigUpdate | None = None,
        *,
        avatar: str = "",
        voice: str = "",
        system_prompt: str | None = None,
        tools: Mapping[str, Tool] | None = None,
    ) -> None:
        """Change the configuration from the next turn on."""
        self._call(
            lambda: self._stream.update(update, avatar=avatar, voice=voice, system_prompt=system_prompt, tools=tools)
        )

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
