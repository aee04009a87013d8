"""Checks of what clients send."""

import math

import pytest
from google.protobuf.duration_pb2 import Duration

from avatar.v1 import PacingConfig, TurnTakingConfig, VoiceSettings
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.checks import at_most, at_most_bytes, given, given_s, in_range


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_value_in_its_range_passes(value: float) -> None:
    in_range("config.x", value, 0.0, 1.0)


@pytest.mark.parametrize("value", [-0.001, 1.001, math.inf, -math.inf, math.nan])
def test_any_other_is_refused_with_the_field_and_the_range(value: float) -> None:
    with pytest.raises(InvalidArgument, match=r"^config.x: is .* s; give 0 to 1 s$") as refused:
        in_range("config.x", value, 0.0, 1.0, "s")
    assert refused.value.field == "config.x"


def test_text_may_be_as_long_as_its_limit() -> None:
    at_most("text.text", "é" * 10, 10)
    with pytest.raises(InvalidArgument, match=r"text.text: .*11.*10"):
        at_most("text.text", "é" * 11, 10)


def test_bytes_are_counted_as_they_are_sent() -> None:
    at_most_bytes("tool_results.results[0].output", "é" * 5, 10)
    with pytest.raises(InvalidArgument, match=r"output: has 12 bytes; give at most 10$"):
        at_most_bytes("tool_results.results[0].output", "é" * 6, 10)


def test_an_absent_number_is_the_default_and_a_zero_is_not() -> None:
    assert given(TurnTakingConfig(), "threshold", "config.turn_taking", 0.5, 0.0, 1.0) == 0.5
    assert given(TurnTakingConfig(threshold=0.0), "threshold", "config.turn_taking", 0.5, 0.0, 1.0) == 0.0


@pytest.mark.parametrize("value", [0.7, 1.2])
def test_the_ends_of_a_range_are_in_it_though_they_arrive_in_32_bits(value: float) -> None:
    settings = VoiceSettings(speed=value)
    assert settings.speed != value
    assert given(settings, "speed", "config.voice.settings", 1.0, 0.7, 1.2) == value


def test_an_absent_duration_is_the_default() -> None:
    assert given_s(PacingConfig(), "lead", "config.pacing", 1.0, 0.2, 5.0) == 1.0
    lead = Duration(nanos=700_000_000)
    assert given_s(PacingConfig(lead=lead), "lead", "config.pacing", 1.0, 0.2, 5.0) == pytest.approx(0.7)


@pytest.mark.parametrize("seconds", [-(10**11), -1, 6, 10**11])
def test_a_duration_out_of_range_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^config.pacing.lead: "):
        given_s(PacingConfig(lead=Duration(seconds=seconds)), "lead", "config.pacing", 1.0, 0.2, 5.0)
