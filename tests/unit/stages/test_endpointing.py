"""When the user speaks and when they have finished."""

import random

import pytest

from avatar_service.stages.endpointing import PAUSE_S, WINDOW_S, Change, Endpointer, EndpointingSettings

SETTINGS = EndpointingSettings()
LOUD, QUIET = 0.9, 0.05


def windows(seconds: float, probability: float) -> list[float]:
    return [probability] * round(seconds / WINDOW_S)


def changes(endpointer: Endpointer, probabilities: list[float]) -> list[tuple[Change, float]]:
    """Each change and the received time at which it was told."""
    found: list[tuple[Change, float]] = []
    for number, probability in enumerate(probabilities, 1):
        if change := endpointer.push(probability):
            found.append((change, number * WINDOW_S))
    return found


def test_speech_is_told_once_it_has_lasted_and_its_end_after_the_silence() -> None:
    endpointer = Endpointer(SETTINGS)
    before, speech = windows(2.0, QUIET), windows(1.0, LOUD)
    told = changes(endpointer, before + speech + windows(2.0, QUIET))
    (started, started_s), (paused, paused_s), (stopped, stopped_s) = told
    begin_s, end_s = len(before) * WINDOW_S, (len(before) + len(speech)) * WINDOW_S
    assert (started, paused, stopped) == (Change.STARTED, Change.PAUSED, Change.STOPPED)
    assert started_s == pytest.approx(begin_s + SETTINGS.minimum_speech_s, abs=WINDOW_S)
    assert paused_s == pytest.approx(end_s + PAUSE_S, abs=WINDOW_S)
    assert stopped_s == pytest.approx(end_s + SETTINGS.silence_s, abs=WINDOW_S)
    assert endpointer.speech_from_s == pytest.approx(begin_s)
    assert endpointer.start_s == pytest.approx(begin_s - SETTINGS.prefix_s)
    assert endpointer.last_speech_s == pytest.approx(end_s)
    assert endpointer.end_s == pytest.approx(stopped_s)


def test_a_click_is_no_speech() -> None:
    assert changes(Endpointer(SETTINGS), windows(0.2, LOUD) + windows(3.0, QUIET)) == []


def test_clicks_that_are_far_apart_do_not_add_up_to_speech() -> None:
    assert changes(Endpointer(SETTINGS), 20 * (windows(0.1, LOUD) + windows(1.0, QUIET))) == []


def test_a_pause_shorter_than_the_silence_does_not_end_the_utterance() -> None:
    pausing = windows(0.6, LOUD) + windows(0.4, QUIET)
    found = changes(Endpointer(SETTINGS), 4 * pausing + windows(1.0, QUIET))
    pauses = [Change.PAUSED, Change.WENT_ON] * 3
    assert [change for change, _ in found] == [Change.STARTED, *pauses, Change.PAUSED, Change.STOPPED]


def test_a_gap_within_a_word_is_no_pause() -> None:
    found = changes(Endpointer(SETTINGS), 4 * (windows(0.6, LOUD) + windows(0.15, QUIET)))
    assert [change for change, _ in found] == [Change.STARTED]


def test_a_silence_that_ends_the_utterance_at_once_is_no_pause() -> None:
    found = changes(Endpointer(EndpointingSettings(silence_s=0.1)), windows(0.6, LOUD) + windows(1.0, QUIET))
    assert [change for change, _ in found] == [Change.STARTED, Change.STOPPED]


def test_one_pause_may_be_made_to_last_longer() -> None:
    endpointer = Endpointer(SETTINGS)
    changes(endpointer, windows(0.6, LOUD) + windows(0.3, QUIET))
    endpointer.wait_longer(2.0)
    assert changes(endpointer, windows(1.5, QUIET)) == []
    assert changes(endpointer, windows(0.3, LOUD))[0][0] is Change.WENT_ON
    (_, paused_s), (stopped, stopped_s) = changes(endpointer, windows(1.0, QUIET))
    assert stopped is Change.STOPPED
    assert stopped_s - paused_s == pytest.approx(SETTINGS.silence_s - PAUSE_S, abs=WINDOW_S)


def test_without_a_pause_there_is_nothing_to_wait_for() -> None:
    endpointer = Endpointer(SETTINGS)
    changes(endpointer, windows(0.6, LOUD))
    endpointer.wait_longer(2.0)
    assert changes(endpointer, windows(1.0, QUIET))[-1][0] is Change.STOPPED


def test_where_the_client_marks_utterances_voices_decide_nothing() -> None:
    endpointer = Endpointer(SETTINGS, manual=True)
    assert changes(endpointer, windows(2.0, LOUD)) == []
    assert endpointer.end(2.0) is None
    assert endpointer.begin(2.0) is Change.STARTED
    assert endpointer.begin(2.0) is None
    assert (endpointer.speech_from_s, endpointer.start_s) == (2.0, 2.0 - SETTINGS.prefix_s)
    assert changes(endpointer, windows(3.0, QUIET)) == []
    assert endpointer.end(5.01) is Change.STOPPED
    assert (endpointer.end_s, endpointer.last_speech_s) == (5.01, 5.01)
    assert not endpointer.has_voice


def test_a_marked_utterance_tells_where_its_voice_ends() -> None:
    endpointer = Endpointer(SETTINGS, manual=True)
    endpointer.begin(0.0)
    found = changes(endpointer, windows(0.5, QUIET) + windows(0.1, LOUD) + windows(1.0, QUIET))
    assert [change for change, _ in found] == [Change.PAUSED]
    endpointer.end(1.6)
    assert endpointer.has_voice
    assert endpointer.last_speech_s == pytest.approx(0.6, abs=WINDOW_S)


def test_the_prefix_of_a_mark_never_reaches_into_the_utterance_before() -> None:
    endpointer = Endpointer(SETTINGS, manual=True)
    endpointer.begin(0.0)
    changes(endpointer, windows(1.0, LOUD))
    endpointer.end(0.9)
    endpointer.begin(1.0)
    assert endpointer.start_s == 0.9


def test_marks_mean_nothing_where_voices_decide() -> None:
    endpointer = Endpointer(SETTINGS)
    assert endpointer.begin(0.0) is None
    changes(endpointer, windows(1.0, LOUD))
    assert endpointer.end(1.0) is None
    assert endpointer.speaking


def test_a_marked_utterance_ends_at_its_limit() -> None:
    endpointer = Endpointer(EndpointingSettings(longest_s=5.0), manual=True)
    endpointer.begin(0.0)
    ((change, at_s),) = changes(endpointer, windows(8.0, QUIET))
    assert change is Change.STOPPED
    assert at_s == pytest.approx(5.0, abs=WINDOW_S)
    assert endpointer.was_too_long


@pytest.mark.parametrize(
    ("probability", "seconds", "counts"), [(0.75, 2.0, False), (0.85, 0.4, False), (0.85, 0.6, True)]
)
def test_while_an_echo_may_be_heard_a_voice_must_be_surer_and_last_longer(
    probability: float, seconds: float, counts: bool
) -> None:
    endpointer = Endpointer(SETTINGS)
    endpointer.suppresses = True
    assert bool(changes(endpointer, windows(seconds, probability) + windows(0.2, QUIET))) is counts


def test_suppression_asks_for_no_more_than_can_be_reached() -> None:
    endpointer = Endpointer(EndpointingSettings(threshold=0.9))
    endpointer.suppresses = True
    assert changes(endpointer, windows(1.0, 0.96))[0][0] is Change.STARTED


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("minimum_speech_s", [0.1, 0.25, 1.0])
def test_nothing_is_decided_before_a_voice_has_lasted(manual: bool, minimum_speech_s: float) -> None:
    endpointer = Endpointer(EndpointingSettings(minimum_speech_s=minimum_speech_s), manual=manual)
    assert changes(endpointer, windows(minimum_speech_s - WINDOW_S, LOUD)) == []


def test_speech_goes_on_a_little_below_the_threshold_that_began_it() -> None:
    found = changes(Endpointer(SETTINGS), windows(0.4, 0.55) + windows(3.0, 0.4))
    assert [change for change, _ in found] == [Change.STARTED]
    assert changes(Endpointer(SETTINGS), windows(3.0, 0.4)) == []


def test_the_prefix_never_reaches_into_the_utterance_before() -> None:
    endpointer = Endpointer(EndpointingSettings(prefix_s=2.0))
    changes(endpointer, windows(0.5, LOUD) + windows(0.6, QUIET))
    first_end_s = endpointer.end_s
    changes(endpointer, windows(0.5, LOUD))
    assert endpointer.start_s == pytest.approx(first_end_s)


def test_the_prefix_does_not_reach_before_the_first_sample() -> None:
    endpointer = Endpointer(SETTINGS)
    changes(endpointer, windows(0.5, LOUD))
    assert endpointer.start_s == 0.0


def test_an_utterance_without_end_is_ended_at_its_longest_and_the_next_begins() -> None:
    endpointer = Endpointer(EndpointingSettings(longest_s=5.0))
    found = changes(endpointer, windows(11.0, LOUD))
    kinds = [change for change, _ in found]
    assert kinds == [Change.STARTED, Change.STOPPED, Change.STARTED, Change.STOPPED, Change.STARTED]
    assert found[1][1] == pytest.approx(5.0, abs=WINDOW_S)
    assert endpointer.start_s == pytest.approx(endpointer.end_s)


def test_when_the_microphone_is_gone_what_was_being_said_ends_there() -> None:
    endpointer = Endpointer(SETTINGS)
    changes(endpointer, windows(0.6, LOUD))
    assert endpointer.stop() is Change.STOPPED
    assert endpointer.stop() is None


def test_when_the_microphone_is_gone_in_a_click_there_was_no_utterance() -> None:
    endpointer = Endpointer(SETTINGS)
    changes(endpointer, windows(0.1, LOUD))
    assert endpointer.stop() is None


@pytest.mark.parametrize("seed", range(100))
def test_starts_and_stops_alternate_and_utterances_do_not_overlap(seed: int) -> None:
    chance = random.Random(seed)
    endpointer = Endpointer(EndpointingSettings(longest_s=8.0))
    speaking, last_end_s = False, 0.0
    for _ in range(1_000):
        change = endpointer.push(chance.choice([0.0, 0.3, 0.45, 0.6, 1.0]) if chance.random() < 0.7 else 0.0)
        if change is Change.STARTED:
            assert not speaking
            assert last_end_s <= endpointer.start_s <= endpointer.speech_from_s
        elif change is Change.STOPPED:
            assert speaking
            assert endpointer.start_s < endpointer.last_speech_s <= endpointer.end_s
            assert endpointer.end_s - endpointer.start_s <= 8.0 + WINDOW_S
            last_end_s = endpointer.end_s
        speaking = endpointer.speaking
