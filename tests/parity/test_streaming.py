"""How the voice arrives leaves no trace: the same PCM, cut in any way, gives the same requests and the same frames.

The voice goes through the service's own stages: chunks of a frame's time, the resampler, the spans. For the frames the
embedded model renders them, in this process.
"""

import wave
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar_service.channel import Channel
from avatar_service.cli.demo import QUESTION
from avatar_service.engines.base import RenderedSpan
from avatar_service.engines.base import RenderRequest as ServiceRequest
from avatar_service.errors import EngineError
from avatar_service.media.play_out import PlayOut
from avatar_service.media.resample import Resampler
from avatar_service.media.timeline import ChunkCutter, Timeline
from avatar_service.media.types import Frame, SpeechChunk
from avatar_service.stages.animate import Animator
from avatar_service.stages.spans import DEFAULT_POLICY, FEATURE_SAMPLES, RATE_HZ, AvatarLoop, SpanBuilder
from avatar_service.timings import Timings
from inference.audio_features import window_features
from inference.avatar_bundle import AvatarBundle
from inference.avatar_store import AVATARS_DIR
from inference.config import MAX_SPAN_SAMPLES
from inference.engine import Engine, EngineSettings
from inference.requests import RenderRequest, RenderResult
from tests.animating import own_voice

VOICE_HZ = 24_000
PAL, NTSC = Fraction(25), Fraction(30_000, 1_001)
RATES = [Fraction(rate) for rate in (10, 15, 20, 24, 25, 30, 48, 50, 60)] + [NTSC]
LOOP = AvatarLoop("ada@00", length=10)


def pieces(voice: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The voice cut after these samples."""
    ends = sorted(2 * cut for cut in cuts)
    return [voice[start:end] for start, end in zip([0, *ends], [*ends, len(voice)], strict=True)]


def chunks(parts: Sequence[bytes], timeline: Timeline) -> list[SpeechChunk]:
    """A turn's speech chunks, the last padded with silence."""
    cutter, samples, found = ChunkCutter(timeline), sum(map(len, parts)) // 2, list[tuple[int, bytes]]()
    for part in parts:
        found += cutter.push(part)
    found += cutter.finish(timeline.frames_covering(samples))
    return [SpeechChunk(index, pcm) for index, pcm in found]


def requests(parts: Sequence[bytes], fps: Fraction) -> list[ServiceRequest]:
    """The render requests of a turn, each as soon as its sound is there."""
    resampler, builder = Resampler(VOICE_HZ, RATE_HZ), SpanBuilder(fps, lambda: LOOP)
    spoken, found = chunks(parts, Timeline(VOICE_HZ, fps)), list[ServiceRequest]()
    for chunk in spoken:
        builder.push(resampler.push(chunk.pcm))
        while request := builder.next_request():
            found.append(request)
    builder.push(resampler.flush())
    builder.pad(len(spoken))
    while request := builder.next_request(len(spoken) - sum(len(each.frame_indices) for each in found)):
        found.append(request)
    return found


def facts(request: ServiceRequest) -> tuple[object, ...]:
    """Everything in a request, comparable."""
    span, about = request.span.tobytes(), (request.span_start, request.frame_starts, request.frame_indices)
    return (span, *about, request.mouth_weights, request.mel_max, request.avatar)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES),
    st.one_of(st.sampled_from([0, 1, 100]), st.integers(0, 3 * VOICE_HZ)),
    st.lists(st.floats(0, 1), max_size=30),
)
def test_any_split_of_a_voice_of_any_length_gives_the_same_requests(
    fps: Fraction, samples: int, cuts: list[float]
) -> None:
    voice = own_voice(samples / VOICE_HZ)
    whole = requests([voice], fps)
    split = requests(pieces(voice, [round(cut * samples) for cut in cuts]), fps)
    assert [facts(request) for request in split] == [facts(request) for request in whole]
    frames = [index for request in whole for index in request.frame_indices]
    assert len(frames) == -(-samples * fps // VOICE_HZ)


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_windows_lie_around_their_frames_exactly_at_every_rate(fps: Fraction) -> None:
    """Feature floor(50 i / fps) - 4 to + 5 of the turn, as in one pass over the whole of it."""
    frame = 0
    for request in requests([own_voice(3.0)], fps):
        assert request.span_start % FEATURE_SAMPLES == 0
        assert len(request.span) <= MAX_SPAN_SAMPLES
        for start in request.frame_starts:
            first = request.span_start // FEATURE_SAMPLES + window_features(start)[0]
            assert first == frame * 50 // fps - 4
            assert start // FEATURE_SAMPLES * FEATURE_SAMPLES >= DEFAULT_POLICY.left_context
            frame += 1
    assert frame == 3 * fps or frame == int(3 * fps) + 1


@pytest.mark.parametrize("fps", [PAL, NTSC], ids=str)
def test_ten_minutes_drift_by_less_than_a_sample(fps: Fraction) -> None:
    builder, seconds, starts = SpanBuilder(fps, lambda: LOOP), 600, list[int]()
    for _ in range(seconds):
        builder.push(bytes(2 * RATE_HZ))
        while request := builder.next_request():
            starts += [request.span_start + start for start in request.frame_starts]
    frames = int(seconds * fps)
    builder.pad(frames)
    while request := builder.next_request(frames - len(starts)):
        starts += [request.span_start + start for start in request.frame_starts]
    assert len(starts) == frames
    assert all(0 <= Fraction(i * RATE_HZ) / fps - start < 1 for i, start in enumerate(starts))


class InProcess:
    """The engine in the place of Triton's adapter."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def render(self, request: ServiceRequest) -> RenderedSpan:
        """Answer one request."""
        (result,) = self._engine.render(
            [
                RenderRequest(
                    request.avatar,
                    request.span,
                    request.span_start,
                    request.frame_indices,
                    request.frame_starts,
                    request.mouth_weights,
                    request.mel_max,
                )
            ]
        )
        assert isinstance(result, RenderResult), result.message
        return RenderedSpan(result.frames, result.mel_max)


class NoFailure:
    """A test fails where rendering does."""

    async def lost(self, error: EngineError) -> None:
        """Never."""
        raise error

    async def rendered(self) -> None:
        """As it should be."""


async def frames_of(parts: Sequence[bytes], lip_sync: InProcess, bundle: AvatarBundle, rate_hz: int) -> list[bytes]:
    """The pictures of a turn whose voice comes in these parts."""
    timeline, timings = Timeline(rate_hz, PAL), Timings()
    spans = SpanBuilder(PAL, lambda: AvatarLoop(bundle.reference, len(bundle.frames)))
    voice, frames = Channel[SpeechChunk]("to_animate", 10_000), Channel[Frame]("frames", 10_000)

    animator = Animator(lip_sync, timeline, spans, PlayOut(unpaced=True), frames, timings, NoFailure())
    for chunk in chunks(parts, timeline):
        await voice.send(chunk)
    voice.close()
    await animator.animate(voice)
    return [frame.image async for frame in frames]


@pytest.fixture(scope="module")
def question() -> NDArray[np.int16]:
    """The bundled question: spoken, 16 kHz."""
    with wave.open(str(QUESTION), "rb") as recording:
        assert recording.getframerate() == RATE_HZ
        return np.frombuffer(recording.readframes(recording.getnframes()), np.int16)


async def test_a_voice_in_pieces_of_20_to_640_ms_gives_the_same_frames_to_the_bit(
    question: NDArray[np.int16],
) -> None:
    lip_sync = InProcess(Engine.load(settings=EngineSettings(device="cpu")))
    bundle = AvatarBundle.load(AVATARS_DIR / "ada")
    resampler = Resampler(RATE_HZ, VOICE_HZ)
    voice = resampler.push(question.tobytes()) + resampler.flush()
    whole = await frames_of([voice], lip_sync, bundle, VOICE_HZ)
    assert len(whole) == -(-len(voice) // 2 // 960)
    assert len(set(whole)) > len(whole) // 2
    for milliseconds in (20, 33, 160, 640):
        size = milliseconds * VOICE_HZ // 1_000
        parts = pieces(voice, range(size, len(voice) // 2, size))
        assert await frames_of(parts, lip_sync, bundle, VOICE_HZ) == whole
