"""Where the client is in a turn's media."""

import asyncio

import pytest

from avatar_service import clock
from avatar_service.media.play_out import EXTRAPOLATED_S, UNREPORTED_S, PlayOut


async def test_before_the_first_media_nothing_is_played() -> None:
    play_out = PlayOut()
    await asyncio.sleep(5.0)
    assert play_out.position_s == 0.0
    assert play_out.lead_s == 0.0


async def test_play_out_runs_from_the_first_media_and_stops_where_they_end() -> None:
    play_out = PlayOut()
    await asyncio.sleep(3.0)
    play_out.sent(1.0)
    assert play_out.position_s == 0.0
    await asyncio.sleep(0.4)
    assert play_out.position_s == pytest.approx(0.4)
    assert play_out.lead_s == pytest.approx(0.6)
    await asyncio.sleep(5.0)
    assert play_out.position_s == pytest.approx(1.0)
    assert play_out.lead_s == pytest.approx(0.0)


async def test_media_in_time_do_not_disturb_the_clock() -> None:
    play_out = PlayOut()
    for chunk in range(1, 26):
        play_out.sent(chunk * 0.04)
        await asyncio.sleep(0.03)
    assert play_out.position_s == pytest.approx(0.75)
    assert play_out.stalls == 0


async def test_starving_stops_the_clock_and_is_counted() -> None:
    play_out = PlayOut()
    play_out.sent(1.0)
    await asyncio.sleep(1.7)
    play_out.sent(1.5)
    assert play_out.position_s == pytest.approx(1.0)
    assert play_out.stalls == 1
    assert play_out.stalled_s == pytest.approx(0.7)
    await asyncio.sleep(0.2)
    assert play_out.position_s == pytest.approx(1.2)


async def test_a_report_replaces_the_estimate_and_runs_on_from_there() -> None:
    play_out = PlayOut()
    play_out.sent(2.0)
    await asyncio.sleep(1.0)
    play_out.reported(0.6)
    assert play_out.position_s == pytest.approx(0.6)
    await asyncio.sleep(0.3)
    assert play_out.position_s == pytest.approx(0.9)


@pytest.mark.parametrize(("reported_s", "position_s"), [(99.0, 2.0), (-3.0, 0.0)])
async def test_a_report_beyond_what_was_sent_is_taken_as_its_end(reported_s: float, position_s: float) -> None:
    play_out = PlayOut()
    play_out.sent(2.0)
    play_out.reported(reported_s)
    assert play_out.position_s == pytest.approx(position_s)


async def test_a_report_before_any_media_changes_nothing() -> None:
    play_out = PlayOut()
    play_out.reported(5.0)
    assert play_out.position_s == 0.0
    play_out.sent(1.0)
    assert play_out.position_s == 0.0


async def test_an_unpaced_turn_is_played_when_its_client_says_so_and_never_stalls() -> None:
    play_out = PlayOut(unpaced=True)
    for second in range(1, 5):
        play_out.sent(float(second))
        await asyncio.sleep(10.0)
    assert (play_out.position_s, play_out.stalls) == (0.0, 0)
    play_out.reported(2.5)
    await asyncio.sleep(10.0)
    assert play_out.position_s == 2.5
    play_out.reported(9.0)
    play_out.sent(5.0)
    assert (play_out.position_s, play_out.stalls, play_out.stalled_s) == (4.0, 0, 0.0)


async def test_what_is_over_lies_behind_the_play_out() -> None:
    play_out = PlayOut()
    assert not play_out.is_over(0.04)
    play_out.sent(1.0)
    await asyncio.sleep(0.5)
    assert play_out.is_over(0.5)
    assert not play_out.is_over(0.501)
    assert play_out.is_over(0.9, in_s=0.4)
    assert play_out.reaches_at(0.8) == pytest.approx(clock.now() + 0.3)


async def test_of_an_unpaced_turn_nothing_is_ever_over() -> None:
    play_out = PlayOut(unpaced=True)
    play_out.sent(1.0)
    play_out.reported(1.0)
    await asyncio.sleep(5.0)
    assert not play_out.is_over(0.1, in_s=100.0)
    assert play_out.reaches_at(0.8) is None


async def playing(*, sent_s: float, for_s: float) -> PlayOut:
    """A turn of which so much was sent at once, so long ago."""
    play_out = PlayOut()
    play_out.sent(sent_s)
    await asyncio.sleep(for_s)
    return play_out


async def test_a_report_is_carried_on_for_a_while_and_then_the_position_stands() -> None:
    play_out = await playing(sent_s=5.0, for_s=1.0)
    play_out.reported(0.9)
    assert (play_out.is_reported, play_out.stands) == (True, False)
    await asyncio.sleep(EXTRAPOLATED_S)
    assert play_out.position_s == pytest.approx(1.4)
    await asyncio.sleep(60.0)
    assert play_out.stands
    assert play_out.position_s == pytest.approx(1.4)
    play_out.reported(1.5)
    assert not play_out.stands
    await asyncio.sleep(0.1)
    assert play_out.position_s == pytest.approx(1.6)


async def test_of_reports_that_jitter_the_last_one_wins() -> None:
    play_out = await playing(sent_s=5.0, for_s=1.0)
    play_out.reported(1.0)
    await asyncio.sleep(0.3)
    moved_at_s = play_out.moved_at_s
    play_out.reported(0.95)
    assert play_out.position_s == play_out.heard_s == pytest.approx(0.95)
    assert play_out.moved_at_s == moved_at_s == pytest.approx(clock.now() - 0.3)
    play_out.reported(1.05)
    assert play_out.moved_at_s == clock.now()


async def test_media_that_come_while_a_report_is_old_do_not_move_the_position_further() -> None:
    play_out = await playing(sent_s=1.0, for_s=0.5)
    play_out.reported(0.7)
    await asyncio.sleep(5.0)
    play_out.sent(9.0)
    await asyncio.sleep(5.0)
    assert play_out.position_s == pytest.approx(0.7 + EXTRAPOLATED_S)


async def test_without_reports_words_count_as_heard_a_little_later_than_they_were_sent() -> None:
    play_out = await playing(sent_s=1.0, for_s=0.1)
    assert play_out.heard_s == 0.0
    await asyncio.sleep(0.5)
    assert play_out.heard_s == pytest.approx(0.6 - UNREPORTED_S)
    await asyncio.sleep(0.5)
    assert play_out.heard_s == pytest.approx(0.9)
    await asyncio.sleep(0.1)
    assert play_out.heard_s == pytest.approx(1.0)


async def test_after_media_ran_out_what_was_heard_before_stays_heard() -> None:
    play_out = await playing(sent_s=1.0, for_s=3.0)
    play_out.sent(2.0)
    assert play_out.heard_s == pytest.approx(1.0)
    await asyncio.sleep(0.1)
    assert play_out.heard_s == pytest.approx(1.0)
    await asyncio.sleep(0.4)
    assert play_out.heard_s == pytest.approx(1.5 - UNREPORTED_S)


async def test_heard_never_shrinks_while_nobody_reports() -> None:
    play_out, heard_s = PlayOut(), 0.0
    for step in range(400):
        if step % 37 < 20:
            play_out.sent(0.02 * step)
        await asyncio.sleep(0.013)
        assert heard_s <= play_out.heard_s <= play_out.sent_s
        heard_s = play_out.heard_s


async def test_of_a_turn_that_was_played_to_its_end_everything_was_heard() -> None:
    play_out = await playing(sent_s=1.0, for_s=1.0)
    assert play_out.heard_s == pytest.approx(0.8)
    play_out.finish()
    assert play_out.heard_s == 1.0


async def test_the_end_of_a_turn_does_not_overrule_what_was_reported() -> None:
    play_out = await playing(sent_s=3.0, for_s=1.0)
    play_out.reported(0.5)
    await asyncio.sleep(20.0)
    play_out.finish()
    assert play_out.heard_s == pytest.approx(1.0)


async def test_where_the_client_stopped_the_position_stays() -> None:
    play_out = await playing(sent_s=3.0, for_s=1.0)
    play_out.reported(0.8)
    await asyncio.sleep(0.2)
    play_out.reported(0.97, stopped=True)
    await asyncio.sleep(0.4)
    assert (play_out.is_stopped, play_out.position_s, play_out.heard_s) == (True, 0.97, 0.97)
    play_out.reported(2.0)
    assert play_out.position_s == 0.97


@pytest.mark.parametrize(("reports_at_s", "waited_s"), [(0.1, 0.1), (0.7, 0.3)])
async def test_the_last_report_is_awaited_but_not_for_long(reports_at_s: float, waited_s: float) -> None:
    play_out = await playing(sent_s=3.0, for_s=1.0)
    asyncio.get_running_loop().call_later(0.05, play_out.reported, 1.0)
    asyncio.get_running_loop().call_later(reports_at_s, play_out.reported, 1.1, True)
    began_s = clock.now()
    await play_out.stopped(within_s=0.3)
    assert clock.now() - began_s == pytest.approx(waited_s)


async def test_what_ran_out_while_the_client_took_nothing_is_not_starved() -> None:
    play_out = await playing(sent_s=1.0, for_s=5.0)
    play_out.resume()
    play_out.sent(2.0)
    assert (play_out.stalls, play_out.stalled_s, play_out.position_s) == (0, 0.0, 1.0)
    await asyncio.sleep(0.5)
    play_out.resume()  # with media in hand the clock just goes on
    assert play_out.position_s == pytest.approx(1.5)


async def test_a_client_that_may_have_stopped_is_not_taken_to_play_on() -> None:
    play_out = await playing(sent_s=5.0, for_s=1.0)
    play_out.reported(1.0)
    assert play_out.is_over(1.6, in_s=0.7)
    await asyncio.sleep(2.0)
    assert not play_out.is_over(1.6, in_s=0.7)
