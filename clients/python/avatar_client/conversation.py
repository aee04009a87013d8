"""One conversation: what can be sent on a `Converse` stream, and its events as they come."""

from collections.abc import Callable

from avatar.v1 import (
    ConfigUpdate,
    ConverseConfig,
    ConverseRequest,
    Interrupt,
    Say,
    ToolResult,
    ToolResults,
    UserAudio,
    UserText,
    UtteranceEnded,
    UtteranceStarted,
)
from avatar_client import from_proto
from avatar_client.events import ConverseEvent, SessionStarted
from avatar_client.stream import Call
from avatar_client.two_way_stream import TwoWayStream
from avatar_client.wire_audio import AudioEncoder


class AsyncConversation(TwoWayStream[SessionStarted, ConverseEvent]):
    """An open `Converse` stream: send to it, and iterate over its events.

    After its good end the sending methods raise StreamEnded.
    """

    def __init__(self, open_call: Callable[[], Call], config: ConverseConfig, address: str) -> None:
        """Prepare a conversation at `address`."""
        super().__init__(open_call, address, SessionStarted, ConverseRequest, config)
        self._encoder: AudioEncoder | None = None

    async def send_audio(self, data: bytes) -> None:
        """Send a piece of the user's audio, best 20 ms to 100 ms, encoded as the configuration's `input_audio` says."""
        await self._send(audio=UserAudio(data=data))

    async def send_pcm(self, pcm: bytes) -> None:
        """Send 16-bit mono samples at the rate of `input_audio`, which are encoded first where it asks for that."""
        if self._encoder is None:
            input_audio = self.started.config.input_audio
            self._encoder = AudioEncoder(
                from_proto.audio_encoding(input_audio.encoding), input_audio.sample_rate_hertz or 16_000
            )
        for data in self._encoder.encode(pcm):
            await self.send_audio(data)

    async def send_text(self, text: str, request_id: str = "") -> None:
        """Send what the user typed; it starts a turn and stops what is being spoken."""
        await self._send(text=UserText(text=text, request_id=request_id))

    async def say(
        self, text: str, *, interrupt: bool = False, omit_from_history: bool = False, request_id: str = ""
    ) -> None:
        """Have the avatar say `text` as it stands, after what it is saying or, with `interrupt`, at once."""
        say = Say(text=text, interrupt=interrupt, omit_from_history=omit_from_history, request_id=request_id)
        await self._send(say=say)

    async def utterance_started(self) -> None:
        """Tell that the user begins to speak; with manual turn taking alone."""
        await self._send(utterance_started=UtteranceStarted())

    async def utterance_ended(self) -> None:
        """Tell that the user has finished speaking; with manual turn taking alone."""
        await self._send(utterance_ended=UtteranceEnded())

    async def interrupt(self, turn_id: int = 0) -> None:
        """Stop what is being spoken, or only `turn_id`."""
        await self._send(interrupt=Interrupt(turn_id=turn_id))

    async def update(self, update: ConfigUpdate) -> None:
        """Change the configuration from the next turn on."""
        await self._send(config_update=update)

    async def send_tool_results(self, *results: ToolResult) -> None:
        """Answer tool calls."""
        await self._send(tool_results=ToolResults(results=results))

    async def _before_end(self) -> None:
        for data in self._encoder.finish() if self._encoder else ():
            await self.send_audio(data)
