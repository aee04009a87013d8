"""Sentences to voice."""

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_service.channel import Channel
from avatar_service.engines.base import Voice
from avatar_service.errors import EngineError, EngineRejected, EngineUnavailable
from avatar_service.media.heard import CUT_OFF_S, Spoken
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.speak import CUTS, SpeechOutput, VoiceFork, speak
from avatar_service.timings import Timings
from tests.fakes.speech import FakeSpeech
from tests.unit.stages.collecting import closed_channel

VOICE = Voice("rachel", "model")
TIMELINE = Timeline(24_000, Fraction(25))
SENTENCES = ["The moon is near.", "It is round."]


class Listener:
    """What speaking tells: when a sentence is about to be heard, and what failed."""

    def __init__(self) -> None:
        self.spoken = Spoken()
        self.failures: list[EngineError] = []
        self.kept: list[tuple[int, str]] = []
        """Sentences and words so far, each time a sentence's voice was about to go out."""

    async def before_sentence(self) -> None:
        self.kept.append((len(self.spoken.sentences), "".join(word.text for word in self.spoken.told)))

    async def on_failure(self, error: EngineError) -> None:
        self.failures.append(error)


async def say(
    speech: FakeSpeech,
    sentences: list[str],
    outputs: Sequence[SpeechOutput],
    listener: Listener | None = None,
    timings: Timings | None = None,
) -> None:
    listener = listener or Listener()
    inputs = await closed_channel(sentences)
    told = (listener.before_sentence, listener.on_failure)
    await speak(inputs, speech, VOICE, outputs, listener.spoken, timings or Timings(), *told)


async def spoken_by(
    speech: FakeSpeech, sentences: list[str], listener: Listener | None = None
) -> tuple[list[SpeechChunk], list[SpeechChunk], Spoken]:
    """What both outputs got, and where the words lie."""
    audio, to_animate = Channel[SpeechChunk]("audio", 1_000), Channel[SpeechChunk]("to_animate", 1_000)
    listener = listener or Listener()
    await say(speech, sentences, (SpeechOutput(audio, TIMELINE), SpeechOutput(to_animate, TIMELINE)), listener)
    return [chunk async for chunk in audio], [chunk async for chunk in to_animate], listener.spoken


def joined(chunks: list[SpeechChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


async def test_the_sentences_follow_each_other_without_a_gap_in_chunks_of_a_frames_time() -> None:
    speech = FakeSpeech()
    chunks, animated, _ = await spoken_by(speech, SENTENCES)
    voice = b"".join(map(speech.voice_of, SENTENCES))
    joined = b"".join(chunk.pcm for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert {len(chunk.pcm) for chunk in chunks} == {1_920}
    assert joined[: len(voice)] == voice
    assert not any(joined[len(voice) :])
    assert animated == chunks


async def test_it_notes_where_each_word_lies() -> None:
    _, _, spoken = await spoken_by(FakeSpeech(), SENTENCES)
    assert spoken.sentences == SENTENCES
    assert [word.text for word in spoken.words] == ["The ", "moon ", "is ", "near. ", "It ", "is ", "round. "]
    starts = [sum(map(len, SENTENCES[0].split()[:count])) + count for count in range(4)] + [17, 20, 23]
    assert [word.start_s for word in spoken.words] == pytest.approx([0.05 * start for start in starts])
    assert spoken.words[-1].end_s == pytest.approx(0.05 * 29)
    assert not any(word.estimated for word in spoken.words)


async def test_before_a_sentence_is_heard_its_first_words_are_noted_and_whoever_keeps_them_is_waited_for() -> None:
    audio, listener = Channel[SpeechChunk]("audio", 1_000), Listener()
    sent_before: list[int] = []

    async def keep() -> None:
        await asyncio.sleep(0.5)
        sent_before.append(len(audio))
        await Listener.before_sentence(listener)

    listener.before_sentence = keep  # type: ignore[method-assign]  # the one thing that differs
    await say(FakeSpeech(piece_ms=400), SENTENCES, (SpeechOutput(audio, TIMELINE),), listener)
    first_s = 0.05 * len(SENTENCES[0])
    assert sent_before == [0, int(first_s / 0.04)]
    assert listener.kept == [(1, "The moon "), (2, "The moon is near. It is ")]


async def test_each_request_knows_the_sentence_before_it() -> None:
    speech = FakeSpeech()
    await spoken_by(speech, SENTENCES)
    assert speech.requests == [(SENTENCES[0], ""), (SENTENCES[1], SENTENCES[0])]
    assert speech.asked_for == [VOICE, VOICE]


async def test_time_in_which_nobody_took_the_voice_is_not_the_vendors() -> None:
    audio, timings = Channel[SpeechChunk]("audio", 1), Timings()
    speech = FakeSpeech(ttfb_s=0.5, rate=2.0)

    async def take_slowly() -> None:
        async for _ in audio:
            await asyncio.sleep(1.0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take_slowly())
        await say(speech, SENTENCES[:1], (SpeechOutput(audio, TIMELINE),), timings=timings)
    assert timings.speech_s == pytest.approx(0.5 + len(SENTENCES[0]) * 0.05 / 2.0, abs=0.01)


GONE = EngineUnavailable("speak", "fake", "gone")
FIRST, SECOND = SENTENCES


@pytest.mark.parametrize(
    ("error", "aligned", "failures", "requests"),
    [
        (GONE, False, 0, 2),
        (EngineRejected("speak", "fake", "no"), True, 0, 2),
        (GONE, True, CUTS, 2 + CUTS),
    ],
    ids=["without times", "not to be mended", "again and again"],
)
async def test_a_failure_closes_the_outputs_after_what_was_said(
    error: EngineError, aligned: bool, failures: int, requests: int
) -> None:
    speech = FakeSpeech(error=error, fails_on="round", error_after_s=0.1, aligned=aligned)
    audio, listener = Channel[SpeechChunk]("audio", 1_000), Listener()
    with pytest.raises(type(error)):
        await say(speech, SENTENCES, (SpeechOutput(audio, TIMELINE),), listener)
    chunks = [chunk async for chunk in audio]
    assert len(chunks) == int((len(FIRST) * 0.05 + (1 + failures) * 0.1) / 0.04 + 1e-6)
    assert (len(listener.failures), len(speech.requests)) == (failures, requests)
    assert speech.running == 0


@pytest.mark.parametrize("said_s", [0.04, 0.1, 0.26, 0.46])
async def test_a_voice_that_breaks_off_goes_on_with_its_first_unsaid_word_without_a_gap(said_s: float) -> None:
    speech = FakeSpeech(error=GONE, fails_on="round", error_after_s=said_s, fails=1)
    listener = Listener()
    chunks, animated, spoken = await spoken_by(speech, [*SENTENCES, FIRST], listener)

    rest = {0.04: SECOND, 0.1: "is round.", 0.26: "round.", 0.46: "round."}[said_s]
    said = SECOND.removesuffix(rest).rstrip()
    before = f"{FIRST} {said}" if said else FIRST
    assert speech.requests == [(FIRST, ""), (SECOND, FIRST), (rest, before), (FIRST, SECOND)]
    cut = 2 * round(said_s * 24_000)
    voice = [speech.voice_of(FIRST), speech.voice_of(SECOND)[:cut], speech.voice_of(rest), speech.voice_of(FIRST)]
    assert joined(chunks)[: sum(map(len, voice))] == b"".join(voice)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert animated == chunks
    assert listener.failures == [GONE]
    assert "".join(word.text for word in spoken.words) == f"{FIRST} {SECOND} {FIRST} "
    going_on_s = 0.05 * len(FIRST) + said_s
    resumed = spoken.words[4 + len(said.split())]
    assert resumed.text.strip() == rest.split()[0]
    assert resumed.start_s == pytest.approx(going_on_s, abs=CUT_OFF_S)
    assert spoken.words[7].start_s == pytest.approx(going_on_s + 0.05 * len(rest))


async def test_a_voice_that_breaks_off_behind_its_last_word_is_whole() -> None:
    speech = FakeSpeech(error=GONE, fails_on="round", error_after_s=0.58, fails=1)
    _, _, spoken = await spoken_by(speech, [SECOND, FIRST])
    assert speech.requests == [(SECOND, ""), (FIRST, SECOND)]
    assert spoken.words[2].end_s == pytest.approx(0.58, abs=0.001)


async def test_cancelling_closes_the_vendors_stream_also_while_nobody_takes_the_voice() -> None:
    speech, audio = FakeSpeech(), Channel[SpeechChunk]("audio", 1)
    speaking = asyncio.create_task(say(speech, SENTENCES, (SpeechOutput(audio, TIMELINE),)))
    await asyncio.sleep(1.0)
    assert speech.running == 1
    speaking.cancel()
    await asyncio.wait({speaking})
    assert speech.running == 0


async def test_of_no_sentences_there_is_no_voice() -> None:
    chunks, animated, spoken = await spoken_by(FakeSpeech(), [])
    assert not [*chunks, *animated, *spoken.words]


async def forked(
    pcm: bytes, rate_hz: int, timelines: list[Timeline], cuts: list[int], delay_s: float = 0.0
) -> list[list[SpeechChunk]]:
    """What each output gets of one voice that comes in pieces."""
    outputs = [SpeechOutput(Channel[SpeechChunk]("output", 10_000), timeline, delay_s) for timeline in timelines]
    fork = VoiceFork(rate_hz, outputs)
    ends = sorted(2 * min(cut, len(pcm) // 2) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(pcm)], strict=True):
        await fork.push(pcm[start:end])
    assert fork.received_s == len(pcm) / 2 / rate_hz
    await fork.finish()
    fork.close()
    return [[chunk async for chunk in output.channel] for output in outputs]


RATES_HZ = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]
FRAME_RATES = [Fraction(25), Fraction(30_000, 1_001), Fraction(24_000, 1_001), Fraction(10), Fraction(50), Fraction(60)]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(RATES_HZ),
    st.lists(st.sampled_from(RATES_HZ), min_size=1, max_size=3),
    st.sampled_from(FRAME_RATES),
    st.integers(0, 6_000),
    st.lists(st.integers(0, 6_000), max_size=8),
    st.sampled_from([0.0, 0.0065]),
)
def test_every_output_has_the_chunks_that_the_voice_as_it_came_lasts(
    rate_hz: int, rates_hz: list[int], fps: Fraction, samples: int, cuts: list[int], delay_s: float
) -> None:
    voice = np.full(samples, 1_000, np.int16).tobytes()
    timelines = [Timeline(rate, fps) for rate in rates_hz]
    outputs = asyncio.run(forked(voice, rate_hz, timelines, cuts, delay_s))
    duration = Fraction(samples + ceil(delay_s * rate_hz) if samples else 0, rate_hz)
    for timeline, chunks in zip(timelines, outputs, strict=True):
        assert [chunk.index for chunk in chunks] == list(range(ceil(duration * fps)))
        assert [len(chunk.pcm) // 2 for chunk in chunks] == [timeline.chunk_samples(chunk.index) for chunk in chunks]
        heard = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), np.int16)
        # The voice up to its last sample, and silence behind; at other rates it begins and ends with the filter's ring.
        end = round(Fraction(samples, rate_hz) * timeline.rate_hz)
        ring = 0 if timeline.rate_hz == rate_hz else timeline.rate_hz * 50 // min(timeline.rate_hz, rate_hz)
        assert (heard[ring : max(ring, end - ring)] == 1_000).all()
        assert not heard[end + 1 :].any()


async def test_an_impulse_is_in_the_same_chunk_and_place_of_every_output() -> None:
    voice = np.zeros(24_000, np.int16)
    voice[13_579] = 30_000
    fps = Fraction(30_000, 1_001)
    timelines = [Timeline(rate_hz, fps) for rate_hz in RATES_HZ]
    for timeline, chunks in zip(timelines, await forked(voice.tobytes(), 24_000, timelines, [1, 5_000]), strict=True):
        heard = np.frombuffer(b"".join(chunk.pcm for chunk in chunks), np.int16).astype(int)
        assert abs(int(np.argmax(np.abs(heard))) - 13_579 * timeline.rate_hz / 24_000) <= 1


async def test_a_long_piece_keeps_no_output_waiting_for_another_that_is_full() -> None:
    audio, to_animate = Channel[SpeechChunk]("audio", 4), Channel[SpeechChunk]("to_animate", 1_000)
    fork = VoiceFork(24_000, (SpeechOutput(audio, TIMELINE), SpeechOutput(to_animate, TIMELINE)))
    pushing = asyncio.create_task(fork.push(bytes(2 * 24_000)))
    await asyncio.sleep(1.0)
    assert (len(audio), len(to_animate)) == (4, 4)
    pushing.cancel()
    await asyncio.wait({pushing})


def test_outputs_of_different_frame_rates_are_refused() -> None:
    outputs = [SpeechOutput(Channel("output", 1), Timeline(24_000, Fraction(fps))) for fps in (25, 30)]
    with pytest.raises(ValueError, match="same frame rate"):
        VoiceFork(24_000, outputs)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
async def test_the_lips_get_the_voice_itself_and_the_client_its_own_rate(rate_hz: int) -> None:
    speech = FakeSpeech()
    client = Timeline(rate_hz, Fraction(25))
    audio, to_animate = Channel[SpeechChunk]("audio", 1_000), Channel[SpeechChunk]("to_animate", 1_000)
    listener = Listener()
    await say(speech, SENTENCES, (SpeechOutput(audio, client), SpeechOutput(to_animate, TIMELINE)), listener)
    voice = b"".join(map(speech.voice_of, SENTENCES))
    assert b"".join([chunk.pcm async for chunk in to_animate])[: len(voice)] == voice
    assert {len(chunk.pcm) async for chunk in audio} == {2 * rate_hz // 25}
    assert [listener.spoken.words[index].end_s for index in (3, 6)] == pytest.approx([0.85, 1.45])


async def test_a_sentence_without_any_voice_lies_where_it_would_have_been_and_moves_nothing() -> None:
    speech = FakeSpeech()
    silent = FakeSpeech(seconds_per_character=0.0)
    chunks, _, spoken = await spoken_by(silent, SENTENCES)
    assert chunks == []
    assert [(word.start_s, word.end_s) for word in spoken.words] == [(0.0, 0.0)] * 7
    assert (await spoken_by(speech, ["Go."]))[2].words[0].end_s == pytest.approx(0.15)
