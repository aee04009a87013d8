"""A spoken question heard by the real detector through every encoding and rate that a microphone may have."""

import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from avatar_service.engines.silero_vad import SileroVad
from avatar_service.media.resample import Resampler
from avatar_service.media.types import Utterance
from avatar_service.media.wire_audio import AudioDecoder, AudioEncoder, AudioEncoding
from avatar_service.stages.endpointing import PAUSE_S, EndpointingSettings
from avatar_service.stages.listen import Listener, UtteranceMark
from tests.unit.media.sounds import delay_s
from tests.unit.stages.collecting import Events, closed_channel

QUESTION = Path(__file__).parents[3] / "avatar_service" / "local" / "assets" / "demo_question.wav"
LINEAR16, MULAW, OPUS = AudioEncoding.LINEAR16, AudioEncoding.MULAW, AudioEncoding.OPUS
MICROPHONES = [
    (LINEAR16, 8_000, 20),
    (LINEAR16, 22_050, 20),
    (LINEAR16, 44_100, 100),
    (LINEAR16, 48_000, 10),
    (MULAW, 8_000, 20),
    (OPUS, 48_000, 20),
    (OPUS, 48_000, 60),
    (OPUS, 48_000, 10),
    (OPUS, 48_000, 2.5),
]


@pytest.fixture(scope="module")
def engine() -> SileroVad:
    return SileroVad()


@pytest.fixture(scope="module")
def question() -> NDArray[np.int16]:
    """The question at 16 kHz, with silence around it."""
    with wave.open(str(QUESTION)) as file:
        voice = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.concatenate([np.zeros(8_000, np.int16), voice, np.zeros(16_000, np.int16)])


def sent(sound: NDArray[np.int16], encoding: AudioEncoding, rate_hz: int, milliseconds: float) -> Iterator[bytes]:
    """Messages of a client with such a microphone."""
    resampler = Resampler(16_000, rate_hz)
    pcm = resampler.push(sound.tobytes()) + resampler.flush()
    size = 2 * round(rate_hz * milliseconds / 1000)
    pieces = [pcm[begin : begin + size] for begin in range(0, len(pcm) - size + 1, size)]
    if encoding is not OPUS:
        encoder = AudioEncoder(encoding, rate_hz)
        return (data for piece in pieces for data, _ in encoder.encode(piece))
    return opus(pieces, milliseconds)


def opus(pieces: list[bytes], milliseconds: float) -> Iterator[bytes]:
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format, context.bit_rate = 48_000, "mono", "s16", 32_000
    context.options = {"frame_duration": f"{milliseconds:g}"}
    for index, piece in enumerate(pieces):
        frame = av.AudioFrame.from_ndarray(np.frombuffer(piece, np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, index * len(piece) // 2
        for packet in context.encode(frame):
            yield bytes(packet)


async def heard(engine: SileroVad, messages: Iterator[bytes], decoder: AudioDecoder) -> list[Utterance]:
    utterances: list[Utterance] = []

    async def began(utterance_id: int) -> None:
        del utterance_id

    async def ended(utterance: Utterance, at_s: float) -> None:
        del at_s
        utterances.append(utterance)

    listener = Listener(decoder.rate_hz, engine.detector(), EndpointingSettings(), Events(), began, ended)
    await listener.listen(await closed_channel([decoder.decode(message) for message in messages]))
    return utterances


@pytest.mark.parametrize(("encoding", "rate_hz", "milliseconds"), MICROPHONES)
async def test_the_same_utterances_are_heard_at_the_same_places(
    engine: SileroVad, question: NDArray[np.int16], encoding: AudioEncoding, rate_hz: int, milliseconds: float
) -> None:
    plain = await heard(engine, sent(question, LINEAR16, 16_000, 20), AudioDecoder(LINEAR16, 16_000))
    through = await heard(engine, sent(question, encoding, rate_hz, milliseconds), AudioDecoder(encoding, rate_hz))
    assert len(through) == len(plain) > 0
    for expected, utterance in zip(plain, through, strict=True):
        assert utterance.rate_hz == 16_000
        assert utterance.start_s == pytest.approx(expected.start_s, abs=0.07)
        # The question ends in a hiss, most of which lies above what 8 kHz can carry.
        assert utterance.end_s == pytest.approx(expected.end_s, abs=0.2 if rate_hz == 8_000 else 0.1)


@pytest.mark.parametrize(("encoding", "rate_hz", "milliseconds"), MICROPHONES)
def test_on_the_way_to_the_listener_words_move_by_the_encodings_delay_alone(
    question: NDArray[np.int16], encoding: AudioEncoding, rate_hz: int, milliseconds: float
) -> None:
    decoder, resampler = AudioDecoder(encoding, rate_hz), Resampler(rate_hz, 16_000)
    pieces = [resampler.push(decoder.decode(data)) for data in sent(question, encoding, rate_hz, milliseconds)]
    pcm = np.frombuffer(b"".join(pieces) + resampler.flush(), np.int16)
    assert len(question) - len(pcm) <= 16 * milliseconds
    # The encoder looks 4 ms less far ahead where packets are too short for its speech coder.
    delay = encoding.delay_s - (0.004 if milliseconds == 2.5 else 0.0)
    assert delay_s(question, pcm, 16_000) == pytest.approx(delay, abs=0.000_2)


@pytest.mark.parametrize("speaks", [True, False])
async def test_in_a_marked_utterance_a_voice_is_told_from_room_noise(
    engine: SileroVad, question: NDArray[np.int16], speaks: bool
) -> None:
    noise = np.random.default_rng(1).normal(0, 30, len(question)).astype(np.int16)
    pcm = (question // 2 + noise if speaks else noise).astype(np.int16).tobytes()
    found: list[tuple[Utterance, bool]] = []

    async def began(utterance_id: int) -> None:
        del utterance_id

    async def ended(utterance: Utterance, at_s: float) -> None:
        del at_s
        found.append((utterance, listener.has_voice))

    listener = Listener(16_000, engine.detector(), EndpointingSettings(), Events(), began, ended, manual=True)
    await listener.listen(await closed_channel([UtteranceMark.BEGIN, pcm, UtteranceMark.END]))
    ((utterance, has_voice),) = found
    assert has_voice is speaks
    assert utterance.pcm == pcm


async def test_a_pause_is_told_within_the_closing_silence_of_a_real_question(
    engine: SileroVad, question: NDArray[np.int16]
) -> None:
    paused: list[Utterance] = []
    ended: list[Utterance] = []

    async def began(utterance_id: int) -> None:
        del utterance_id

    async def end(utterance: Utterance, at_s: float) -> None:
        del at_s
        ended.append(utterance)

    settings, sink = EndpointingSettings(), Events()
    listener = Listener(16_000, engine.detector(), settings, sink, began, end, on_paused=paused.append)
    await listener.listen(await closed_channel(list(sent(question, LINEAR16, 16_000, 20))))
    saved_s = ended[-1].duration_s - paused[-1].duration_s
    assert paused[-1].end_s == ended[-1].end_s
    assert saved_s == pytest.approx(settings.silence_s - PAUSE_S, abs=0.04)
