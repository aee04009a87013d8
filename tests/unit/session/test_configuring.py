"""Settings that change in mid-session: for the turns that follow, turn taking at once."""

from dataclasses import replace

from avatar_service.events import ConfigUpdated, Interrupted, Outcome, TurnCompleted, TurnStarted
from tests.scenario import TURN, Scenario

REPLY = "The moon is near. It goes around the earth once a month."


async def test_new_settings_hold_from_the_next_turn_on() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).text(6.0, "two")
    scenario.reconfigured(0.5, system_prompt="Be long.", voice=replace(TURN.voice, voice_id="george"))
    recording = await scenario.run()
    assert [request[0].text for request in scenario.chat.requests] == ["Be brief.", "Be long."]
    assert [voice.voice_id for voice in scenario.fake_speech.asked_for] == ["rachel", "rachel", "george", "george"]
    assert recording.only(TurnCompleted, 1).outcome is Outcome.COMPLETED


async def test_the_client_is_told_that_they_are_in_force() -> None:
    recording = await Scenario().reconfigured(0.5, system_prompt="Be long.").run()
    assert recording.only(ConfigUpdated) == ConfigUpdated(("system_prompt",))


async def test_a_turn_that_starts_after_the_answer_has_the_new_settings() -> None:
    scenario = Scenario().reconfigured(0.5, system_prompt="Be long.").text(0.5, "one")
    recording = await scenario.run()
    kinds = [type(event) for event in recording.events]
    assert kinds.index(ConfigUpdated) < kinds.index(TurnStarted)
    assert scenario.chat.requests[0][0].text == "Be long."


async def test_barge_in_is_switched_at_once() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).reconfigured(0.5, barge_in=False).user_speech(1.0, 2.0, "two")
    assert (await scenario.run()).all(Interrupted) == []
    scenario = Scenario().configured(barge_in=False).text(0.0, "one").reply(REPLY).user_speech(1.0, 2.0, "two")
    assert len((await scenario.reconfigured(0.5, barge_in=True).run()).all(Interrupted)) == 1


async def test_another_avatar_is_seen_from_the_next_turn_on() -> None:
    scenario = Scenario().text(0.0, "one").reply(REPLY).text(6.0, "two").reply("Near.")
    await scenario.reconfigured(0.5, avatar_key="other").run()
    avatars = [request.avatar for request in scenario.fake_lip_sync.requests]
    assert avatars == sorted(avatars, key=lambda key: key == "other")
    assert set(avatars) == {TURN.media.avatar_key, "other"}
