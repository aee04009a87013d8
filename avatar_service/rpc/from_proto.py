"""Messages of a running stream to what its session takes in."""

from collections.abc import Iterator

from avatar.v1 import ConverseRequest
from avatar_service import clock
from avatar_service.errors import ClientError, InvalidArgument
from avatar_service.events import Source
from avatar_service.rpc.checks import at_most, not_served
from avatar_service.session.config import SessionConfig
from avatar_service.session.inputs import Input, Interrupt, PlaybackReport, Said
from avatar_service.session.session import PIECE_S
from avatar_service.settings import LimitSettings
from avatar_service.turn.turn import UserInput

REQUEST_ID_CHARACTERS = 64


class InputParser:
    """Knows one session's configuration and limits."""

    def __init__(self, config: SessionConfig, limits: LimitSettings) -> None:
        self._piece_bytes = 2 * int(config.input_rate_hz * PIECE_S)
        self._limits = limits

    def audio(self, request: ConverseRequest) -> Iterator[bytes]:
        """The pieces of an audio message. Raises InvalidArgument if it does not hold whole samples."""
        data = request.audio.data
        if not data or len(data) % 2:
            raise InvalidArgument("audio.data", f"holds {len(data)} bytes; LINEAR16 takes whole samples of 2 bytes")
        for begin in range(0, len(data), self._piece_bytes):
            yield data[begin : begin + self._piece_bytes]

    def other(self, request: ConverseRequest) -> Input:
        """Any message but audio. Raises ClientError for one that is wrong or not served."""
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
                return PlaybackReport(report.turn_id, report.position.ToNanoseconds() / 1e9)
            case "config":
                raise ClientError("config: comes first, and only once", reason="CONFIG_REPEATED", field="config")
            case None:
                raise ClientError("payload: is empty, or newer than this server", reason="MESSAGE_EMPTY")
            case name:
                raise not_served(name, "audio, text, say, interrupt and playback_report")

    def _text(self, name: str, text: str, request_id: str) -> str:
        at_most(f"{name}.request_id", request_id, REQUEST_ID_CHARACTERS)
        at_most(f"{name}.text", text, self._limits.text_characters)
        if not text.strip():
            raise InvalidArgument(f"{name}.text", "is empty; give at least one character")
        return text.strip()
