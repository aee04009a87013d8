"""What is kept of a turn that is over."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from avatar_service.errors import EngineRejected
from avatar_service.events import TurnCompleted
from tests.measuring import Growth
from tests.scenario import Recording, Scenario


async def held(scenario: Scenario) -> tuple[Recording, list[dict[str, Any]], Growth]:
    """A conversation, the lines that its turns left in the log, and what has grown."""
    growth = Growth()
    with capture_logs() as lines:
        recording = await scenario.run()
    return recording, [dict(line) for line in lines if line["event"] == "turn_completed"], growth


async def test_a_turn_is_counted_by_source_and_outcome_with_all_it_used() -> None:
    recording, _, growth = await held(Scenario().user_speech(0.5, 2.0, "hello").reply("Hi there, you.").speech())
    completed = recording.only(TurnCompleted)
    assert growth.of_all("avatar_turns_total") == {("completed", "utterance"): 1.0}
    assert growth("avatar_frames_sent_total") == completed.frames_sent == len(recording.frames())
    assert growth("avatar_frames_rendered_total") == completed.frames_rendered > 0
    assert growth("avatar_frames_held_total") == completed.frames_held
    assert growth("avatar_sent_speech_seconds_total") == pytest.approx(completed.media_s)
    assert growth("avatar_transcribed_audio_seconds_total") == pytest.approx(completed.transcribed_s)
    assert growth("avatar_speech_characters_total") == len("Hi there, you.")
    assert growth("avatar_chat_tokens_total", kind="completion") == completed.completion_tokens


async def test_its_latencies_are_observed_under_the_names_of_the_contract() -> None:
    scenario = Scenario().user_speech(0.5, 2.0, "hello", delay_s=0.4).reply("Hi there.", ttft_s=0.3).speech()
    _, _, growth = await held(scenario)
    assert growth("avatar_transcription_time_seconds_count") == 1
    assert growth("avatar_transcription_time_seconds_sum") == pytest.approx(0.4, abs=0.01)
    assert growth("avatar_time_to_first_token_seconds_sum") == pytest.approx(0.3, abs=0.01)
    assert growth("avatar_total_latency_seconds_count") == 1
    assert growth("avatar_interruption_time_seconds_count") == 0


async def test_the_lead_is_sampled_once_a_second_of_media() -> None:
    recording, _, growth = await held(Scenario().say(0.1, "A sentence that lasts for a while. " * 3).speech())
    seconds = recording.only(TurnCompleted).media_s
    assert seconds > 3
    assert growth("avatar_lead_seconds_count") == pytest.approx(seconds, abs=1.0)
    assert growth("avatar_lead_seconds_bucket", le="1.0") == growth("avatar_lead_seconds_count")


async def test_an_interrupted_a_failed_and_a_degraded_turn_are_told_apart() -> None:
    refused = EngineRejected("speak", "fake", "no")
    scenario = Scenario().say(0.1, "A long sentence that is broken off.").interrupt(0.6).speech()
    _, _, growth = await held(scenario)
    assert growth.of_all("avatar_turns_total") == {("interrupted", "say"): 1.0}
    assert growth("avatar_interruption_time_seconds_count") == 1
    _, (line,), growth = await held(Scenario().say(0.1, "Hi there.").speech(error=refused))
    assert growth.of_all("avatar_turns_total") == {("failed", "say"): 1.0}
    assert (line["failed_stage"], line["fault"]) == ("speak", "bad_request")
    assert growth.of_all("avatar_turn_failures_total") == {("bad_request", "speak"): 1.0}
    _, (line,), growth = await held(Scenario().say(0.1, "Hi there.").speech().lip_sync(fails=range(1)))
    assert growth.of_all("avatar_turns_degraded_total") == {("VIDEO_LOST",): 1.0}
    assert line["degraded_by"] == ["VIDEO_LOST"]


async def test_a_turns_line_has_its_times_and_nothing_that_was_said() -> None:
    said = Scenario().user_speech(0.5, 2.0, "cerulean").reply("Vermilion it is.").speech()
    _, (line,), _ = await held(said)
    assert (line["turn_id"], line["source"], line["outcome"]) == (1, "utterance", "completed")
    assert {
        "transcription_time_ms",
        "llm_response_time_ms",
        "tts_generation_time_ms",
        "total_latency_ms",
    } <= line.keys()
    assert "cerulean" not in str(line)
    assert "Vermilion" not in str(line)
