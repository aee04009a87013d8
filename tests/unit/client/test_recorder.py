"""A recording holds what was seen and heard, in order, and nothing of what was interrupted."""

import asyncio
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.v1 import ConverseConfig
from avatar_client import Audio, Event, Frame, Interrupted, MediaFormat, ReplyText
from avatar_client.errors import FileError, ServiceFault
from avatar_client.events import Resumed, SessionStarted, TurnCompleted
from avatar_client.facts import Limits, Status, TurnMetrics, Usage
from avatar_client.recorder import Recorder
from avatar_client.recording import AsyncRecorder
from tests.unit.client.scripted_service import CHUNK_SAMPLES, SIZE, grey, tone

MEDIA = MediaFormat("LINEAR16", 24_000, "JPEG", Fraction(25), SIZE, SIZE)


def media(turn_id: int, count: int, level: int = 100, first: int = 0) -> list[Event]:
    """Audio and frames of a turn, 40 ms each, in play-out order."""
    events: list[Event] = []
    for index in range(first, count):
        pcm = tone(index)
        events.append(Audio(turn_id, index, index * 0.04, pcm, pcm, CHUNK_SAMPLES))
        events.append(Frame(turn_id, index, index * 0.04, grey(level)))
    return events


def completed(turn_id: int) -> TurnCompleted:
    return TurnCompleted(turn_id, "COMPLETED", Status("OK"), TurnMetrics(), Usage())


def levels(path: Path) -> list[int]:
    """The grey level of every frame, rounded to tens."""
    with av.open(str(path)) as container:
        return [round(frame.to_ndarray(format="gray").mean() / 10) * 10 for frame in container.decode(video=0)]


def sound(path: Path) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def record(path: Path, *events: Event) -> float:
    with Recorder(path, MEDIA) as recorder:
        for event in events:
            recorder.add(event)
    return recorder.duration_s


def test_turns_are_recorded_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    assert record(path, *media(1, 3, 50), completed(1), *media(2, 2, 150), completed(2)) == pytest.approx(0.2)
    assert levels(path) == [50, 50, 50, 150, 150]


def test_of_an_interrupted_turn_what_was_played_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    interrupted = Interrupted(1, played_s=0.1)
    assert record(path, *media(1, 10, 50), interrupted, completed(1), *media(2, 2, 150)) == pytest.approx(0.2)
    assert levels(path) == [50, 50, 50, 150, 150]


def test_a_turn_that_was_interrupted_before_it_was_heard_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    record(path, *media(1, 10), Interrupted(1), completed(1))
    assert not path.exists()


def test_media_are_kept_back_for_no_longer_than_they_can_be_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    with Recorder(path, MEDIA) as recorder:
        for event in media(1, 200):
            recorder.add(event)
        assert recorder.duration_s == pytest.approx(3.0, abs=0.05), "of 8 s, all but the last 5"
        recorder.add(Interrupted(1, played_s=4.0))
    assert len(levels(path)) == 100


def idle(*indexes: int, level: int = 50) -> list[Event]:
    """Frames of the silent avatar."""
    return [Frame(0, index, index * 0.04, grey(level)) for index in indexes]


def test_idle_frames_are_recorded_between_turns_with_silence_and_the_times_add_up(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    turns = [*media(1, 5, 100), completed(1)], [*media(2, 5, 150), completed(2)]
    duration_s = record(path, *idle(0, 1, 2), *turns[0], *idle(0, 3), ReplyText(2, "x"), *turns[1], *idle(0, level=200))
    assert levels(path) == [50] * 3 + [100] * 5 + [50] * 4 + [150] * 5 + [200], "those that were left out are held"
    assert duration_s == pytest.approx(18 * 0.04)
    heard = np.abs(sound(path))
    quiet, loud = [(0, 3), (8, 12), (17, 18)], [(3, 8), (12, 17)]
    for spans, is_loud in ((quiet, False), (loud, True)):
        for first, end in spans:
            # The first and last 10 ms aside, into which AAC smears what is beside them.
            peak = heard[first * 1920 + 480 : end * 1920 - 480].max()
            assert (peak > 0.1) == is_loud, (first, end)
    with av.open(str(path)) as container:
        times = [(frame.pts or 0) * (frame.time_base or 0) for frame in container.decode(video=0)]
    assert times == [Fraction(index, 25) for index in range(18)]


def test_a_second_silence_that_follows_at_once_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    record(path, *idle(0, 1), *idle(0, 1, level=200), *media(1, 1, 100), completed(1))
    assert levels(path) == [50, 50, 200, 200, 100]


def test_a_turn_that_has_no_frames_at_first_goes_on_showing_the_silent_avatar(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    late = [event for event in media(1, 4, 150) if not (isinstance(event, Frame) and event.index < 2)]
    record(path, *idle(0), *late, completed(1))
    assert levels(path) == [50, 50, 50, 150, 150]


def test_of_a_turn_whose_stream_broke_what_was_played_is_recorded_and_the_rest_of_it_follows(tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    resumed = Resumed(SessionStarted("s-1", MEDIA, ConverseConfig(), Limits()), "gone", turn_id=1, played_s=0.1)
    record(path, *media(1, 10, 50), resumed, *media(2, 2, 150), completed(2))
    assert levels(path) == [50, 50, 50, 150, 150]


def test_the_sound_has_no_gaps_from_chunk_to_chunk(tmp_path: Path) -> None:
    """Each chunk is whole periods of 400 Hz: a gap or a repeated sample would show in the envelope."""
    path = tmp_path / "answer.mp4"
    record(path, *media(1, 50), completed(1))
    heard = sound(path)[: 48_000 * 2]
    # One value for each 5 ms, the first and last 20 ms aside, where AAC begins and ends.
    envelope = np.abs(heard[960:-1920].reshape(-1, 240)).max(axis=1)
    assert envelope.min() > 0.9 * envelope.max()


def test_a_stream_without_frames_cannot_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(ServiceFault, match="no frames in this stream"):
        Recorder(tmp_path / "answer.mp4", MediaFormat())


def test_beside_an_event_loop_it_writes_the_same(tmp_path: Path) -> None:
    async def scenario() -> float:
        async with AsyncRecorder(tmp_path / "answer.mp4", MEDIA, lambda turn_id: f"Question {turn_id}?") as recorder:
            for event in [*media(1, 60), completed(1)]:
                await recorder.add(event)
        return recorder.duration_s

    assert asyncio.run(scenario()) == pytest.approx(2.4)
    with av.open(str(tmp_path / "answer.mp4")) as container:
        pictures = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    assert len(pictures) == 60
    assert np.ptp(pictures[0][-20:]) > 60, "the caption"


def test_what_writing_raises_comes_out_of_the_next_event_and_leaves_no_thread(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with AsyncRecorder(tmp_path / "answer.mp4", MEDIA) as recorder:
            await recorder.add(Audio(1, 0, 0.0, b"x", b"x", 1))
            await recorder.add(completed(1))
            while True:
                await recorder.add(completed(1))
                await asyncio.sleep(0)

    with pytest.raises(ValueError, match="buffer size"):
        asyncio.run(scenario())


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="only MP4 files"):
        Recorder(tmp_path / "answer.mov", MEDIA)
