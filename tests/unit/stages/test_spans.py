"""Which sound each frame is rendered from."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar_service.engines.base import RenderRequest
from avatar_service.media.timeline import Timeline
from avatar_service.settings import LipSyncSettings, Settings
from avatar_service.stages.mouth import MouthTiming, is_loud
from avatar_service.stages.spans import (
    DEFAULT_POLICY,
    FEATURE_SAMPLES,
    RATE_HZ,
    START_OF_TURN,
    AvatarLoop,
    SpanBuilder,
    SpanPolicy,
    silent_request,
)

PAL, NTSC = Fraction(25), Fraction(30_000, 1_001)
LOOP = AvatarLoop("ada@00", length=10, first_index=7)
POLICY = SpanPolicy()


def voice(samples: int, seed: int = 1) -> NDArray[np.int16]:
    """Silence and noise by turns, each longer than the mouth takes to open and close."""
    generator = np.random.default_rng(seed)
    level = np.tile(np.repeat([0, 4_000], 11_000), samples // 22_000 + 1)[:samples]
    noise: NDArray[np.float64] = generator.normal(size=samples) * level
    return noise.clip(-32768, 32767).astype(np.int16)


def requests(
    pcm: NDArray[np.int16], fps: Fraction, cuts: tuple[int, ...] = (), policy: SpanPolicy = DEFAULT_POLICY
) -> list[RenderRequest]:
    """All requests of a turn whose voice arrives cut at these samples."""
    builder = SpanBuilder(fps, lambda: LOOP, policy)
    found: list[RenderRequest] = []
    ends = sorted(min(cut, len(pcm)) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(pcm)], strict=True):
        builder.push(pcm[start:end].tobytes())
        while request := builder.next_request():
            found.append(request)
    total = frame_count(len(pcm), fps)
    builder.pad(total)
    while request := builder.next_request(frames_left=total - sum(len(r.frame_indices) for r in found)):
        found.append(request)
    return found


def frame_count(samples: int, fps: Fraction) -> int:
    return int(-(-samples * fps // RATE_HZ))


def same(one: RenderRequest, other: RenderRequest) -> bool:
    return np.array_equal(one.span, other.span) and all(
        getattr(one, name) == getattr(other, name)
        for name in ("avatar", "span_start", "frame_indices", "frame_starts", "mouth_weights", "mel_max")
    )


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([PAL, NTSC, Fraction(50), Fraction(12)]),
    st.integers(0, 40_000),
    st.lists(st.integers(0, 40_000), max_size=40),
)
def test_requests_do_not_depend_on_how_the_voice_arrived(fps: Fraction, samples: int, cuts: list[int]) -> None:
    whole, cut = requests(voice(samples), fps), requests(voice(samples), fps, tuple(cuts))
    assert len(whole) == len(cut)
    assert all(map(same, whole, cut))


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(12), PAL, NTSC, Fraction(60)])
def test_requests_do_not_depend_on_pieces_as_small_as_a_vendors(fps: Fraction) -> None:
    pcm = voice(54_321)
    assert all(map(same, requests(pcm, fps), requests(pcm, fps, tuple(range(0, 54_321, 320)))))


@pytest.mark.parametrize("fps", [PAL, NTSC, Fraction(50)])
@pytest.mark.parametrize("samples", [1, 639, 640, 641, 2_560, 16_000, 54_321])
def test_every_frame_of_the_voice_is_asked_for_once_in_order(fps: Fraction, samples: int) -> None:
    found = requests(voice(samples), fps)
    total = frame_count(samples, fps)
    assert [index for request in found for index in request.frame_indices] == [
        (LOOP.first_index + frame) % LOOP.length for frame in range(total)
    ]
    sizes = [len(request.frame_indices) for request in found]
    few, many = POLICY.first_frames, POLICY.frames
    rest = max(0, total - few)
    expected = [min(few, total)] + [many] * (rest // many) + ([rest % many] if rest % many else [])
    assert sizes == expected


@pytest.mark.parametrize("fps", [PAL, NTSC])
@pytest.mark.parametrize("samples", [500, 16_000, 54_321])
def test_a_span_is_the_sound_around_its_frames_and_zero_outside_of_the_turn(fps: Fraction, samples: int) -> None:
    pcm, timeline = voice(samples), Timeline(RATE_HZ, fps)
    beyond = 2 * RATE_HZ
    padded = np.concatenate([np.zeros(POLICY.left_context, np.int16), pcm, np.zeros(beyond, np.int16)])
    first = 0
    for request in requests(pcm, fps):
        last = first + len(request.frame_indices)
        start, end = POLICY.start(timeline.first_sample(first)), timeline.first_sample(last) + POLICY.look_ahead
        assert request.span_start == start
        assert len(request.span) == end - start
        np.testing.assert_array_equal(request.span, padded[start + POLICY.left_context : end + POLICY.left_context])
        assert request.frame_starts == tuple(timeline.first_sample(frame) - start for frame in range(first, last))
        assert start % FEATURE_SAMPLES == 0
        assert 0 <= request.frame_starts[0] - POLICY.left_context < FEATURE_SAMPLES
        first = last


def test_the_weights_are_those_of_the_whole_voice() -> None:
    pcm = voice(54_321)
    frames = [pcm[start : start + 640] for start in range(0, len(pcm), 640)]
    loud = [is_loud(np.pad(frame, (0, 640 - len(frame)))) for frame in frames]
    found = [weight for request in requests(pcm, PAL, tuple(range(0, 54_321, 320))) for weight in request.mouth_weights]
    assert {0.0, 0.25, 0.5, 0.75, 1.0} <= set(found)
    assert found == [MouthTiming().weight(loud, index) for index in range(len(loud))]


def test_the_first_request_comes_as_soon_as_its_sound_and_the_look_ahead_are_there() -> None:
    builder = SpanBuilder(PAL, lambda: LOOP)
    needed = POLICY.first_frames * 640 + POLICY.look_ahead
    builder.push(bytes(2 * (needed - 1)))
    assert builder.next_request() is None
    builder.push(bytes(2))
    assert builder.next_request() is not None
    assert builder.next_request() is None


def test_the_loop_goes_on_until_the_first_request_is_cut_and_is_asked_for_once() -> None:
    loops = [LOOP]
    builder = SpanBuilder(PAL, loops.pop)
    builder.push(bytes(2 * POLICY.look_ahead))
    assert builder.next_request() is None
    assert loops == [LOOP]
    builder.push(bytes(2 * RATE_HZ))
    found = [request for _ in range(2) if (request := builder.next_request())]
    assert loops == []
    assert [request.frame_indices[0] for request in found] == [7, (7 + POLICY.first_frames) % 10]


def test_a_silent_request_moves_no_mouth_and_tells_nothing_of_a_voice() -> None:
    request = silent_request("ada@00", range(3, 7))
    assert (request.avatar, request.frame_indices) == ("ada@00", (3, 4, 5, 6))
    assert request.mouth_weights == (0.0,) * 4
    assert not request.span.any()
    assert request.mel_max == START_OF_TURN


def test_the_running_maximum_is_sent_on_as_it_was_set() -> None:
    builder = SpanBuilder(PAL, lambda: LOOP)
    builder.push(voice(16_000).tobytes())
    first = builder.next_request()
    builder.mel_max = 1.25
    second = builder.next_request()
    assert first is not None
    assert second is not None
    assert (first.mel_max, second.mel_max) == (START_OF_TURN, 1.25)


def test_a_turn_without_voice_asks_for_nothing() -> None:
    assert requests(voice(0), PAL) == []


def test_requests_do_not_change_when_more_voice_comes() -> None:
    builder = SpanBuilder(PAL, lambda: LOOP)
    builder.push(voice(16_000).tobytes())
    request = builder.next_request()
    assert request is not None
    before = request.span.copy()
    builder.push(voice(16_000, seed=2).tobytes())
    np.testing.assert_array_equal(request.span, before)


@pytest.mark.parametrize(("left_ms", "ahead_ms"), [(200, 120), (1_000, 240), (2_500, 500)])
@pytest.mark.parametrize("fps", [Fraction(10), PAL, NTSC, Fraction(60)])
def test_every_span_that_can_be_chosen_is_one_that_the_model_takes(left_ms: int, ahead_ms: int, fps: Fraction) -> None:
    """640 to 64,000 samples, as model_repository/README.md says; its weights never jump by more than a step."""
    policy = SpanPolicy.chosen(LipSyncSettings(left_context_ms=left_ms, look_ahead_ms=ahead_ms))
    assert (policy.left_context, policy.look_ahead) == (16 * left_ms, 16 * ahead_ms)
    found = requests(voice(54_321), fps, policy=policy)
    assert all(640 <= len(request.span) <= 64_000 for request in found)
    weights = [weight for request in found for weight in request.mouth_weights]
    step = 1 / (MouthTiming.at(fps, policy.look_ahead_ms).fade + 1)
    assert all(abs(after - before) <= step + 1e-9 for before, after in itertools.pairwise(weights))


def test_the_usual_policy_is_the_default_of_the_settings() -> None:
    assert SpanPolicy.chosen(Settings.load(env_file=None).lip_sync) == POLICY
