"""When a session has connections to the vendors opened."""

import pytest

from avatar_service import clock
from tests.scenario import Scenario


async def test_they_are_opened_when_the_session_begins_and_when_the_user_begins_to_speak() -> None:
    scenario, began_s = Scenario(), clock.now()
    await scenario.user_speech(90.0, 92.0, "How far?").reply("Near.").listen_until(95.0).run()
    warmed_s = [at_s - began_s for at_s in scenario.connections.warmed_at_s]
    assert warmed_s == [0.0, pytest.approx(90.0, abs=0.5)]
