"""How much may wait between the stages."""

from fractions import Fraction

import pytest

from avatar_service.media.timeline import Timeline
from avatar_service.rpc import responses
from avatar_service.stages.spans import SpanPolicy
from avatar_service.turn import capacities

POLICY = SpanPolicy()


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(25), Fraction(30_000, 1_001), Fraction(60)])
def test_voice_has_room_for_what_a_render_request_needs(fps: Fraction) -> None:
    timeline = Timeline(24_000, fps)
    assert capacities.speech_channel("audio", timeline, POLICY).capacity >= POLICY.frames + 0.24 * fps
    assert capacities.frame_channel(timeline, POLICY).capacity >= POLICY.frames


def test_too_little_room_is_found_at_the_start_and_not_as_a_turn_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacities, "SPEECH_MS", 500)
    with pytest.raises(ValueError, match="audio: room for 13 chunks, refilled by 25, but one render request needs 14"):
        capacities.speech_channel("audio", Timeline(24_000, Fraction(25)), POLICY)


def test_the_frames_that_wait_for_a_client_that_reads_nothing_are_as_many_as_stated() -> None:
    assert capacities.frames_waiting(Timeline(24_000, Fraction(25)), POLICY) + responses.EVENTS == 98
