"""Messages of a running stream to what its session takes in."""

import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import ConverseRequest, Interrupt, PlaybackReport, Say, UserAudio, UserText
from avatar_service import clock
from avatar_service.errors import ClientError, InvalidArgument
from avatar_service.events import Source
from avatar_service.media.wire_audio import AudioEncoding
from avatar_service.rpc.from_proto import InputParser
from avatar_service.rpc.media_from_proto import WireAudio
from avatar_service.session import inputs
from avatar_service.turn.turn import UserInput
from tests.scenario import LIMITS

PARSER = InputParser(WireAudio(AudioEncoding.LINEAR16, 16_000), LIMITS)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 48_000])
def test_audio_is_passed_on_in_pieces_of_a_tenth_of_a_second_of_whole_samples(rate_hz: int) -> None:
    parser = InputParser(WireAudio(AudioEncoding.LINEAR16, rate_hz), LIMITS)
    data = bytes(range(256)) * 200
    pieces = list(parser.audio(ConverseRequest(audio=UserAudio(data=data))))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 2 * rate_hz / 10
    assert all(len(piece) % 2 == 0 for piece in pieces)


@pytest.mark.parametrize("size", [0, 1, 3, 641])
def test_audio_holds_whole_samples(size: int) -> None:
    with pytest.raises(InvalidArgument, match=f"audio.data: .*{size} bytes"):
        list(PARSER.audio(ConverseRequest(audio=UserAudio(data=bytes(size)))))


def test_audio_comes_in_messages_of_at_most_64_000_bytes() -> None:
    assert b"".join(PARSER.audio(ConverseRequest(audio=UserAudio(data=bytes(64_000))))) == bytes(64_000)
    with pytest.raises(InvalidArgument, match=r"audio\.data: holds 64002 bytes, 64000 at most"):
        list(PARSER.audio(ConverseRequest(audio=UserAudio(data=bytes(64_002)))))


async def test_text_interrupts_and_is_measured_from_its_arrival() -> None:
    said = PARSER.other(ConverseRequest(text=UserText(text=" How far? ", request_id="q1")))
    asked = UserInput(Source.TEXT, text="How far?", request_id="q1", ended_at_s=clock.now())
    assert said == inputs.Said(asked, interrupts=True)


@pytest.mark.parametrize("interrupt", [True, False])
@pytest.mark.parametrize("omit", [True, False])
async def test_say_is_recited(interrupt: bool, omit: bool) -> None:
    said = PARSER.other(ConverseRequest(say=Say(text="Hi.", interrupt=interrupt, omit_from_history=omit)))
    assert isinstance(said, inputs.Said)
    assert said.interrupts is interrupt
    assert said.user_input.recited
    assert said.user_input.remembered is not omit


async def test_control_is_passed_on() -> None:
    assert PARSER.other(ConverseRequest(interrupt=Interrupt(turn_id=4))) == inputs.Interrupt(4)
    report = PlaybackReport(turn_id=4, position=Duration(seconds=1, nanos=500_000_000))
    assert PARSER.other(ConverseRequest(playback_report=report)) == inputs.PlaybackReport(4, 1.5)


async def test_an_empty_message_is_refused() -> None:
    with pytest.raises(ClientError) as refused:
        PARSER.other(ConverseRequest())
    assert refused.value.reason == "MESSAGE_EMPTY"
