"""The clock of media: exact at any rational frame rate, for as long as it runs."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar_service.media.timeline import ChunkCutter, Timeline

NTSC = Fraction(30_000, 1_001)
TEN_MINUTES_S = 600

timelines = st.builds(
    Timeline,
    rate_hz=st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]),
    fps=st.sampled_from([Fraction(25), NTSC, Fraction(10), Fraction(24_000, 1_001), Fraction(60)]),
)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("fps", [Fraction(25), NTSC])
def test_over_ten_minutes_every_chunk_lies_where_its_frame_is_shown(rate_hz: int, fps: Fraction) -> None:
    timeline = Timeline(rate_hz, fps)
    frames = int(TEN_MINUTES_S * fps)
    samples = 0
    for index in range(frames):
        assert timeline.first_sample(index) == samples
        exact = Fraction(index) / fps
        assert 0 <= exact * rate_hz - samples < 1
        assert 0 <= exact * 1_000_000_000 - timeline.offset_ns(index) < 1
        assert timeline.offset_s(index) == pytest.approx(float(exact), abs=1e-9)
        samples += timeline.chunk_samples(index)
    assert abs(samples - frames / fps * rate_hz) < 1


def test_at_25_frames_a_second_every_chunk_lasts_40_ms() -> None:
    timeline = Timeline(24_000, Fraction(25))
    assert {timeline.chunk_samples(index) for index in range(15_000)} == {960}
    assert timeline.offset_ns(15_000) == TEN_MINUTES_S * 1_000_000_000


@pytest.mark.parametrize(
    ("fps", "milliseconds", "chunks"),
    [(Fraction(25), 0, 0), (Fraction(25), 40, 1), (Fraction(25), 41, 2), (NTSC, 1_000, 30), (NTSC, 240, 8)],
)
def test_chunks_cover_at_least_the_time_asked_for(fps: Fraction, milliseconds: int, chunks: int) -> None:
    assert Timeline(24_000, fps).chunks_in(milliseconds) == chunks


@given(timelines, st.binary(max_size=20_000), st.lists(st.integers(0, 20_000), max_size=12))
def test_chunks_do_not_depend_on_how_the_voice_was_split(timeline: Timeline, pcm: bytes, cuts: list[int]) -> None:
    whole = ChunkCutter(timeline)
    chunks = timeline.frames_covering(len(pcm) // 2)
    expected = whole.push(pcm) + whole.finish(chunks)
    cutter = ChunkCutter(timeline)
    ends = sorted(min(cut, len(pcm)) for cut in cuts)
    pieces = [pcm[start:end] for start, end in zip([0, *ends], [*ends, len(pcm)], strict=True)]
    assert [chunk for piece in pieces for chunk in cutter.push(piece)] + cutter.finish(chunks) == expected


@given(timelines, st.integers(0, 12_000))
def test_chunks_are_the_voice_itself_and_only_the_last_is_padded(timeline: Timeline, samples: int) -> None:
    pcm = bytes(byte % 255 + 1 for byte in range(2 * samples))
    cutter = ChunkCutter(timeline)
    chunks = cutter.push(pcm) + cutter.finish(timeline.frames_covering(samples))
    assert [index for index, _ in chunks] == list(range(len(chunks)))
    assert [len(chunk) // 2 for _, chunk in chunks] == [timeline.chunk_samples(index) for index, _ in chunks]
    joined = b"".join(chunk for _, chunk in chunks)
    assert joined[: len(pcm)] == pcm
    assert not any(joined[len(pcm) :])
    assert timeline.first_sample(max(0, len(chunks) - 1)) < max(1, samples)


def test_a_copy_that_was_rounded_beyond_the_last_frame_loses_that_sample_alone() -> None:
    cutter = ChunkCutter(Timeline(24_000, Fraction(25)))
    assert [len(pcm) for _, pcm in cutter.push(b"\x01\x00" * 961)] == [1_920]
    assert cutter.finish(1) == []


@given(timelines, st.integers(0, 10_000_000))
def test_frames_cover_a_voice_when_they_end_with_it_or_after_it_and_one_fewer_would_not(
    timeline: Timeline, samples: int
) -> None:
    frames = timeline.frames_covering(samples)
    assert timeline.first_sample(frames) >= samples
    assert not frames or timeline.first_sample(frames - 1) < samples


@given(timelines, st.integers(-100_000, 1_000_000))
def test_the_frames_before_a_sample_have_ended_there_and_the_next_has_not(timeline: Timeline, sample: int) -> None:
    frames = timeline.frames_before(sample)
    assert frames == 0 or timeline.first_sample(frames) <= sample
    assert timeline.first_sample(frames + 1) > sample


@given(timelines, st.integers(1, 50_000))
def test_the_sample_that_ends_a_frame_counts_it_and_the_one_before_does_not(timeline: Timeline, frame: int) -> None:
    assert timeline.frames_before(timeline.first_sample(frame)) == frame
    assert timeline.frames_before(timeline.first_sample(frame) - 1) == frame - 1
