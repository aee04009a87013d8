"""Play-out follows the audio in real time, waits when it runs dry, and drops what was interrupted."""

import math
from fractions import Fraction

import pytest

from avatar.v1 import AudioChunk, Frame
from avatar_client.play_out import PlayOut, PlayOutClock

RATE_HZ = 24_000
FPS = Fraction(25)


def chunk(turn_id: int, index: int) -> AudioChunk:
    return AudioChunk(turn_id=turn_id, index=index, sample_count=960)


def clock_with(turn_id: int, chunks: int, now: float) -> PlayOutClock:
    clock = PlayOutClock(RATE_HZ)
    for index in range(chunks):
        clock.add_audio(chunk(turn_id, index), now)
    return clock


def position_s(clock: PlayOutClock, now: float) -> float:
    (report,) = clock.reports(now)
    return report.position.ToNanoseconds() / 1e9


def test_a_turn_plays_in_real_time_from_its_first_audio() -> None:
    clock = clock_with(turn_id=1, chunks=10, now=100.0)
    assert position_s(clock, 100.25) == pytest.approx(0.25, abs=1e-6)


def test_play_out_waits_where_audio_has_not_arrived_and_then_goes_on() -> None:
    clock = clock_with(turn_id=1, chunks=2, now=100.0)
    assert position_s(clock, 105.0) == pytest.approx(0.08)
    clock.add_audio(chunk(1, 2), now=105.0)
    assert position_s(clock, 105.01) == pytest.approx(0.09, abs=1e-6)


def test_a_finished_turn_is_reported_stopped_at_its_end_exactly_once() -> None:
    clock = clock_with(turn_id=1, chunks=5, now=100.0)
    clock.finish(1, now=100.1)
    (report,) = clock.reports(100.5)
    assert (report.turn_id, report.stopped) == (1, True)
    assert report.position.ToMilliseconds() == pytest.approx(200, abs=1)
    assert clock.reports(100.6) == []
    assert clock.played_s(1, 100.6) == math.inf


def test_the_next_turn_plays_from_where_the_one_before_ended() -> None:
    clock = clock_with(turn_id=1, chunks=5, now=100.0)
    clock.finish(1, now=100.0)
    for index in range(5):
        clock.add_audio(chunk(2, index), now=100.1)
    ended, playing = clock.reports(100.3)
    assert (ended.turn_id, ended.stopped) == (1, True)
    assert (playing.turn_id, playing.stopped) == (2, False)
    assert playing.position.ToMilliseconds() == pytest.approx(100, abs=1)


def test_an_interruption_reports_how_far_the_turn_was_played() -> None:
    clock = clock_with(turn_id=3, chunks=25, now=100.0)
    clock.interrupt(3, now=100.3)
    (report,) = clock.reports(100.35)
    assert (report.turn_id, report.stopped) == (3, True)
    assert report.position.ToMilliseconds() == pytest.approx(300, abs=1)
    assert clock.reports(100.4) == []


def test_an_interruption_stops_every_turn_up_to_its_id_and_none_after() -> None:
    clock = PlayOutClock(RATE_HZ)
    clock.interrupt(3, now=100.0)
    assert [clock.is_interrupted(turn_id) for turn_id in (0, 1, 3, 4)] == [False, True, True, False]


def test_media_come_out_when_they_are_due() -> None:
    clock = PlayOutClock(RATE_HZ)
    play_out = PlayOut(clock, FPS, RATE_HZ)
    for index in range(4):
        clock.add_audio(chunk(1, index), now=100.0)
        play_out.add(chunk(1, index))
        play_out.add(Frame(turn_id=1, index=index))
    assert [media.index for media in play_out.take(100.0)] == [0, 0]
    assert play_out.take(100.03) == []
    assert [media.index for media in play_out.take(100.09)] == [1, 1, 2, 2]


def test_media_of_interrupted_turns_are_dropped_held_or_coming() -> None:
    clock = PlayOutClock(RATE_HZ)
    play_out = PlayOut(clock, FPS, RATE_HZ)
    for turn_id in (1, 2):
        for index in range(3):
            clock.add_audio(chunk(turn_id, index), now=100.0)
            play_out.add(chunk(turn_id, index))
    clock.interrupt(1, now=100.05)
    play_out.add(Frame(turn_id=1, index=2))
    assert {media.turn_id for media in play_out.take(100.06)} == {2}
    assert {media.turn_id for media in play_out.drain()} == {2}
    assert play_out.drain() == []


def test_idle_frames_are_due_at_once_but_not_before_the_turn_ahead_of_them() -> None:
    clock = clock_with(turn_id=1, chunks=2, now=100.0)
    clock.finish(1, now=100.0)
    play_out = PlayOut(clock, FPS, RATE_HZ)
    play_out.add(Frame(turn_id=1, index=1))
    play_out.add(Frame(turn_id=0, index=7))
    assert play_out.take(100.0) == []
    assert [media.turn_id for media in play_out.take(100.1)] == [1, 0]
