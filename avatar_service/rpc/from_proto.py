"""Messages of a running stream to what its session takes in."""

from collections.abc import Iterator, Sequence

from avatar.v1 import ConverseRequest
from avatar.v1 import PlaybackReport as WirePlaybackReport
from avatar.v1 import ToolResults as WireToolResults
from avatar_service import clock
from avatar_service.errors import ClientError, InvalidArgument
from avatar_service.events import Source
from avatar_service.rpc.audio_input import AudioInput
from avatar_service.rpc.checks import at_most, at_most_bytes, not_served, spoken_text
from avatar_service.rpc.configuration import Configuration
from avatar_service.rpc.tools_from_proto import TOOLS
from avatar_service.session.hearing import PIECE_S
from avatar_service.session.inputs import Input, Interrupt, PlaybackReport, Said, ToolResult, ToolResults
from avatar_service.settings import LimitSettings
from avatar_service.stages.listen import UtteranceMark
from avatar_service.turn.turn import UserInput

REQUEST_ID_CHARACTERS = 64
TOOL_CALL_ID_CHARACTERS = 64
TOOL_OUTPUT_BYTES = 32_000
MARKS = {"utterance_started": UtteranceMark.BEGIN, "utterance_ended": UtteranceMark.END}
IN_AUDIO = ("audio", *MARKS)
"""Messages whose order among each other matters: they go through the audio channel."""


class InputParser:
    """Knows one session's configuration, which it also changes, and the limits."""

    def __init__(self, configuration: Configuration, limits: LimitSettings) -> None:
        self._configuration = configuration
        audio = configuration.conversation.input_audio
        self._audio = AudioInput(audio)
        self._piece_bytes = 2 * int(audio.rate_hz * PIECE_S)
        self._limits = limits

    def audio(self, request: ConverseRequest) -> Sequence[bytes | UtteranceMark]:
        """What goes through the audio channel, IN_AUDIO: the pieces of an audio message, or the mark of an utterance.

        Raises InvalidArgument for bytes that are none of the encoding, and for a mark where the server decides.
        """
        payload = request.WhichOneof("payload")
        if payload in MARKS:
            self._require_manual(payload)
            return (MARKS[payload],)
        pcm, size = self._audio.pcm(request.audio.data), self._piece_bytes
        if 0 < len(pcm) <= size:
            return (pcm,)
        return [pcm[begin : begin + size] for begin in range(0, len(pcm), size)]

    def other(self, request: ConverseRequest) -> Input | PlaybackReport:
        """Any message but those IN_AUDIO. Raises ClientError for one that is wrong or not served."""
        match request.WhichOneof("payload"):
            case "text":
                text = self._text("text", request.text.text, request.text.request_id)
                typed = UserInput(Source.TEXT, text=text, request_id=request.text.request_id, ended_at_s=clock.now())
                return Said(typed, interrupts=True)
            case "say":
                say = request.say
                text = self._text("say", say.text, say.request_id)
                remembered = not say.omit_from_history
                recited = UserInput(Source.SAY, text=text, request_id=say.request_id, remembered=remembered)
                return Said(recited, interrupts=say.interrupt)
            case "interrupt":
                return Interrupt(request.interrupt.turn_id)
            case "playback_report":
                report = request.playback_report
                return PlaybackReport(report.turn_id, position_s(report), report.stopped)
            case "config_update":
                return self._configuration.update(request.config_update)
            case "tool_results":
                return ToolResults(tuple(_tool_results(request.tool_results)))
            case other:
                raise unexpected(other, "every other message of the contract")

    def _require_manual(self, payload: str) -> None:
        if not self._configuration.conversation.session.turn_taking.manual:
            raise InvalidArgument(
                payload, "is for turn_taking.mode TURN_TAKING_MODE_MANUAL; here the server decides, so send audio alone"
            )

    def _text(self, name: str, text: str, request_id: str) -> str:
        at_most(f"{name}.request_id", request_id, REQUEST_ID_CHARACTERS)
        return spoken_text(f"{name}.text", text, self._limits.text_characters)


def position_s(report: WirePlaybackReport, path: str = "playback_report") -> float:
    """How much of a turn a client has played, in seconds. Raises InvalidArgument for less than nothing."""
    seconds: float = report.position.ToNanoseconds() / 1e9
    if seconds < 0:
        raise InvalidArgument(f"{path}.position", f"is {seconds:g} s; it counts from the turn's start, from 0")
    return seconds


def _tool_results(given: WireToolResults) -> Iterator[ToolResult]:
    if not 1 <= len(given.results) <= TOOLS:
        raise InvalidArgument("tool_results.results", f"has {len(given.results)} results; give 1 to {TOOLS}")
    ids = set[str]()
    for index, result in enumerate(given.results):
        path = f"tool_results.results[{index}]"
        at_most(f"{path}.tool_call_id", result.tool_call_id, TOOL_CALL_ID_CHARACTERS)
        if not result.tool_call_id:
            raise InvalidArgument(f"{path}.tool_call_id", "is empty; give that of the call in `tool_calls`")
        if result.tool_call_id in ids:
            raise InvalidArgument(f"{path}.tool_call_id", "has a result already; give one for each call")
        ids.add(result.tool_call_id)
        at_most_bytes(f"{path}.output", result.output, TOOL_OUTPUT_BYTES)
        yield ToolResult(result.tool_call_id, result.output, result.failed)


def unexpected(payload: str | None, served: str) -> ClientError:
    """The error for a message that a running stream cannot take."""
    if payload is None:
        return ClientError("payload: is empty, or newer than this server", reason="MESSAGE_EMPTY")
    if payload == "config":
        return ClientError("config: comes first, and only once", reason="CONFIG_REPEATED", field="config")
    return not_served(payload, served)
