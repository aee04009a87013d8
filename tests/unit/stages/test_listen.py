"""The user's audio to utterances."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service import clock, metrics
from avatar_service.channel import Channel
from avatar_service.events import AudioReceived, Notice, SpeechStarted, SpeechStopped
from avatar_service.media.types import Utterance
from avatar_service.stages.endpointing import EndpointingSettings
from avatar_service.stages.listen import RESET_AFTER_S, Listener, UtteranceMark
from tests.fakes.voice_activity import FULL_SCALE, FakeDetector, pcm_of_probability
from tests.unit.stages.collecting import Events, closed_channel

WINDOW_S = 0.032
BEGIN, END = UtteranceMark.BEGIN, UtteranceMark.END


def unmarked_s() -> float:
    """What the process has dropped outside of marks so far."""
    return metrics.REGISTRY.get_sample_value("avatar_unmarked_audio_seconds_total") or 0.0


class Heard:
    """A listener over a recording, and what it told."""

    def __init__(self, rate_hz: int = 16_000, settings: EndpointingSettings | None = None, **before: Any) -> None:
        self.rate_hz = rate_hz
        self.detector = FakeDetector()
        self.out = Events()
        self.started: list[int] = []
        self.utterances: list[Utterance] = []
        self.has_voice: list[bool] = []
        self.ended_at_s: list[float] = []
        self.acknowledged_s: list[float] = []
        self.listener = Listener(
            rate_hz, self.detector, settings or EndpointingSettings(), self.out, self._began, self._ended, **before
        )

    async def _began(self, utterance_id: int) -> None:
        self.started.append(utterance_id)
        told = [event.offset_s for event in self.out.sent if isinstance(event, AudioReceived)]
        self.acknowledged_s.append(told[-1] if told else 0.0)

    async def _ended(self, utterance: Utterance, ended_at_s: float) -> None:
        self.utterances.append(utterance)
        self.has_voice.append(self.listener.has_voice)
        self.ended_at_s.append(ended_at_s)

    async def hear(self, *stretches: tuple[float, float], piece: int = 320) -> "Heard":
        """Listen to stretches of (probability of speech, seconds) in pieces of `piece` samples."""
        pcm = b"".join(pcm_of_probability(probability, seconds, self.rate_hz) for probability, seconds in stretches)
        return await self.take([pcm[begin : begin + 2 * piece] for begin in range(0, len(pcm), 2 * piece)])

    async def take(self, pieces: Sequence[bytes | UtteranceMark]) -> "Heard":
        """Listen to these pieces, and marks between them."""
        await self.listener.listen(await closed_channel(pieces))
        return self


async def test_an_utterance_holds_its_speech_the_prefix_and_the_closing_silence() -> None:
    heard = await Heard().hear((0.0, 1.0), (1.0, 1.0), (0.0, 1.5))
    (utterance,) = heard.utterances
    assert heard.started == [utterance.utterance_id] == [1]
    assert len(utterance.pcm) / 32_000 == pytest.approx(0.3 + 1.0 + 0.5, abs=2 * WINDOW_S)
    loud = utterance.pcm.count(FULL_SCALE.to_bytes(2, "little")) / 16_000
    assert loud == pytest.approx(1.0, abs=WINDOW_S)
    first_loud_s = utterance.pcm.index(FULL_SCALE.to_bytes(2, "little")) / 32_000
    assert first_loud_s == pytest.approx(0.3, abs=WINDOW_S)


async def test_offsets_tell_where_the_voice_lies_in_the_received_audio() -> None:
    heard = await Heard().hear((0.0, 1.0), (1.0, 1.0), (0.0, 1.5))
    (started,) = [event for event in heard.out.sent if isinstance(event, SpeechStarted)]
    (stopped,) = [event for event in heard.out.sent if isinstance(event, SpeechStopped)]
    assert started.offset_s == pytest.approx(1.0, abs=WINDOW_S)
    assert stopped.offset_s == pytest.approx(2.0, abs=WINDOW_S)
    assert (heard.utterances[0].start_s, heard.utterances[0].end_s) == (started.offset_s, stopped.offset_s)


@pytest.mark.parametrize("piece", [1, 160, 511, 512, 1_600, 100_000])
async def test_it_hears_the_same_in_pieces_of_any_size(piece: int) -> None:
    stretches = ((0.0, 0.5), (1.0, 0.6), (0.0, 0.7), (0.9, 0.4), (0.1, 0.6))
    whole, cut = await Heard().hear(*stretches), await Heard().hear(*stretches, piece=piece)
    assert cut.utterances == whole.utterances
    assert len(whole.utterances) == 2
    told = [event for event in whole.out.sent if not isinstance(event, AudioReceived)]
    assert [event for event in cut.out.sent if not isinstance(event, AudioReceived)] == told


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 44_100, 48_000])
async def test_any_rate_is_listened_to_at_16_khz(rate_hz: int) -> None:
    heard = await Heard(rate_hz).hear((0.0, 1.0), (1.0, 1.0), (0.0, 1.5), piece=rate_hz // 50)
    (utterance,) = heard.utterances
    assert utterance.rate_hz == 16_000
    assert utterance.start_s == pytest.approx(1.0, abs=WINDOW_S)
    assert heard.detector.windows == pytest.approx(3.5 / WINDOW_S, abs=1)


async def test_audio_is_acknowledged_at_least_every_second_and_at_the_end() -> None:
    heard = await Heard().hear((0.0, 3.3))
    offsets_s = [event.offset_s for event in heard.out.sent if isinstance(event, AudioReceived)]
    steps = [after - before for before, after in zip([0.0, *offsets_s], offsets_s, strict=False)]
    assert max(steps) <= 1.0 + 2 * WINDOW_S
    assert offsets_s[-1] == pytest.approx(3.3)


async def test_what_is_being_said_when_the_audio_ends_is_an_utterance() -> None:
    heard = await Heard().hear((0.0, 0.3), (1.0, 0.7))
    assert len(heard.utterances) == 1


async def test_words_that_come_with_pauses_between_them_are_all_in_the_utterance() -> None:
    # Seven sounds of one window each are not yet speech; with the eighth they are, and the first lies 3 s back.
    sounds = [(1.0, WINDOW_S), (0.0, 12 * WINDOW_S)] * 7
    heard = await Heard().hear((0.0, 40 * WINDOW_S), *sounds, (1.0, 4 * WINDOW_S), (0.0, 1.0))
    (utterance,) = heard.utterances
    loud = np.frombuffer(utterance.pcm, np.int16) == FULL_SCALE
    assert np.count_nonzero(loud) == (7 + 4) * 512
    assert np.flatnonzero(loud)[0] / 16_000 == pytest.approx(0.3, abs=0.001)
    assert utterance.start_s == pytest.approx(40 * WINDOW_S)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("seconds", [0.7, 0.71, 0.72, 3.017])
async def test_the_last_sound_before_the_audio_ends_is_in_the_utterance(rate_hz: int, seconds: float) -> None:
    samples = round(seconds * rate_hz)
    heard = await Heard(rate_hz).hear((0.0, 1.3), (1.0, samples / rate_hz))
    (utterance,) = heard.utterances
    loud = np.abs(np.frombuffer(utterance.pcm, np.int16).astype(int)) > FULL_SCALE / 2
    assert np.count_nonzero(loud) / 16_000 == pytest.approx(seconds, abs=0.001)
    assert len(utterance.pcm) / 32_000 <= 0.3 + seconds + 2 * WINDOW_S


async def test_audio_of_an_utterance_is_acknowledged_once_its_words_are_known() -> None:
    heard = Heard()
    await heard.hear((0.0, 1.3), (1.0, 2.0), (0.0, 3.0))
    received = [event.offset_s for event in heard.out.sent if isinstance(event, AudioReceived)]
    assert received == sorted(received)
    assert received[-1] == heard.listener.acknowledged_s == pytest.approx(1.0, abs=WINDOW_S)
    heard.listener.settled(1)
    await heard.hear((0.0, 2.0))
    assert heard.listener.acknowledged_s == pytest.approx(8.3, abs=2 * WINDOW_S)


async def test_silence_makes_the_detector_forget_and_speech_does_not() -> None:
    assert (await Heard().hear((0.0, 3 * RESET_AFTER_S + 0.5))).detector.resets == 3
    assert (await Heard().hear((1.0, 3 * RESET_AFTER_S))).detector.resets == 0


async def test_no_more_is_kept_than_an_utterance_may_need() -> None:
    heard = Heard()
    await heard.hear((0.0, 120.0))
    settings = EndpointingSettings()
    needed_s = settings.prefix_s + settings.minimum_speech_s + settings.silence_s
    assert len(heard.listener._kept) / 32_000 <= needed_s + 2 * WINDOW_S


async def test_two_utterances_do_not_share_any_sound() -> None:
    heard = await Heard(settings=EndpointingSettings(prefix_s=2.0)).hear((1.0, 0.5), (0.0, 0.6), (1.0, 0.5), (0.0, 0.6))
    first, second = heard.utterances
    assert len(first.pcm) + len(second.pcm) <= 2.2 * 32_000


async def test_the_moment_of_the_last_sound_lies_the_silence_before_the_decision() -> None:
    heard = await Heard().hear((1.0, 1.0), (0.0, 0.7))
    assert clock.now() - heard.ended_at_s[0] == pytest.approx(0.5, abs=2 * WINDOW_S)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 20_000)), min_size=1, max_size=10),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([0.0, 0.1, 0.25]),
    st.sampled_from([0.1, 0.5]),
    st.integers(200, 4_000),
)
def test_utterances_are_stretches_of_the_audio_that_never_overlap_and_leave_no_speech_out(
    stretches: list[tuple[bool, int]], prefix_s: float, minimum_speech_s: float, silence_s: float, piece: int
) -> None:
    loud = np.concatenate([np.full(samples, speaks) for speaks, samples in stretches])
    tag = np.arange(len(loud)) % 2_767  # so that a stretch is not taken for the one before
    audio = np.where(loud, 30_000 + tag, tag // 10).astype(np.int16)
    endpointing = EndpointingSettings(
        prefix_s=prefix_s, minimum_speech_s=minimum_speech_s, silence_s=silence_s, longest_s=3.0
    )
    heard = Heard(settings=endpointing)
    asyncio.run(heard.take([audio[begin : begin + piece].tobytes() for begin in range(0, len(audio), piece)]))
    padded = audio.tobytes() + bytes(2 * 512)
    covered = np.zeros(len(audio), bool)
    end = 0
    for utterance in heard.utterances:
        begin = padded.find(utterance.pcm, end)
        assert begin >= end
        end = begin + len(utterance.pcm)
        covered[begin // 2 : end // 2] = True
    for speech, end_sample in zip(stretches, np.cumsum([samples for _, samples in stretches]), strict=True):
        # What is left out is shorter than speech must be, but for the windows at both edges.
        left_out = np.count_nonzero(~covered[end_sample - speech[1] : end_sample])
        assert not speech[0] or left_out <= 16_000 * minimum_speech_s + 3 * 512


async def test_a_voice_that_may_become_an_utterance_is_not_acknowledged_with_its_prefix() -> None:
    heard = await Heard().hear((0.0, 1.0), (1.0, 0.1), piece=17_600)
    (received, *_) = [event for event in heard.out.sent if isinstance(event, AudioReceived)]
    assert received.offset_s == pytest.approx(1.0 - 0.3, abs=2 * WINDOW_S)


async def test_no_utterance_ever_begins_in_audio_that_was_acknowledged() -> None:
    heard = Heard()
    await heard.hear((0.0, 1.05), (1.0, 1.0), (0.0, 0.62), (1.0, 1.0), (0.0, 3.0), piece=1_600)
    for utterance, acknowledged_s in zip(heard.utterances, heard.acknowledged_s, strict=True):
        assert acknowledged_s <= utterance.start_s - 0.3 + WINDOW_S


async def test_offsets_and_ids_go_on_where_a_session_before_was_cut() -> None:
    heard = await Heard(heard_s=100.0, utterances=7).hear((0.0, 1.0), (1.0, 1.0), (0.0, 1.5))
    assert heard.started == [8]
    started, stopped, *_ = [event for event in heard.out.sent if not isinstance(event, AudioReceived)]
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert started.utterance_id == stopped.utterance_id == 8
    assert started.offset_s == pytest.approx(101.0, abs=WINDOW_S)
    assert stopped.offset_s == pytest.approx(102.0, abs=WINDOW_S)
    assert len(heard.utterances[0].pcm) / 32_000 == pytest.approx(1.8, abs=2 * WINDOW_S)
    received = [event.offset_s for event in heard.out.sent if isinstance(event, AudioReceived)]
    assert all(100.0 < offset_s < 101.0 for offset_s in received)
    heard.listener.settled(8)
    assert heard.listener.acknowledged_s == pytest.approx(103.5)


async def test_a_marked_utterance_is_what_lies_between_its_marks_and_the_prefix() -> None:
    heard = Heard(manual=True)
    pcm = np.arange(4 * 16_000).astype(np.int16)
    await heard.take([pcm[:20_001].tobytes(), BEGIN, pcm[20_001:40_003].tobytes(), END, pcm[40_003:].tobytes()])
    (utterance,) = heard.utterances
    assert utterance.pcm == pcm[20_001 - 4_800 : 40_003].tobytes()
    assert utterance.start_s == pytest.approx(20_001 / 16_000)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("piece", [1, 333, 1_600, 100_000])
async def test_marked_utterances_are_the_same_in_pieces_of_any_size(rate_hz: int, piece: int) -> None:
    stretches = [[(0.0, 0.71)], [(0.2, 0.4), (1.0, 0.503), (0.1, 0.3)], [(1.0, 0.2)], [(0.6, 0.9)], [(0.0, 0.4)]]
    if piece == 1 and rate_hz != 16_000:
        piece = 7  # a resampler is slow on single samples
    told = []
    for size in (100_000, piece):
        heard, items = Heard(rate_hz, manual=True), list[bytes | UtteranceMark]()
        for parts, mark in zip(stretches, [BEGIN, END, BEGIN, END, None], strict=True):
            pcm = b"".join(pcm_of_probability(probability, seconds, rate_hz) for probability, seconds in parts)
            items += [pcm[begin : begin + 2 * size] for begin in range(0, len(pcm), 2 * size)]
            items += [mark] if mark else []
        await heard.take(items)
        events = [event for event in heard.out.sent if not isinstance(event, AudioReceived)]
        told.append((heard.utterances, heard.has_voice, events))
    assert told[0] == told[1]
    assert told[0][1] == [True, True]


async def test_a_mark_that_fits_nothing_is_told_and_changes_nothing() -> None:
    voice = pcm_of_probability(1.0, 1.0)
    heard = await Heard(manual=True).take([END, BEGIN, voice, BEGIN, voice, END, END])
    assert len(heard.utterances) == 1
    assert len(heard.utterances[0].pcm) == 2 * len(voice)
    notices = [event for event in heard.out.sent if isinstance(event, Notice)]
    assert [notice.reason for notice in notices] == ["REQUEST_IGNORED"] * 3
    assert [notice.message.partition(":")[0] for notice in notices] == [
        "utterance_ended",
        "utterance_started",
        "utterance_ended",
    ]


async def test_where_the_server_decides_marks_are_told_to_be_ignored() -> None:
    silence = bytes(32_000)
    heard = await Heard().take([silence, BEGIN, pcm_of_probability(1.0, 1.0), END, silence])
    assert len(heard.utterances) == 1
    assert [event.reason for event in heard.out.sent if isinstance(event, Notice)] == ["REQUEST_IGNORED"] * 2


async def test_a_marked_utterance_that_is_too_long_is_ended_and_the_rest_up_to_its_mark_is_dropped() -> None:
    heard, before_s = Heard(settings=EndpointingSettings(longest_s=2.0), manual=True), unmarked_s()
    voice = pcm_of_probability(1.0, 1.0)
    await heard.take([BEGIN, voice, voice, voice, END, BEGIN, voice, END])
    first, second = heard.utterances
    assert len(first.pcm) / 32_000 == pytest.approx(2.0, abs=WINDOW_S)
    assert len(second.pcm) / 32_000 == pytest.approx(1.3, abs=WINDOW_S)
    (notice,) = [event for event in heard.out.sent if isinstance(event, Notice)]
    assert (notice.reason, notice.utterance_id) == ("UTTERANCE_TOO_LONG", 1)
    assert unmarked_s() - before_s == pytest.approx(0.7, abs=2 * WINDOW_S)


async def test_one_that_is_too_long_where_the_server_decides_goes_on_as_the_next() -> None:
    heard = await Heard(settings=EndpointingSettings(longest_s=2.0)).hear((1.0, 3.0), (0.0, 1.0))
    assert [len(utterance.pcm) / 32_000 for utterance in heard.utterances] == [
        pytest.approx(2.0, abs=WINDOW_S),
        pytest.approx(1.5, abs=2 * WINDOW_S),
    ]
    (notice,) = [event for event in heard.out.sent if isinstance(event, Notice)]
    assert (notice.reason, notice.utterance_id) == ("UTTERANCE_TOO_LONG", 1)


async def test_an_open_marked_utterance_ends_with_the_audio_to_the_last_sample() -> None:
    heard = await Heard(manual=True).take([BEGIN, pcm_of_probability(1.0, 1.001)])
    assert len(heard.utterances[0].pcm) == 2 * 16_016


async def test_silence_outside_of_marks_is_not_kept() -> None:
    heard = await Heard(manual=True).hear((1.0, 60.0))
    assert len(heard.listener._kept) / 32_000 <= 0.3 + 2 * WINDOW_S
    assert heard.utterances == []


@pytest.mark.parametrize("manual", [False, True])
async def test_a_change_of_mode_ends_the_utterance_that_is_open(manual: bool) -> None:
    heard = Heard(manual=manual)
    voice = pcm_of_probability(1.0, 1.0)
    channel = Channel[bytes | UtteranceMark]("input", 10)
    before: list[bytes | UtteranceMark] = [BEGIN, voice] if manual else [voice]
    after: list[bytes | UtteranceMark] = [voice, bytes(32_000)] if manual else [BEGIN, voice, END]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(heard.listener.listen(channel))
        for item in before:
            await channel.send(item)
        await asyncio.sleep(0.01)
        heard.listener.configure(EndpointingSettings(), manual=not manual)
        for item in after:
            await channel.send(item)
        channel.close()
    assert len(heard.utterances) == 2
    assert b"".join(utterance.pcm for utterance in heard.utterances)[: 2 * len(voice)] == 2 * voice
    assert [event for event in heard.out.sent if isinstance(event, Notice)] == []
