"""The user's audio to utterances."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service import clock
from avatar_service.events import AudioReceived, SpeechStarted, SpeechStopped
from avatar_service.media.types import Utterance
from avatar_service.stages.endpointing import EndpointingSettings
from avatar_service.stages.listen import RESET_AFTER_S, Listener
from tests.fakes.voice_activity import FULL_SCALE, FakeDetector, pcm_of_probability
from tests.unit.stages.collecting import Events, closed_channel

WINDOW_S = 0.032


class Heard:
    """A listener over a recording, and what it told."""

    def __init__(self, rate_hz: int = 16_000, settings: EndpointingSettings | None = None) -> None:
        self.rate_hz = rate_hz
        self.detector = FakeDetector()
        self.out = Events()
        self.started: list[int] = []
        self.utterances: list[Utterance] = []
        self.ended_at_s: list[float] = []
        self.listener = Listener(
            rate_hz, self.detector, settings or EndpointingSettings(), self.out, self._began, self._ended
        )

    async def _began(self, utterance_id: int) -> None:
        self.started.append(utterance_id)

    async def _ended(self, utterance: Utterance, ended_at_s: float) -> None:
        self.utterances.append(utterance)
        self.ended_at_s.append(ended_at_s)

    async def hear(self, *stretches: tuple[float, float], piece: int = 320) -> "Heard":
        """Listen to stretches of (probability of speech, seconds) in pieces of `piece` samples."""
        pcm = b"".join(pcm_of_probability(probability, seconds, self.rate_hz) for probability, seconds in stretches)
        return await self.take([pcm[begin : begin + 2 * piece] for begin in range(0, len(pcm), 2 * piece)])

    async def take(self, pieces: list[bytes]) -> "Heard":
        """Listen to these pieces."""
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
async def test_the_last_sound_before_the_audio_ends_is_in_the_utterance_and_acknowledged(
    rate_hz: int, seconds: float
) -> None:
    samples = round(seconds * rate_hz)
    heard = await Heard(rate_hz).hear((0.0, 1.3), (1.0, samples / rate_hz))
    (utterance,) = heard.utterances
    loud = np.abs(np.frombuffer(utterance.pcm, np.int16).astype(int)) > FULL_SCALE / 2
    assert np.count_nonzero(loud) / 16_000 == pytest.approx(seconds, abs=0.001)
    assert len(utterance.pcm) / 32_000 <= 0.3 + seconds + 2 * WINDOW_S
    received = [event.offset_s for event in heard.out.sent if isinstance(event, AudioReceived)]
    assert received == sorted(received)
    assert received[-1] == pytest.approx(1.3 + seconds, abs=0.000_2)


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
