"""Sentences to voice."""

import asyncio
from collections.abc import Sequence
from fractions import Fraction

import pytest

from avatar_service import clock
from avatar_service.channel import Channel
from avatar_service.engines.base import Voice
from avatar_service.errors import EngineError, EngineRejected, EngineUnavailable
from avatar_service.media.heard import Spoken
from avatar_service.media.timeline import Timeline
from avatar_service.media.types import SpeechChunk
from avatar_service.stages.speak import speak
from avatar_service.stages.voice_fork import SpeechOutput
from avatar_service.timings import Timings
from tests.fakes.speech import FakeSpeech
from tests.unit.stages.collecting import closed_channel

VOICE = Voice("rachel", "model")
TIMELINE = Timeline(24_000, Fraction(25))
SENTENCES = ["The moon is near.", "It is round."]


class Told:
    """What speaking tells: when a sentence is about to be heard, and what failed."""

    def __init__(self) -> None:
        self.spoken = Spoken()
        self.cuts: list[EngineError] = []
        self.losses: list[EngineError] = []
        self.kept: list[tuple[int, str]] = []
        """Sentences and words so far, each time a sentence's voice was about to go out."""

    async def before_sentence(self) -> None:
        self.kept.append((len(self.spoken.sentences), "".join(word.text for word in self.spoken.told)))

    async def broke_off(self, error: EngineError) -> None:
        self.cuts.append(error)

    async def lost(self, error: EngineError) -> None:
        self.losses.append(error)


async def say(
    speech: FakeSpeech,
    sentences: list[str],
    outputs: Sequence[SpeechOutput],
    told: Told | None = None,
    timings: Timings | None = None,
    attempts: int = 3,
) -> None:
    told = told or Told()
    inputs = await closed_channel(sentences)
    await speak(inputs, speech, VOICE, outputs, told.spoken, timings or Timings(), told, attempts)


async def spoken_by(
    speech: FakeSpeech, sentences: list[str], told: Told | None = None
) -> tuple[list[SpeechChunk], list[SpeechChunk], Spoken]:
    """What both outputs got, and where the words lie."""
    audio, to_animate = Channel[SpeechChunk]("audio", 1_000), Channel[SpeechChunk]("to_animate", 1_000)
    told = told or Told()
    await say(speech, sentences, (SpeechOutput(audio, TIMELINE), SpeechOutput(to_animate, TIMELINE)), told)
    return [chunk async for chunk in audio], [chunk async for chunk in to_animate], told.spoken


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
    audio, told = Channel[SpeechChunk]("audio", 1_000), Told()
    sent_before: list[int] = []

    async def keep() -> None:
        await asyncio.sleep(0.5)
        sent_before.append(len(audio))
        await Told.before_sentence(told)

    told.before_sentence = keep  # type: ignore[method-assign]  # the one thing that differs
    await say(FakeSpeech(piece_ms=400), SENTENCES, (SpeechOutput(audio, TIMELINE),), told)
    first_s = 0.05 * len(SENTENCES[0])
    assert sent_before == [0, int(first_s / 0.04)]
    assert told.kept == [(1, "The moon "), (2, "The moon is near. It is ")]


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
REFUSED = EngineRejected("speak", "fake", "no")
FIRST, SECOND = SENTENCES


def bytes_of(seconds: float) -> int:
    return 2 * round(seconds * 24_000)


@pytest.mark.parametrize(
    ("error", "error_after_s", "attempts", "requests", "heard"),
    [
        (GONE, 0.0, 3, [SECOND], FIRST),
        (REFUSED, 0.3, 3, [SECOND], f"{FIRST} It is"),
        (GONE, 0.3, 1, [SECOND], f"{FIRST} It is"),
        (GONE, 0.04, 3, [SECOND, SECOND, SECOND], FIRST),
        (GONE, 0.04, 5, [SECOND] * 5, FIRST),
    ],
    ids=["did not begin", "not to be mended", "one attempt", "three attempts", "five attempts"],
)
async def test_a_voice_that_is_lost_ends_behind_its_last_whole_word_and_the_other_sentences_are_dropped(
    error: EngineError, error_after_s: float, attempts: int, requests: list[str], heard: str
) -> None:
    speech = FakeSpeech(error=error, fails_on="round", error_after_s=error_after_s)
    audio, told = Channel[SpeechChunk]("audio", 1_000), Told()
    sentences = [FIRST, SECOND, *SENTENCES]
    await say(speech, sentences, (SpeechOutput(audio, TIMELINE),), told, attempts=attempts)
    chunks = [chunk async for chunk in audio]
    assert [text for text, _ in speech.requests] == [FIRST, *requests]
    assert told.losses == [error]
    assert len(told.cuts) == len(requests) - 1
    assert told.spoken.sentences == [FIRST, SECOND]
    assert told.spoken.heard(100.0).text == heard
    said = speech.voice_of(FIRST) + speech.voice_of(SECOND)[: bytes_of(0.05 * len(heard.removeprefix(FIRST).lstrip()))]
    assert joined(chunks)[: len(said)] == said
    assert not any(joined(chunks)[len(said) :])
    assert len(joined(chunks)) - len(said) < 1_920, "padded to a whole frame"
    assert speech.running == speech.contexts == 0


async def test_a_lost_voice_is_told_at_once_and_the_reply_is_taken_to_its_end_while_its_voice_still_waits() -> None:
    audio, sentences, told = Channel[SpeechChunk]("audio", 2), Channel[str]("sentences", 1), Told()
    speech = FakeSpeech(error=GONE, fails_on="round", rate=1_000.0, piece_ms=1_000)

    async def write() -> float:
        for sentence in [FIRST, SECOND, *SENTENCES * 10]:
            await sentences.send(sentence)
        sentences.close()
        return clock.now()

    async with asyncio.TaskGroup() as tasks:
        began_s = clock.now()
        writing = tasks.create_task(write())
        output = SpeechOutput(audio, TIMELINE)
        tasks.create_task(speak(sentences, speech, VOICE, (output,), told.spoken, Timings(), told, 3))
        await asyncio.sleep(1.0)
        assert not told.losses, "nobody has taken the voice of the first sentence yet"
        for _ in range(19):
            await anext(audio)
        await asyncio.sleep(1.0)
        assert told.losses == [GONE]
        assert await writing == pytest.approx(began_s + 1.1, abs=0.05)
        left = [chunk async for chunk in audio]
    assert [chunk.index for chunk in left] == [19, 20, 21]


async def test_a_lost_voice_stops_at_once_where_the_turn_is_cancelled() -> None:
    audio, told = Channel[SpeechChunk]("audio", 1), Told()
    sentences = Channel[str]("sentences", 8)
    for sentence in SENTENCES:
        await sentences.send(sentence)
    speech = FakeSpeech(error=GONE, error_after_s=0.3)
    output = SpeechOutput(audio, TIMELINE)
    speaking = asyncio.create_task(speak(sentences, speech, VOICE, (output,), told.spoken, Timings(), told, 1))
    await asyncio.sleep(0.3)
    await anext(audio)
    speaking.cancel()
    await asyncio.wait({speaking})
    assert speaking.cancelled()


@pytest.mark.parametrize("said_s", [0.04, 0.1, 0.14, 0.16, 0.26, 0.3, 0.42, 0.5])
async def test_a_voice_that_breaks_off_goes_on_with_its_first_unsaid_word_and_no_sound_is_heard_twice(
    said_s: float,
) -> None:
    speech = FakeSpeech(error=GONE, fails_on="round", error_after_s=said_s, fails=1)
    told = Told()
    chunks, animated, spoken = await spoken_by(speech, [*SENTENCES, FIRST], told)

    whole = next(words for words in ("It is", "It", "") if 0.05 * len(words) <= said_s)
    rest = SECOND.removeprefix(whole).strip()
    before = f"{FIRST} {whole}" if whole else FIRST
    assert speech.requests == [(FIRST, ""), (SECOND, FIRST), (rest, before), (FIRST, SECOND)]
    whole_s = 0.05 * len(whole)
    voice = [
        speech.voice_of(FIRST),
        speech.voice_of(SECOND)[: bytes_of(whole_s)],
        speech.voice_of(rest),
        speech.voice_of(FIRST),
    ]
    assert joined(chunks)[: sum(map(len, voice))] == b"".join(voice)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert animated == chunks
    assert told.cuts == [GONE]
    assert "".join(word.text for word in spoken.words) == f"{FIRST} {SECOND} {FIRST} "
    going_on_s = 0.05 * len(FIRST) + whole_s
    resumed = spoken.words[4 + len(whole.split())]
    assert resumed.text.strip() == rest.split()[0]
    assert resumed.start_s == pytest.approx(going_on_s)
    assert spoken.words[7].start_s == pytest.approx(going_on_s + 0.05 * len(rest))


async def test_of_a_voice_for_which_somebody_waits_the_broken_word_is_heard_twice_and_nothing_is_late() -> None:
    """Held back, it would leave whoever plays it without sound: each chunk is taken before the next one is made."""
    speech = FakeSpeech(error=GONE, fails_on="round", error_after_s=0.38, fails=1, rate=1.0)
    audio, told, came_s = Channel[SpeechChunk]("audio", 1_000), Told(), []

    async def play() -> bytes:
        voice = b""
        async for chunk in audio:
            came_s.append(clock.now())
            voice += chunk.pcm
        return voice

    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(play())
        began_s = clock.now()
        await say(speech, [SECOND], (SpeechOutput(audio, TIMELINE),), told)
    assert speech.requests[1] == ("round.", "It is")
    voice = speech.voice_of(SECOND)[: bytes_of(0.38)] + speech.voice_of("round.")
    assert playing.result()[: len(voice)] == voice
    ready_s = [began_s + 0.1 + 0.04 * (index + 1) for index in range(9)]
    assert came_s[:9] == pytest.approx(ready_s, abs=1e-6)


async def test_a_voice_without_times_that_breaks_off_goes_on_with_a_word_that_may_be_heard_twice() -> None:
    speech = FakeSpeech(error=GONE, fails_on="round", error_after_s=0.4, fails=1, aligned=False)
    told = Told()
    chunks, _, spoken = await spoken_by(speech, SENTENCES, told)
    assert speech.requests[2] == ("round.", f"{FIRST} It is")
    voice = speech.voice_of(FIRST) + speech.voice_of(SECOND)[: bytes_of(0.4)] + speech.voice_of("round.")
    assert joined(chunks)[: len(voice)] == voice
    assert (told.cuts, told.losses) == ([GONE], [])
    assert spoken.heard(100.0).text == f"{FIRST} {SECOND}"


async def test_a_voice_that_breaks_off_behind_its_last_word_is_whole_and_nobody_need_know() -> None:
    speech = FakeSpeech(error=GONE, fails_on="round", error_after_s=0.58, fails=1)
    told = Told()
    _, _, spoken = await spoken_by(speech, [SECOND, FIRST], told)
    assert speech.requests == [(SECOND, ""), (FIRST, SECOND)]
    assert spoken.words[2].end_s == pytest.approx(0.58, abs=0.05)
    assert told.cuts == []


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


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
async def test_the_lips_get_the_voice_itself_and_the_client_its_own_rate(rate_hz: int) -> None:
    speech = FakeSpeech()
    client = Timeline(rate_hz, Fraction(25))
    audio, to_animate = Channel[SpeechChunk]("audio", 1_000), Channel[SpeechChunk]("to_animate", 1_000)
    told = Told()
    await say(speech, SENTENCES, (SpeechOutput(audio, client), SpeechOutput(to_animate, TIMELINE)), told)
    voice = b"".join(map(speech.voice_of, SENTENCES))
    assert b"".join([chunk.pcm async for chunk in to_animate])[: len(voice)] == voice
    assert {len(chunk.pcm) async for chunk in audio} == {2 * rate_hz // 25}
    assert [told.spoken.words[index].end_s for index in (3, 6)] == pytest.approx([0.85, 1.45])


async def test_a_sentence_without_any_voice_lies_where_it_would_have_been_and_moves_nothing() -> None:
    speech = FakeSpeech()
    silent = FakeSpeech(seconds_per_character=0.0)
    chunks, _, spoken = await spoken_by(silent, SENTENCES)
    assert chunks == []
    assert [(word.start_s, word.end_s) for word in spoken.words] == [(0.0, 0.0)] * 7
    assert (await spoken_by(speech, ["Go."]))[2].words[0].end_s == pytest.approx(0.15)
