"""Play-out follows the audio in real time, waits when it runs dry, and drops what was interrupted."""

import math

import pytest

from avatar_client.errors import ServiceFault
from avatar_client.events import Audio, Frame, Interrupted, ReplyText
from avatar_client.play_out import Due, PlayOut, PlayOutClock, PlayOutFull

RATE_HZ = 24_000


def chunk(turn_id: int, index: int, offset_s: float | None = None) -> Audio:
    offset_s = index * 0.04 if offset_s is None else offset_s
    return Audio(turn_id=turn_id, index=index, offset_s=offset_s, data=b"", pcm=b"", sample_count=960)


def frame(turn_id: int, index: int) -> Frame:
    return Frame(turn_id=turn_id, index=index, offset_s=index * 0.04, data=b"")


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


def test_a_player_tells_how_much_was_really_heard_and_the_clock_goes_on_from_there() -> None:
    clock = clock_with(turn_id=1, chunks=25, now=100.0)
    clock.correct(1, 0.2, now=100.3)
    assert position_s(clock, 100.4) == pytest.approx(0.3, abs=1e-6)
    clock.correct(2, 0.9, now=100.4)
    assert position_s(clock, 100.4) == pytest.approx(0.3, abs=1e-6), "of a turn that is not being played"
    clock.correct(1, 7.0, now=100.4)
    assert position_s(clock, 100.4) == pytest.approx(1.0), "no more than was received"


def test_the_end_of_a_turn_is_known_once_all_of_it_was_sent() -> None:
    clock = clock_with(turn_id=1, chunks=5, now=100.0)
    assert clock.ends_in_s(100.1) == math.inf
    clock.finish(1, now=100.1)
    assert clock.ends_in_s(100.15) == pytest.approx(0.05)
    assert (clock.ends_in_s(100.2), PlayOutClock(RATE_HZ).ends_in_s(100.0)) == (math.inf, math.inf)


def test_a_frozen_clock_stands_still_and_tells_what_was_played() -> None:
    clock = clock_with(turn_id=1, chunks=25, now=100.0)
    report = clock.freeze(100.3)
    assert report is not None
    assert (report.turn_id, report.stopped) == (1, True)
    assert report.position.ToMilliseconds() == pytest.approx(300, abs=1)
    assert clock.is_frozen
    assert clock.freeze(105.0) == report
    clock.correct(1, 0.9, now=105.0)
    clock.thaw(105.0)
    assert position_s(clock, 105.1) == pytest.approx(0.4, abs=1e-6)


def test_of_a_turn_that_ended_just_before_it_is_told_too() -> None:
    clock = clock_with(turn_id=1, chunks=5, now=100.0)
    assert PlayOutClock(RATE_HZ).freeze(100.0) is None
    clock.finish(1, now=100.0)
    report = clock.freeze(100.5)
    assert report is not None
    assert report.turn_id == 1
    assert report.position.ToMilliseconds() == pytest.approx(200, abs=1)


def test_after_a_cut_nothing_of_before_is_played_or_reported() -> None:
    clock = clock_with(turn_id=1, chunks=5, now=100.0)
    clock.finish(1, now=100.0)
    clock.add_audio(chunk(2, 0), now=100.0)
    clock.freeze(100.21)
    clock.cut(3, now=100.3)
    assert (clock.reports(100.4), clock.is_playing(100.4), clock.is_frozen) == ([], False, False)
    assert [clock.is_interrupted(turn_id) for turn_id in (2, 3, 4)] == [True, True, False]
    clock.add_audio(chunk(4, 0), now=100.4)
    assert position_s(clock, 100.42) == pytest.approx(0.02, abs=1e-6)


def test_an_interruption_stops_every_turn_up_to_its_id_and_none_after() -> None:
    clock = PlayOutClock(RATE_HZ)
    clock.interrupt(3, now=100.0)
    assert [clock.is_interrupted(turn_id) for turn_id in (0, 1, 3, 4)] == [False, True, True, False]


@pytest.mark.parametrize("wrong", [chunk(1, 3), chunk(1, 2, offset_s=0.12)], ids=["index", "offset"])
def test_audio_that_does_not_follow_what_came_before_is_a_fault(wrong: Audio) -> None:
    clock = clock_with(turn_id=1, chunks=2, now=100.0)
    with pytest.raises(ServiceFault, match=r"sent chunk . of turn 1 at 0\.120 s where chunk 2 at 0\.080 s was due"):
        clock.add_audio(wrong, now=100.1)


def playing(chunks: int, now: float = 100.0) -> tuple[PlayOutClock, PlayOut]:
    """Turn 1 with so many chunks and a frame for each, which begins to play at `now`."""
    clock = PlayOutClock(RATE_HZ)
    play_out = PlayOut(clock)
    for index in range(chunks):
        clock.add_audio(chunk(1, index), now)
        play_out.add(chunk(1, index))
        play_out.add(frame(1, index))
    return clock, play_out


def test_what_is_to_be_shown_and_heard_comes_out_when_it_is_due() -> None:
    _, play_out = playing(chunks=4)
    assert play_out.take(100.0) == Due(frame(1, 0), (chunk(1, 0),), late_frames=0)
    assert play_out.take(100.03) == Due(None, (), late_frames=0)
    assert play_out.take(100.05) == Due(frame(1, 1), (chunk(1, 1),), late_frames=0)


def test_a_frame_whose_time_has_passed_is_dropped_and_its_sound_is_not() -> None:
    _, play_out = playing(chunks=4)
    assert play_out.take(100.09) == Due(frame(1, 2), (chunk(1, 0), chunk(1, 1), chunk(1, 2)), late_frames=2)


def test_sound_can_be_taken_ahead_for_a_card_that_needs_it_early() -> None:
    clock, play_out = playing(chunks=4)
    assert play_out.take(100.0, ahead_s=0.1).audio == (chunk(1, 0), chunk(1, 1), chunk(1, 2))
    assert position_s(clock, 100.02) == pytest.approx(0.02, abs=1e-6)


def test_media_of_interrupted_turns_are_dropped_held_or_coming() -> None:
    clock, play_out = playing(chunks=3)
    clock.interrupt(1, now=100.05)
    play_out.add(Interrupted(turn_id=1))
    play_out.add(frame(1, 2))
    clock.add_audio(chunk(2, 0), now=100.05)
    play_out.add(chunk(2, 0))
    assert play_out.take(100.06) == Due(None, (chunk(2, 0),), late_frames=0)


def test_idle_frames_are_due_at_once_but_not_before_the_turn_ahead_of_them() -> None:
    clock, play_out = playing(chunks=2)
    clock.finish(1, now=100.0)
    play_out.add(frame(0, 7))
    shown = play_out.take(100.05).frame
    assert shown is not None
    assert shown.turn_id == 1
    assert play_out.take(100.1).frame == frame(0, 7)


def test_what_is_no_media_is_none_of_its_business() -> None:
    _, play_out = playing(chunks=0)
    play_out.add(ReplyText(turn_id=1, text="It is near."))
    assert play_out.take(100.0) == Due(None, (), 0)


def test_media_that_nobody_takes_are_refused_after_30_seconds() -> None:
    play_out = PlayOut(PlayOutClock(RATE_HZ))
    for index in range(750):
        play_out.add(chunk(1, index))
    with pytest.raises(PlayOutFull, match="take them in time"):
        play_out.add(chunk(1, 750))
