"""The caller's own voice, segment by segment: what the client gets, in which order, and when."""

import asyncio
import math
import random
from fractions import Fraction

import pytest

from avatar_service.errors import EngineTimeout, ReaderTooSlow
from avatar_service.events import (
    Interrupted,
    Media,
    Notice,
    Outcome,
    ReplyFinished,
    TurnCompleted,
    TurnStarted,
)
from tests.animating import Animating, own_voice
from tests.fakes.lip_sync import FakeLipSync
from tests.scenario import Recording

VOICE = own_voice(3.01)
CHUNK_S = 0.04


def padded(pcm: bytes) -> bytes:
    """The voice with silence up to a whole frame."""
    return pcm + bytes(-len(pcm) % 1_920)


def images(recording: Recording, segment_id: int = 1) -> list[bytes]:
    return [frame.image for _, frame in recording.frames(segment_id)]


def check_each_segment_ends_once(recording: Recording) -> None:
    """Ids rise from 1; every segment is completed once, in order; nothing of an interrupted one follows."""
    completed = [event.turn_id for event in recording.all(TurnCompleted)]
    assert completed == list(range(1, len(completed) + 1))
    started = [event.turn_id for event in recording.all(TurnStarted)]
    assert started == sorted(set(started))
    for turn_id in started:
        interruptions = recording.all(Interrupted, turn_id)
        outcome = recording.only(TurnCompleted, turn_id).outcome
        assert len(interruptions) == (outcome is Outcome.INTERRUPTED)
        if interruptions:
            after = recording.events[recording.events.index(interruptions[0]) + 1 :]
            assert [e for e in after if isinstance(e, Media | ReplyFinished) and e.turn_id == turn_id] == []


@pytest.mark.parametrize("duration_s", [0.0001, 0.04, 0.5, 3.01, 7.999])
@pytest.mark.parametrize("unpaced", [True, False])
async def test_the_voice_comes_back_whole_with_a_frame_for_each_of_its_chunks(duration_s: float, unpaced: bool) -> None:
    voice = own_voice(duration_s)
    recording = await Animating().configured(unpaced=unpaced).voice(0.0, voice).run()
    frames = math.ceil(len(voice) / 2 / 24_000 * 25)
    assert recording.voice() == padded(voice)
    assert [frame.index for _, frame in recording.frames()] == list(range(frames))
    completed = recording.only(TurnCompleted)
    assert (completed.outcome, completed.frames_sent, completed.frames_held) == (Outcome.COMPLETED, frames, 0)
    assert recording.only(ReplyFinished).media_s == pytest.approx(frames / 25)


@pytest.mark.parametrize("message_s", [1 / 24_000, 0.005, 0.033, 0.04, 0.25, 1.0])
async def test_how_the_voice_is_split_into_messages_leaves_no_trace(message_s: float) -> None:
    voice = own_voice(1.3)
    whole = await Animating(FakeLipSync(hashes=True)).voice(0.0, voice).run()
    split = await Animating(FakeLipSync(hashes=True)).voice(0.0, voice, message_s=message_s).run()
    assert split.voice() == whole.voice()
    assert images(split) == images(whole)
    assert len(images(split)) == math.ceil(1.3 * 25)


@pytest.mark.parametrize(("rate", "render_s"), [(1.0, 0.002), (1.0, 0.03), (1.5, 0.03), (10.0, 0.018)])
async def test_a_voice_that_comes_in_real_time_keeps_all_its_frames(rate: float, render_s: float) -> None:
    lip_sync = FakeLipSync(hashes=True, render_s=render_s)
    live = await Animating(lip_sync).voice(0.0, own_voice(8.0), message_s=0.033, rate=rate).run()
    at_once = await Animating(FakeLipSync(hashes=True)).configured(unpaced=True).voice(0.0, own_voice(8.0)).run()
    assert live.only(TurnCompleted).starved_s == 0.0
    assert images(live) == images(at_once)


async def test_a_voice_that_is_there_at_once_is_played_at_once() -> None:
    recording = await Animating().voice(0.0, VOICE).run()
    assert recording.time(Media) < 0.05


async def test_a_caller_who_pauses_in_a_segment_is_waited_for_and_the_frames_return() -> None:
    script = Animating().voice(0.0, own_voice(3.0), message_s=0.033, rate=1.0)
    recording = await script.voice(6.0, own_voice(4.0, seed=2), message_s=0.033, rate=1.0).run()
    assert recording.voice() == own_voice(3.0) + own_voice(4.0, seed=2)
    completed = recording.only(TurnCompleted)
    assert completed.starved_s == pytest.approx(3.0, abs=0.2)
    assert [notice.reason for notice in recording.all(Notice)] == ["SPEECH_STARVED"]
    indices = [frame.index for _, frame in recording.frames()]
    assert indices[-98:] == list(range(77, 175)), "every frame after the pause but those of a request across it"
    assert completed.frames_held < 15


async def test_media_are_never_further_ahead_than_the_lead() -> None:
    recording = await Animating().configured(lead_s=0.5).voice(0.0, own_voice(6.0)).run()
    begun_s = recording.time(Media)
    for at_s, chunk in recording.chunks():
        assert (chunk.index + 1) * CHUNK_S <= at_s - begun_s + 0.5 + 1e-6


async def test_a_segment_is_completed_when_it_has_been_played() -> None:
    recording = await Animating().voice(0.0, VOICE).run()
    played_s = recording.time(Media) + recording.only(ReplyFinished).media_s
    assert recording.time(TurnCompleted) == pytest.approx(played_s, abs=0.001)


async def test_reports_move_the_play_out() -> None:
    script = Animating().voice(0.0, VOICE).end(0.0)
    for step in range(40):
        script.report(0.2 * step, 1, 0.1 * step)
    recording = await script.run()
    assert recording.time(TurnCompleted) == pytest.approx(2 * 3.04, abs=0.3)


async def test_a_caller_who_stops_reporting_loses_the_stream() -> None:
    script = Animating().voice(0.0, own_voice(9.0)).end(0.0).report(2.0, 1, 0.5)
    with pytest.raises(ExceptionGroup) as failed:
        await script.run()
    assert failed.group_contains(ReaderTooSlow)


async def test_unpaced_nothing_waits_for_play_out_and_frames_are_awaited_however_slow() -> None:
    slow = await Animating(FakeLipSync(render_s=0.2)).configured(unpaced=True).voice(0.0, VOICE).run()
    assert slow.only(TurnCompleted).frames_held == 0
    assert len(slow.frames()) == 76
    quick = await Animating(FakeLipSync(render_s=0.0)).configured(unpaced=True).voice(0.0, own_voice(20.0)).run()
    assert quick.time(TurnCompleted) < 0.001


async def test_unpaced_a_frame_that_is_lost_is_skipped_and_counted() -> None:
    lost = FakeLipSync(fails=range(2, 3), error=EngineTimeout("animate", "fake", "none"))
    recording = await Animating(lost).configured(unpaced=True).voice(0.0, VOICE).run()
    completed = recording.only(TurnCompleted)
    assert (completed.frames_sent, completed.frames_held) == (68, 8)
    assert completed.degraded_by == ("VIDEO_LOST",)
    assert [notice.reason for notice in recording.all(Notice)] == ["VIDEO_LOST", "VIDEO_RESTORED"]
    assert [frame.index for _, frame in recording.frames()] == [*range(12), *range(20, 76)]


async def test_when_lip_sync_fails_the_voice_goes_on() -> None:
    recording = await Animating(FakeLipSync(fails=range(1_000))).voice(0.0, VOICE).run()
    assert recording.voice() == padded(VOICE)
    assert [notice.reason for notice in recording.all(Notice)] == ["VIDEO_LOST"]
    completed = recording.only(TurnCompleted)
    assert (completed.outcome, completed.degraded_by) == (Outcome.COMPLETED, ("VIDEO_LOST",))


async def test_segments_follow_each_other_each_with_its_own_clock_and_the_loop_goes_on() -> None:
    script = Animating(FakeLipSync(hashes=True)).voice(0.0, VOICE).end(0.0).voice(0.0, own_voice(1.0, seed=2))
    recording = await script.end(0.0).end(0.1).run()
    check_each_segment_ends_once(recording)
    assert [event.turn_id for event in recording.all(TurnStarted)] == [1, 2]
    assert recording.voice(2) == own_voice(1.0, seed=2)
    assert recording.chunks(2)[0][1].index == 0
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) >= recording.time(TurnCompleted)
    assert recording.frames(2)[0][1].loop_index == 76 % 10
    alone = await Animating(FakeLipSync(hashes=True)).voice(0.0, own_voice(1.0, seed=2)).run()
    pairs = zip(images(recording, 2), images(alone), strict=True)
    assert all(ours.split()[0] == theirs.split()[0] for ours, theirs in pairs), "no sound of the segment before"


async def test_half_closing_ends_the_last_segment_and_what_is_queued_is_played() -> None:
    script = Animating()
    for seed in range(5):
        script.voice(0.0, own_voice(0.7, seed=seed)).end(0.0)
    recording = await script.run()
    check_each_segment_ends_once(recording)
    assert [event.outcome for event in recording.all(TurnCompleted)] == [Outcome.COMPLETED] * 5


async def test_a_stream_without_voice_is_over_when_it_is_half_closed() -> None:
    recording = await Animating().end(0.5).open_until(1.0).run()
    assert recording.events == []


async def test_a_caller_who_is_faster_than_play_out_is_slowed_down() -> None:
    """Of 60 s, so much is taken at once: what may wait, what the stages hold and the lead."""
    taken_s: list[float] = []
    script = Animating(buffered_s=5.0)
    for second in range(60):
        script.voice(0.0, own_voice(1.0, seed=second))

        async def note(_: object, second: int = second) -> None:
            taken_s.append(asyncio.get_running_loop().time())

        script.do(0.0, note)
    recording = await script.run()
    assert len(recording.voice()) == 60 * 48_000
    at_once = sum(time_s < taken_s[0] + 0.5 for time_s in taken_s)
    assert 5 < at_once < 5 + 20 + 3


async def test_an_interrupt_stops_the_segment_at_once_and_nothing_of_it_follows() -> None:
    script = Animating().voice(0.0, own_voice(20.0)).interrupt(2.0).open_until(3.0)
    recording = await script.run()
    check_each_segment_ends_once(recording)
    interrupted = recording.only(Interrupted)
    assert recording.time(Interrupted) == pytest.approx(2.0, abs=0.001)
    assert interrupted.played_s == pytest.approx(2.0 - recording.time(Media), abs=0.001)
    assert recording.times(Media)[-1] <= 2.0


async def test_voice_after_an_interrupt_begins_the_next_segment() -> None:
    script = Animating(FakeLipSync(hashes=True)).voice(0.0, own_voice(20.0)).interrupt(1.0)
    recording = await script.voice(1.0, own_voice(1.0, seed=2)).run()
    check_each_segment_ends_once(recording)
    assert recording.voice(2) == own_voice(1.0, seed=2)
    assert len(recording.frames(2)) == 25
    assert recording.time(TurnStarted, lambda event: event.turn_id == 2) == pytest.approx(1.0, abs=0.001)


async def test_an_interrupt_drops_what_is_queued() -> None:
    script = Animating().voice(0.0, VOICE).end(0.0).voice(0.0, VOICE).end(0.0).voice(0.0, VOICE).interrupt(1.0)
    recording = await script.voice(1.0, own_voice(1.0)).run()
    check_each_segment_ends_once(recording)
    outcomes = [event.outcome for event in recording.all(TurnCompleted)]
    assert outcomes == [Outcome.INTERRUPTED] * 3 + [Outcome.COMPLETED]
    assert [event.turn_id for event in recording.all(TurnStarted)] == [1, 4]
    assert [event.turn_id for event in recording.all(Interrupted)] == [1]


async def test_an_interrupt_that_names_a_segment_leaves_the_others_alone() -> None:
    script = Animating()
    for seed in range(4):
        script.voice(0.0, own_voice(1.0, seed=seed)).end(0.0)
    recording = await script.interrupt(0.5, 1).interrupt(0.5, 3).run()
    check_each_segment_ends_once(recording)
    outcomes = [event.outcome for event in recording.all(TurnCompleted)]
    assert outcomes == [Outcome.INTERRUPTED, Outcome.COMPLETED, Outcome.INTERRUPTED, Outcome.COMPLETED]
    assert [event.turn_id for event in recording.all(TurnStarted)] == [1, 2, 4]
    assert recording.voice(4) == own_voice(1.0, seed=3)


@pytest.mark.parametrize("segment_id", [0, 1, 2, 7])
async def test_an_interrupt_of_nothing_is_ignored_with_a_notice(segment_id: int) -> None:
    script = Animating().voice(0.0, own_voice(0.5)).end(0.0).interrupt(3.0, segment_id)
    recording = await script.run()
    assert recording.only(Notice).reason == "REQUEST_IGNORED"
    assert recording.all(Interrupted) == []
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED


async def test_an_interrupt_behind_more_voice_than_may_wait_is_not_stuck() -> None:
    script = Animating(buffered_s=1.0).voice(0.0, own_voice(30.0)).interrupt(0.0)
    recording = await script.voice(0.0, own_voice(1.0)).run()
    check_each_segment_ends_once(recording)
    assert recording.all(TurnCompleted)[-1].outcome is Outcome.COMPLETED


async def test_an_interrupted_render_request_is_not_awaited() -> None:
    recording = await Animating(FakeLipSync(hangs=range(1))).voice(0.0, VOICE).interrupt(1.0).run()
    assert recording.time(Interrupted) == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("seed", range(150))
async def test_any_order_of_voice_ends_and_interrupts_is_exact(seed: int) -> None:
    chance = random.Random(seed)
    lip_sync = FakeLipSync(
        render_s=chance.choice([0.001, 0.02, 0.06]), fails=range(2) if chance.random() < 0.2 else range(0)
    )
    script = Animating(lip_sync, buffered_s=chance.choice([0.5, 30.0])).configured(unpaced=chance.random() < 0.2)
    for _ in range(chance.randrange(2, 14)):
        at_s = chance.uniform(0.0, 6.0)
        match chance.randrange(5):
            case 0 | 1:
                script.voice(at_s, own_voice(chance.uniform(0.01, 2.0)), message_s=0.1)
            case 2:
                script.end(at_s)
            case 3:
                script.interrupt(at_s, chance.choice([0, 0, 1, 2, 3]))
            case 4:
                segment_id, position_s = chance.randrange(3), chance.uniform(-1.0, 3.0)
                for step in range(60):  # one who has begun to report goes on, or would be taken to have stopped
                    script.report(at_s + 0.3 * step, segment_id, position_s + 0.3 * step)
    recording = await script.run()
    check_each_segment_ends_once(recording)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("fps", [Fraction(30_000, 1_001), Fraction(24), Fraction(60)], ids=str)
async def test_at_any_rate_the_renderer_is_told_exactly_where_each_frame_begins(fps: Fraction) -> None:
    """In 16 kHz samples of the segment: floor(16000 i / fps), in spans that begin at a whole feature of 20 ms."""
    lip_sync = FakeLipSync()
    recording = await Animating(lip_sync).configured(fps=fps, unpaced=True).voice(0.0, VOICE, message_s=0.033).run()
    starts = [request.span_start + start for request in lip_sync.requests for start in request.frame_starts]
    assert starts == [math.floor(frame * 16_000 / fps) for frame in range(math.ceil(3.01 * fps))]
    assert {request.span_start % 320 for request in lip_sync.requests} == {0}
    assert [frame.index for _, frame in recording.frames()] == list(range(len(starts)))
