"""Messages of a running stream to what its session takes in."""

from collections.abc import Iterator

from avatar.v1 import ConverseRequest
from avatar.v1 import PlaybackReport as WirePlaybackReport
from avatar_service import clock
from avatar_service.errors import ClientError
from avatar_service.events import Source
from avatar_service.rpc.audio_input import AudioInput
from avatar_service.rpc.checks import at_most, not_served, spoken_text
from avatar_service.rpc.media_from_proto import WireAudio
from avatar_service.session.inputs import Input, Interrupt, PlaybackReport, Said
from avatar_service.session.session import PIECE_S
from avatar_service.settings import LimitSettings
from avatar_service.turn.turn import UserInput

REQUEST_ID_CHARACTERS = 64


class InputParser:
    """Knows how one session's audio is encoded, and the limits."""

    def __init__(self, audio: WireAudio, limits: LimitSettings) -> None:
        self._audio = AudioInput(audio)
        self._piece_bytes = 2 * int(audio.rate_hz * PIECE_S)
        self._limits = limits

    def audio(self, request: ConverseRequest) -> Iterator[bytes]:
        """The pieces of an audio message. Raises InvalidArgument if its bytes are none of the encoding."""
        pcm = self._audio.pcm(request.audio.data)
        for begin in range(0, len(pcm), self._piece_bytes):
            yield pcm[begin : begin + self._piece_bytes]

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
                return PlaybackReport(request.playback_report.turn_id, position_s(request.playback_report))
            case other:
                raise unexpected(other, "audio, text, say, interrupt and playback_report")

    def _text(self, name: str, text: str, request_id: str) -> str:
        at_most(f"{name}.request_id", request_id, REQUEST_ID_CHARACTERS)
        return spoken_text(f"{name}.text", text, self._limits.text_characters)


def position_s(report: WirePlaybackReport) -> float:
    """How much of a turn a client has played, in seconds."""
    return report.position.ToNanoseconds() / 1e9


def unexpected(payload: str | None, served: str) -> ClientError:
    """The error for a message that a running stream cannot take."""
    if payload is None:
        return ClientError("payload: is empty, or newer than this server", reason="MESSAGE_EMPTY")
    if payload == "config":
        return ClientError("config: comes first, and only once", reason="CONFIG_REPEATED", field="config")
    return not_served(payload, served)
