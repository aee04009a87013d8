"""Sentences to voice."""

import asyncio
from fractions import Fraction

import pytest

from avatar_service.channel import Channel
from avatar_service.engines.base import Voice
from avatar_service.errors import EngineUnavailable
from avatar_service.media.heard import SpokenSentence
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.speak import speak
from avatar_service.timings import Timings
from tests.fakes.speech import FakeSpeech
from tests.unit.stages.collecting import closed_channel

VOICE = Voice("rachel", "model")
TIMELINE = Timeline(24_000, Fraction(25))
SENTENCES = ["The moon is near.", "It is round."]


async def spoken_by(
    speech: FakeSpeech, sentences: list[str], timings: Timings | None = None
) -> tuple[list[SpeechChunk], list[SpeechChunk], list[SpokenSentence]]:
    """What both outputs got, and where the sentences lie."""
    audio, to_animate = Channel[SpeechChunk]("audio", 1_000), Channel[SpeechChunk]("to_animate", 1_000)
    spoken: list[SpokenSentence] = []
    inputs = await closed_channel(sentences)
    await speak(inputs, speech, VOICE, TIMELINE, (audio, to_animate), spoken, timings or Timings())
    return [chunk async for chunk in audio], [chunk async for chunk in to_animate], spoken


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


async def test_it_notes_where_each_sentence_lies() -> None:
    _, _, spoken = await spoken_by(FakeSpeech(), SENTENCES)
    first_s, second_s = (len(sentence) * 0.05 for sentence in SENTENCES)
    assert [sentence.text for sentence in spoken] == SENTENCES
    ends = [(sentence.start_s, sentence.end_s) for sentence in spoken]
    assert ends == [pytest.approx((0.0, first_s)), pytest.approx((first_s, first_s + second_s))]


async def test_each_request_knows_the_sentence_before_it() -> None:
    speech = FakeSpeech()
    await spoken_by(speech, SENTENCES)
    assert speech.requests == [(SENTENCES[0], ""), (SENTENCES[1], SENTENCES[0])]
    assert speech.voices == [VOICE, VOICE]


async def test_time_in_which_nobody_took_the_voice_is_not_the_vendors() -> None:
    audio, timings = Channel[SpeechChunk]("audio", 1), Timings()
    speech = FakeSpeech(ttfb_s=0.5, rate=2.0)
    inputs = await closed_channel(SENTENCES[:1])

    async def take_slowly() -> None:
        async for _ in audio:
            await asyncio.sleep(1.0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take_slowly())
        await speak(inputs, speech, VOICE, TIMELINE, (audio,), [], timings)
    assert timings.speech_s == pytest.approx(0.5 + len(SENTENCES[0]) * 0.05 / 2.0, abs=0.01)


async def test_a_failure_closes_the_outputs_after_what_was_said() -> None:
    error = EngineUnavailable("speak", "fake", "gone")
    speech = FakeSpeech(error=error, fails_on="round", error_after_s=0.1)
    audio, spoken = Channel[SpeechChunk]("audio", 1_000), list[SpokenSentence]()
    with pytest.raises(EngineUnavailable):
        await speak(await closed_channel(SENTENCES), speech, VOICE, TIMELINE, (audio,), spoken, Timings())
    chunks = [chunk async for chunk in audio]
    said_s = len(SENTENCES[0]) * 0.05 + 0.1
    assert len(chunks) == pytest.approx(said_s / 0.04, abs=1)
    assert speech.running == 0


async def test_cancelling_closes_the_vendors_stream_also_while_nobody_takes_the_voice() -> None:
    speech, audio = FakeSpeech(), Channel[SpeechChunk]("audio", 1)
    inputs = await closed_channel(SENTENCES)
    speaking = asyncio.create_task(speak(inputs, speech, VOICE, TIMELINE, (audio,), [], Timings()))
    await asyncio.sleep(1.0)
    assert speech.running == 1
    speaking.cancel()
    await asyncio.wait({speaking})
    assert speech.running == 0


async def test_of_no_sentences_there_is_no_voice() -> None:
    assert await spoken_by(FakeSpeech(), []) == ([], [], [])
