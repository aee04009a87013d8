"""The words that a client is told of, and when."""

import pytest

from avatar_service.events import Media, SpokenText
from avatar_service.media.types import SpeechChunk
from tests.fakes.speech import FakeSpeech
from tests.scenario import Recording, Scenario

REPLY = "The moon is near. It goes around the earth, once a month."


async def spoken(scenario: Scenario) -> tuple[list[SpokenText], Recording]:
    recording = await scenario.reply(REPLY).run()
    return recording.all(SpokenText), recording


def sent_s(recording: Recording) -> dict[str, float]:
    """How much voice was sent before each word."""
    sent, before = 0.0, dict[str, float]()
    for event in recording.all(object):
        if isinstance(event, Media) and isinstance(event.packet, SpeechChunk):
            sent += 0.04
        if isinstance(event, SpokenText):
            before[event.text] = sent
    return before


async def test_each_word_is_told_once_in_order_with_its_time_and_before_its_voice() -> None:
    words, recording = await spoken(Scenario().text(0.0, "How far?"))
    assert "".join(word.text for word in words) == f"{REPLY} "
    assert not any(word.estimated for word in words)
    assert [(words[index].start_s, words[index].end_s) for index in (0, 1, 4)] == [
        pytest.approx((0.0, 0.15)),
        pytest.approx((0.2, 0.4)),
        pytest.approx((0.85, 0.95)),
    ]
    before = sent_s(recording)
    assert all(before[word.text] <= word.start_s + 1e-6 for word in words)


async def test_without_times_words_are_told_by_the_usual_pace_and_marked() -> None:
    words, recording = await spoken(Scenario().text(0.0, "How far?").speech(aligned=False))
    assert "".join(word.text for word in words) == f"{REPLY} "
    assert all(word.estimated for word in words)
    edges = [edge for word in words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    before = sent_s(recording)
    assert all(before[word.text] <= word.start_s + 0.04 for word in words)


class LateTimes(FakeSpeech):
    """Times come a second after the voice that they are of."""

    def characters_of(self, text, from_s=0.0, to_s=float("inf")):  # type: ignore[no-untyped-def]  # as its base
        return super().characters_of(text, from_s - 1.0, to_s - 1.0 if to_s < 100.0 else to_s)


async def test_words_whose_times_come_late_are_told_as_soon_as_they_are_known() -> None:
    scenario = Scenario().text(0.0, "How far?")
    scenario.fake_speech = LateTimes()
    words, _ = await spoken(scenario)
    assert "".join(word.text for word in words) == f"{REPLY} "
    starts_s = [word.start_s for word in words]
    assert starts_s == sorted(starts_s)


async def test_after_an_interruption_no_word_is_told_that_was_not_begun() -> None:
    scenario = Scenario().text(0.0, "How far?").interrupt(1.5).listen_until(3.0)
    words, recording = await spoken(scenario)
    assert 0 < len(words) < len(REPLY.split())
    sent = 0.04 * len(recording.chunks())
    assert all(word.start_s < sent for word in words)
