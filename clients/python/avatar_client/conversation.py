"""One conversation: what can be sent on a `Converse` stream, and its events as they come."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import uuid4

from avatar.v1 import (
    ConfigUpdate,
    ConverseConfig,
    Interrupt,
    Say,
    ToolConfig,
    ToolResult,
    ToolResults,
    UserAudio,
    UserText,
    UtteranceEnded,
    UtteranceStarted,
)
from avatar_client import from_proto
from avatar_client.configs import resource_name
from avatar_client.events import ConfigUpdated, Event, SessionStarted
from avatar_client.resumable_stream import ResumableStream
from avatar_client.stream import Call
from avatar_client.tools import DEFAULT_TIMEOUT_S, Tool, ToolRunner, tool_config
from avatar_client.wire_audio import AudioEncoder


class AsyncConversation(ResumableStream):
    """An open `Converse` stream: send to it, and iterate over its events.

    A stream that breaks, or that the service wants to end, is resumed by itself: the iteration goes on with the events
    ConnectionLost and Resumed. What is sent meanwhile waits. After the good end the sending methods raise StreamEnded.
    """

    def __init__(
        self,
        open_call: Callable[[], Call],
        config: ConverseConfig,
        address: str,
        resume_within_s: float,
        tools: Mapping[str, Tool] | None = None,
    ) -> None:
        """Prepare a conversation at `address`; `tools` are those of `config` that are run here."""
        super().__init__(open_call, address, config, resume_within_s)
        self._encoder: AudioEncoder | None = None
        self._tools = ToolRunner(tools or {}, self.send_tool_results)

    async def send_audio(self, data: bytes) -> None:
        """Send a piece of the user's audio, best 20 ms to 100 ms, encoded as the configuration's `input_audio` says."""
        await self._ask(audio=UserAudio(data=data))

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
        """Send what the user typed; it starts a turn and stops what is being spoken.

        `request_id`, which the turn echoes, must be the request's own; without it, one is made.
        """
        await self._ask(text=UserText(text=text, request_id=request_id or uuid4().hex))

    async def say(
        self, text: str, *, interrupt: bool = False, omit_from_history: bool = False, request_id: str = ""
    ) -> None:
        """Have the avatar say `text` as it stands, after what it is saying or, with `interrupt`, at once."""
        request_id = request_id or uuid4().hex
        say = Say(text=text, interrupt=interrupt, omit_from_history=omit_from_history, request_id=request_id)
        await self._ask(say=say)

    async def begin_utterance(self) -> None:
        """Tell that the user begins to speak, which stops the avatar; with manual turns alone."""
        await self._ask(utterance_started=UtteranceStarted())

    async def end_utterance(self) -> None:
        """Tell that the user has finished speaking, which is then answered; with manual turns alone."""
        await self._ask(utterance_ended=UtteranceEnded())

    async def interrupt(self, turn_id: int = 0) -> None:
        """Stop what is being spoken, or only `turn_id`."""
        await self._ask(interrupt=Interrupt(turn_id=turn_id))

    async def update(
        self,
        update: ConfigUpdate | None = None,
        *,
        avatar: str = "",
        voice: str = "",
        system_prompt: str | None = None,
        tools: Mapping[str, Tool] | None = None,
    ) -> None:
        """Change the configuration from the next turn on: `update`, with what else is given. ConfigUpdated answers.

        `tools` takes the place of those before; an empty mapping removes them.
        """
        request = ConfigUpdate()
        request.CopyFrom(update or request)
        request.avatar = resource_name("avatars", avatar) or request.avatar
        if voice:
            request.voice.voice = resource_name("voices", voice)
        if system_prompt is not None:
            request.system_prompt = system_prompt
        if tools is not None:
            before = self.started.config.tools
            kept = ToolConfig(timeout=before.timeout) if tools and before.HasField("timeout") else ToolConfig()
            request.tools.MergeFrom(tool_config(tools, kept))
            self._tools.tools = dict(tools)
        await self._ask(config_update=request)

    async def send_tool_results(self, *results: ToolResult) -> None:
        """Answer tool calls; those of the conversation's own `tools` are answered by itself."""
        await self._ask(tool_results=ToolResults(results=results))

    async def _before_end(self) -> None:
        for data in self._encoder.finish() if self._encoder else ():
            await self.send_audio(data)

    def _note(self, event: Event | None) -> None:
        super()._note(event)
        if isinstance(event, ConfigUpdated):
            self._started = replace(self.started, config=event.config)
        if event and not self._closed.is_set():
            self._tools.timeout_s = _tool_timeout_s(self.started)
            self._tools.note(event, self._tasks)

    def _stop_tasks(self) -> None:
        super()._stop_tasks()
        self._stop_tools()

    def _stop_tools(self) -> None:
        self._tools.stop()


def _tool_timeout_s(started: SessionStarted) -> float:
    """How long the service waits for results."""
    return from_proto.seconds(started.config.tools.timeout) or DEFAULT_TIMEOUT_S
