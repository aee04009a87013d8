"""Where the client is in a turn's media."""

import asyncio

import pytest

from avatar_service import clock
from avatar_service.media.play_out import PlayOut


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
