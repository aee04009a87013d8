"""Messages of a running stream to what its session takes in."""

from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import (
    ConfigUpdate,
    ConverseRequest,
    Interrupt,
    PlaybackReport,
    Say,
    ToolResult,
    ToolResults,
    UserAudio,
    UserText,
    UtteranceEnded,
    UtteranceStarted,
)
from avatar_service import clock
from avatar_service.errors import ClientError, InvalidArgument
from avatar_service.events import Source
from avatar_service.rpc.from_proto import IN_AUDIO, InputParser
from avatar_service.session import inputs
from avatar_service.stages.listen import UtteranceMark
from avatar_service.turn.turn import UserInput
from tests.scenario import LIMITS
from tests.unit.rpc.configuring import configured


def parser_for(rate_hz: int) -> InputParser:
    return InputParser(configured(input_audio={"sample_rate_hertz": rate_hz}), LIMITS)


PARSER = parser_for(16_000)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 48_000])
def test_audio_is_passed_on_in_pieces_of_a_tenth_of_a_second_of_whole_samples(rate_hz: int) -> None:
    parser = parser_for(rate_hz)
    data = bytes(range(256)) * 200
    pieces = list(parser.audio(ConverseRequest(audio=UserAudio(data=data))))
    assert b"".join(joined(pieces)) == data
    assert max(map(len, joined(pieces))) <= 2 * rate_hz / 10
    assert all(len(piece) % 2 == 0 for piece in joined(pieces))


def joined(heard: Iterable[bytes | UtteranceMark]) -> list[bytes]:
    """What was heard, without any mark in it."""
    return [piece for piece in heard if isinstance(piece, bytes)]


async def test_a_client_that_decides_marks_its_utterances_in_the_audio() -> None:
    parser = InputParser(configured(turn_taking={"mode": "TURN_TAKING_MODE_MANUAL"}), LIMITS)
    requests = (
        ConverseRequest(utterance_started=UtteranceStarted()),
        ConverseRequest(audio=UserAudio(data=bytes(640))),
        ConverseRequest(utterance_ended=UtteranceEnded()),
    )
    assert all(request.WhichOneof("payload") in IN_AUDIO for request in requests)
    heard = [piece for request in requests for piece in parser.audio(request)]
    assert heard == [UtteranceMark.BEGIN, bytes(640), UtteranceMark.END]


@pytest.mark.parametrize("mark", ["utterance_started", "utterance_ended"])
def test_nobody_else_may(mark: str) -> None:
    payload: dict[str, Any] = {mark: {}}
    configuration = configured(turn_taking={"mode": "TURN_TAKING_MODE_MANUAL"})
    parser = InputParser(configuration, LIMITS)
    update: dict[str, Any] = {"turn_taking": {"mode": "TURN_TAKING_MODE_AUTOMATIC"}}
    parser.other(ConverseRequest(config_update=ConfigUpdate(**update)))
    with pytest.raises(InvalidArgument, match=f"^{mark}: .*TURN_TAKING_MODE_MANUAL"):
        list(parser.audio(ConverseRequest(**payload)))


@pytest.mark.parametrize("size", [0, 1, 3, 641])
def test_audio_holds_whole_samples(size: int) -> None:
    with pytest.raises(InvalidArgument, match=f"audio.data: .*{size} bytes"):
        list(PARSER.audio(ConverseRequest(audio=UserAudio(data=bytes(size)))))


def test_audio_comes_in_messages_of_at_most_64_000_bytes() -> None:
    assert b"".join(joined(PARSER.audio(ConverseRequest(audio=UserAudio(data=bytes(64_000)))))) == bytes(64_000)
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
    report.stopped = True
    assert PARSER.other(ConverseRequest(playback_report=report)) == inputs.PlaybackReport(4, 1.5, stopped=True)


async def test_a_position_counts_from_the_turns_start() -> None:
    with pytest.raises(InvalidArgument, match=r"playback_report.position: is -0.5 s"):
        PARSER.other(ConverseRequest(playback_report=PlaybackReport(position=Duration(nanos=-500_000_000))))


async def test_results_of_tools_are_passed_on() -> None:
    results = ToolResults(results=[ToolResult(tool_call_id="a", output="x" * 32_000), failed_result("b")])
    assert PARSER.other(ConverseRequest(tool_results=results)) == inputs.ToolResults(
        (inputs.ToolResult("a", "x" * 32_000), inputs.ToolResult("b", "", failed=True))
    )


def failed_result(tool_call_id: str) -> ToolResult:
    return ToolResult(tool_call_id=tool_call_id, failed=True)


@pytest.mark.parametrize(
    ("results", "field", "words"),
    [
        ([], "results", ["0 results", "1 to 64"]),
        ([failed_result(f"c{n}") for n in range(65)], "results", ["65 results"]),
        ([failed_result("")], "results[0].tool_call_id", ["empty"]),
        ([failed_result("c" * 65)], "results[0].tool_call_id", ["65", "64"]),
        ([failed_result("a"), failed_result("a")], "results[1].tool_call_id", ["already"]),
        ([ToolResult(tool_call_id="a", output="é" * 16_001)], "results[0].output", ["32,002 bytes", "32,000"]),
    ],
)
async def test_a_wrong_result_is_named_with_its_limit(results: list[ToolResult], field: str, words: list[str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        PARSER.other(ConverseRequest(tool_results=ToolResults(results=results)))
    assert refused.value.field == f"tool_results.{field}"
    for word in words:
        assert word in str(refused.value)


async def test_an_update_changes_the_configuration_that_the_session_gets() -> None:
    configuration = configured()
    changed = InputParser(configuration, LIMITS).other(
        ConverseRequest(config_update=ConfigUpdate(system_prompt="Be kind."))
    )
    assert isinstance(changed, inputs.ConfigChanged)
    assert changed.config == configuration.conversation.session
    assert changed.config.turn.system_prompt == "Be kind."


async def test_an_empty_message_is_refused() -> None:
    with pytest.raises(ClientError) as refused:
        PARSER.other(ConverseRequest())
    assert refused.value.reason == "MESSAGE_EMPTY"
