"""How long a stream lives."""

import asyncio
from dataclasses import dataclass, field

import pytest

from avatar_service import clock
from avatar_service.errors import SessionAgeReached, SessionIdle
from avatar_service.events import GoAway, GoAwayReason
from avatar_service.session.lifetime import BUSY_CHECK_S, Lifetime
from avatar_service.settings import SessionSettings
from tests.scenario import Recording


@dataclass
class Stream:
    """A stream of which only the lifetime runs."""

    settings: SessionSettings = field(default_factory=lambda: SessionSettings.model_validate({}))
    idle_s: float = 300.0
    credential_s: float | None = None
    is_busy: bool = False
    recording: Recording = field(default_factory=Recording)

    def __post_init__(self) -> None:
        self.lifetime = Lifetime(
            self.settings,
            idle_s=self.idle_s,
            credential_s=self.credential_s,
            token=lambda: "token",
            is_busy=lambda: self.is_busy,
            out=self.recording,
        )

    def touch(self) -> None:
        self.lifetime.touch(clock.now())

    async def ends(self) -> float:
        """When the stream ends, in seconds of its age."""
        with pytest.raises((SessionAgeReached, SessionIdle)):
            await self.lifetime.run()
        return clock.now() - self.recording.began_s

    async def touched_every(self, pause_s: float) -> None:
        while True:
            self.touch()
            await asyncio.sleep(pause_s)


async def test_a_stream_is_told_a_minute_before_it_ends_at_the_age_of_an_hour() -> None:
    stream = Stream()
    living = asyncio.create_task(stream.touched_every(100.0))
    with pytest.raises(SessionAgeReached):
        await stream.lifetime.run()
    living.cancel()
    assert clock.now() - stream.recording.began_s == pytest.approx(3600.0, abs=0.01)
    (told_s,) = stream.recording.times(GoAway)
    assert told_s == pytest.approx(3540.0, abs=0.01)
    go_away = stream.recording.only(GoAway)
    assert go_away.time_left_s == pytest.approx(60.0, abs=0.01)
    assert (go_away.reason, go_away.resume_token) == (GoAwayReason.SESSION_AGE, "token")


async def test_a_short_age_is_told_at_once() -> None:
    stream = Stream(SessionSettings.model_validate({"age_s": 10.0, "go_away_s": 60.0}))
    assert await stream.ends() == pytest.approx(10.0, abs=0.01)
    assert stream.recording.times(GoAway) == [pytest.approx(0.0, abs=0.01)]
    assert stream.recording.only(GoAway).time_left_s == pytest.approx(10.0, abs=0.01)


async def test_a_stream_that_is_busy_ends_at_its_age_all_the_same() -> None:
    assert await Stream(is_busy=True).ends() == pytest.approx(3600.0, abs=0.01)


async def test_a_client_that_sends_nothing_loses_its_stream() -> None:
    stream = Stream(idle_s=20.0)
    with pytest.raises(SessionIdle, match="nothing came for 20 s"):
        await stream.lifetime.run()
    assert clock.now() - stream.recording.began_s == pytest.approx(20.0, abs=0.01)
    assert not stream.recording.all(GoAway)


async def test_any_message_is_life() -> None:
    stream = Stream(idle_s=20.0)
    asyncio.get_running_loop().call_later(19.0, stream.touch)
    assert await stream.ends() == pytest.approx(39.0, abs=0.01)


async def test_a_turn_is_life_while_it_runs_or_is_played() -> None:
    stream = Stream(idle_s=20.0, is_busy=True)

    def over() -> None:
        stream.is_busy = False

    asyncio.get_running_loop().call_later(100.5, over)
    assert 120.5 - BUSY_CHECK_S <= await stream.ends() <= 120.5 + BUSY_CHECK_S


async def test_a_process_that_stops_tells_at_once_and_once() -> None:
    stream = Stream(idle_s=20.0)
    asyncio.get_running_loop().call_later(7.0, stream.lifetime.drain, 5.0)
    assert await stream.ends() == pytest.approx(20.0, abs=0.01)
    assert stream.recording.times(GoAway) == [pytest.approx(7.0, abs=0.01)]
    assert stream.recording.only(GoAway) == GoAway(5.0, GoAwayReason.DRAINING, "token")


async def test_a_stream_that_begins_while_the_process_stops_is_told_too() -> None:
    stream = Stream(idle_s=20.0)
    stream.lifetime.drain(5.0)
    await stream.ends()
    assert stream.recording.times(GoAway) == [pytest.approx(0.0, abs=0.01)]


async def test_the_end_of_a_credential_is_told_as_long_before_as_that_of_the_stream() -> None:
    stream = Stream(credential_s=100.0)
    await stream.ends()
    assert stream.recording.times(GoAway) == [pytest.approx(40.0, abs=0.01)]
    go_away = stream.recording.only(GoAway)
    assert go_away.time_left_s == pytest.approx(60.0, abs=0.01)
    assert (go_away.reason, go_away.resume_token) == (GoAwayReason.CREDENTIAL_EXPIRING, "token")


async def test_a_credential_that_ends_soon_is_told_at_once_and_the_age_beside_it() -> None:
    stream = Stream(SessionSettings.model_validate({"age_s": 100.0}), credential_s=30.0)
    await stream.ends()
    assert stream.recording.times(GoAway) == [pytest.approx(0.0, abs=0.01), pytest.approx(40.0, abs=0.01)]
    first, second = stream.recording.all(GoAway)
    assert (first.reason, second.reason) == (GoAwayReason.CREDENTIAL_EXPIRING, GoAwayReason.SESSION_AGE)
    assert first.time_left_s == pytest.approx(30.0, abs=0.01)
    assert second.time_left_s == pytest.approx(60.0, abs=0.01)


async def test_a_client_that_was_told_to_go_is_leaving() -> None:
    stream = Stream(idle_s=20.0)
    stream.lifetime.drain(5.0)
    assert not stream.lifetime.is_leaving
    await stream.ends()
    assert stream.lifetime.is_leaving
