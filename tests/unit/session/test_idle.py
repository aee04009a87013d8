"""The silent avatar between turns: which pictures are sent, and when."""

import asyncio
import itertools
import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from avatar_service.events import Interrupted, Media, Outcome, TurnCompleted
from avatar_service.media.frame_codec import FrameEncoding, FrameFormat
from avatar_service.media.types import Frame
from avatar_service.session.idle import LEAD_FRAMES, IdleFrames
from avatar_service.turn.turn import MediaSettings
from tests.animating import Animating, own_voice
from tests.fakes.lip_sync import FakeLipSync, image_of
from tests.pictures import h264_frames, jpeg, pixels_of, psnr_db
from tests.scenario import MEDIA, Recording, Scenario

LOOP = MEDIA.loop_length
FRAME_S = 0.04


class Phases:
    """Idle frames to a recording client."""

    def __init__(
        self,
        lip_sync: FakeLipSync,
        tasks: asyncio.TaskGroup,
        send_delay_s: float = 0.0,
        media: MediaSettings = MEDIA,
    ) -> None:
        self.recording = Recording(send_delay_s=send_delay_s)
        self.idle = IdleFrames(media, lip_sync, self.recording)
        self.tasks = tasks

    def start(self, loop_index: int) -> None:
        self.idle.start(self.tasks, loop_index)

    @property
    def frames(self) -> list[tuple[float, Frame]]:
        return self.recording.frames(turn_id=0)

    @property
    def indices(self) -> list[int]:
        return [frame.index for _, frame in self.frames]

    @property
    def loop_indices(self) -> list[int]:
        return [frame.loop_index for _, frame in self.frames]


@asynccontextmanager
async def phases(
    lip_sync: FakeLipSync | None = None, send_delay_s: float = 0.0, media: MediaSettings = MEDIA
) -> AsyncIterator[Phases]:
    async with asyncio.TaskGroup() as tasks:
        running = Phases(lip_sync or FakeLipSync(render_s=0.0), tasks, send_delay_s, media)
        yield running
        running.idle.stop()


async def test_frames_come_at_the_avatars_rate_no_further_ahead_than_the_lead() -> None:
    async with phases() as shown:
        shown.start(0)
        await asyncio.sleep(4.0)
    began_s = shown.frames[0][0]
    assert shown.indices == list(range(len(shown.frames)))
    assert len(shown.frames) == pytest.approx(100 + LEAD_FRAMES, abs=1)
    for at_s, frame in shown.frames:
        ahead = (frame.index + 1) - (at_s - began_s) / FRAME_S
        assert 0.99 < ahead <= LEAD_FRAMES + 1e-6


async def test_pictures_are_the_silent_avatars_and_go_round_its_loop() -> None:
    async with phases() as shown:
        shown.start(7)
        await asyncio.sleep(1.0)
    assert shown.loop_indices == [(7 + index) % LOOP for index in range(len(shown.frames))]
    assert [frame.image for _, frame in shown.frames] == [image_of(index, 0.0) for index in shown.loop_indices]


async def test_several_pictures_are_asked_for_at_a_time_and_the_same_ones_by_every_session() -> None:
    lip_sync = FakeLipSync(render_s=0.0)
    for start in (0, 3):
        async with phases(lip_sync) as shown:
            shown.start(start)
            await asyncio.sleep(1.0)
    asked = [request.frame_indices for request in lip_sync.requests]
    assert set(asked) == {(0, 1, 2, 3, 4, 5, 6, 7), (8, 9)}
    assert len(asked) < len(shown.frames)
    assert {weight for request in lip_sync.requests for weight in request.mouth_weights} == {0.0}


async def test_the_next_pictures_are_fetched_while_others_are_shown() -> None:
    """A renderer that takes 0.24 s for eight pictures, which are shown for 0.32 s, leaves no gap."""
    async with phases(FakeLipSync(render_s=0.03)) as shown:
        shown.start(0)
        await asyncio.sleep(4.0)
    assert shown.indices == list(range(len(shown.frames)))
    assert len(shown.frames) > 90


async def test_a_phase_ends_at_once_and_says_where_the_loop_goes_on() -> None:
    async with phases() as shown:
        shown.start(3)
        await asyncio.sleep(0.5)
        next_index = shown.idle.stop()
        sent = len(shown.frames)
        await asyncio.sleep(1.0)
        assert next_index == 3 + sent
        assert shown.idle.stop() == next_index, "it is over already"
    assert len(shown.frames) == sent


async def test_each_phase_counts_anew_and_goes_on_where_it_is_told_to() -> None:
    async with phases() as shown:
        shown.start(0)
        await asyncio.sleep(0.2)
        shown.idle.stop()
        first = len(shown.frames)
        await asyncio.sleep(0.3)
        shown.start(25)
        shown.start(99)  # one that is going on is left alone
        await asyncio.sleep(0.2)
    assert shown.indices[first:] == list(range(len(shown.frames) - first))
    assert shown.loop_indices[first] == 5
    second_s = [at_s for at_s, _ in shown.frames[first:]]
    assert second_s[0] == pytest.approx(0.5)
    assert second_s[2] == pytest.approx(0.5 + FRAME_S)


async def test_a_phase_that_sent_nothing_leaves_the_loop_where_it_was() -> None:
    async with phases(FakeLipSync(hangs=range(1))) as shown:
        shown.start(6)
        await asyncio.sleep(1.0)
        assert shown.idle.stop() == 6
    assert shown.frames == []


async def test_a_client_that_takes_frames_slowly_gets_fewer_and_each_at_its_time() -> None:
    async with phases(send_delay_s=0.1) as shown:
        shown.start(0)
        await asyncio.sleep(4.0)
    assert len(shown.frames) == pytest.approx(40, abs=2)
    began_s = shown.frames[0][0]
    for at_s, frame in shown.frames[1:]:
        assert frame.index * FRAME_S == pytest.approx(at_s - 0.1 - began_s, abs=2 * FRAME_S)
        assert frame.loop_index == frame.index % LOOP


async def test_nothing_is_added_to_what_waits_for_a_slow_client() -> None:
    async with phases() as shown:
        shown.start(0)
        await asyncio.sleep(1.0)
        shown.recording.waiting_s = 0.5
        sent = len(shown.frames)
        await asyncio.sleep(2.0)
        assert len(shown.frames) == sent
        shown.recording.waiting_s = 0.0
        await asyncio.sleep(1.0)
    assert shown.indices[sent] == pytest.approx(3.0 / FRAME_S, abs=3)
    assert shown.loop_indices[sent] == shown.indices[sent] % LOOP


async def test_frames_follow_the_avatars_own_rate() -> None:
    async with asyncio.TaskGroup() as tasks:
        recording = Recording()
        idle = IdleFrames(replace(MEDIA, fps=MEDIA.fps * 2), FakeLipSync(render_s=0.0), recording)
        idle.start(tasks, 0)
        await asyncio.sleep(2.0)
        idle.stop()
    assert len(recording.all(Media)) == pytest.approx(100 + LEAD_FRAMES, abs=1)


def phases_of(recording: Recording) -> list[list[tuple[float, Frame]]]:
    """The idle frames with their times, phase by phase."""
    found: list[list[tuple[float, Frame]]] = []
    for at_s, frame in recording.frames(turn_id=0):
        if not frame.index:
            found.append([])
        found[-1].append((at_s, frame))
    return found


def check_nothing_jumps(recording: Recording, turn_ids: Sequence[int]) -> None:
    """Idle phases stand around the turns, each turn begins at the picture after the last idle one, each phase at the
    one after the last that was seen of the turn, and no idle frame comes while a turn's media play."""
    phases = phases_of(recording)
    assert len(phases) == len(turn_ids) + 1
    for turn_id, before, after in zip(turn_ids, phases[:-1], phases[1:], strict=True):
        frames = recording.frames(turn_id)
        assert frames[0][1].loop_index == (before[-1][1].loop_index + 1) % LOOP
        began_s = recording.chunks(turn_id)[0][0]
        stops = [event for event in recording.all(Interrupted) if event.turn_id == turn_id]
        seen_s = stops[0].played_s if stops else len(recording.chunks(turn_id)) * FRAME_S
        first = frames[0][1].loop_index
        assert after[0][1].loop_index == (first + math.ceil(round(seen_s / FRAME_S, 6))) % LOOP
        assert before[-1][0] <= began_s
        assert after[0][0] >= began_s + seen_s - 1e-6
    for phase in phases:
        loop_indices = [frame.loop_index for _, frame in phase]
        assert loop_indices == [(loop_indices[0] + frame.index) % LOOP for _, frame in phase]


async def test_between_segments_of_a_callers_voice_the_avatar_is_idle() -> None:
    script = Animating(idle_frames=True).voice(0.73, own_voice(1.0)).end(0.73)
    script.voice(3.0, own_voice(20.0, seed=2)).interrupt(4.51).voice(6.0, own_voice(0.5, seed=3)).end(6.0)
    recording = await script.open_until(8.0).run()
    assert [event.outcome for event in recording.all(TurnCompleted)] == [
        Outcome.COMPLETED,
        Outcome.INTERRUPTED,
        Outcome.COMPLETED,
    ]
    check_nothing_jumps(recording, (1, 2, 3))
    ended_s = recording.frames(turn_id=0)[-1][0]
    assert ended_s == pytest.approx(8.0, abs=LEAD_FRAMES * FRAME_S)


async def test_a_segment_that_is_stopped_before_it_showed_anything_leaves_the_phase_as_it_is() -> None:
    script = Animating(FakeLipSync(render_s=0.0), idle_frames=True).voice(1.0, own_voice(0.1)).interrupt(1.1)
    recording = await script.open_until(2.0).run()
    (phase,) = phases_of(recording)
    assert [frame.index for _, frame in phase] == list(range(len(phase)))
    assert len(phase) == pytest.approx(50 + LEAD_FRAMES, abs=1)


async def test_nobody_who_did_not_ask_gets_idle_frames() -> None:
    recording = await Animating().voice(0.5, own_voice(0.5)).open_until(3.0).run()
    assert recording.frames(turn_id=0) == []


async def test_another_avatar_is_shown_from_the_next_picture_on() -> None:
    lip_sync = FakeLipSync(render_s=0.0)
    async with phases(lip_sync) as shown:
        shown.start(0)
        await asyncio.sleep(1.0)
        asked, sent = len(lip_sync.requests), len(shown.frames)
        shown.idle.change(replace(MEDIA, avatar_key="bo@01", loop_length=7))
        await asyncio.sleep(1.0)
    assert {request.avatar for request in lip_sync.requests[asked:]} == {"bo@01"}
    assert shown.loop_indices[sent:] == [index % 7 for index in shown.indices[sent:]]
    assert shown.indices == list(range(len(shown.indices)))


async def test_over_a_conversation_with_interruptions_no_picture_jumps() -> None:
    script = Scenario().configured(idle_frames=True)
    for text in ("Once upon a time there was a fox who could sing.", "Ask me another.", "The end, dear listener."):
        script.reply(text, ttft_s=0.3)
    script.speech(rate=4.0).lip_sync(render_s=0.005)
    script.text(1.0, "Tell me a story.").interrupt(2.83).text(4.0, "And?").listen_until(9.0)
    recording = await script.run()
    outcomes = [event.outcome for event in recording.all(TurnCompleted)]
    assert outcomes == [Outcome.INTERRUPTED, Outcome.COMPLETED]
    check_nothing_jumps(recording, (1, 2))


async def test_a_text_that_interrupts_begins_where_the_turn_before_was_left() -> None:
    script = Scenario().configured(idle_frames=True).reply("Once upon a time there was a fox.").reply("Well.")
    script.speech(rate=4.0).text(0.5, "Tell me a story.").text(2.0, "Stop it.").listen_until(5.0)
    recording = await script.run()
    check_nothing_jumps(recording, (1, 2))


async def test_a_turn_that_is_skipped_leaves_the_idle_avatar_as_it_is() -> None:
    script = Scenario().configured(idle_frames=True).user_speech(0.5, 1.5, "").listen_until(4.0)
    recording = await script.run()
    assert recording.only(TurnCompleted).outcome is Outcome.SKIPPED
    (phase,) = phases_of(recording)
    assert [frame.index for _, frame in phase] == list(range(len(phase)))
    assert len(phase) == pytest.approx(100 + LEAD_FRAMES, abs=2)


async def test_where_lip_sync_fails_idle_frames_come_again_when_it_is_back() -> None:
    script = Scenario().configured(idle_frames=True).reply("Well, well, well.").lip_sync(fails=range(4))
    recording = await script.text(0.5, "Hello").listen_until(12.0).run()
    assert recording.only(TurnCompleted).outcome is Outcome.COMPLETED
    assert recording.frames(turn_id=0)[-1][0] > 11.5
    began_s, (ended_s, _) = recording.chunks(1)[0][0], recording.chunks(1)[-1]
    assert [at_s for at_s, _ in recording.frames(turn_id=0) if began_s < at_s < ended_s] == []


async def test_no_idle_frame_comes_beside_a_voice_that_is_heard_before_its_first_frame_is_asked_for() -> None:
    """A voice that comes slowly is played after 0.3 s, while a render request takes 0.4 s of it."""
    script = Scenario().configured(idle_frames=True).reply("Well, well, well.").speech(rate=0.9)
    recording = await script.text(0.5, "Hello").listen_until(5.0).run()
    heard_s, seen_s = recording.chunks(1)[0][0], recording.frames(1)[0][0]
    assert seen_s > heard_s + 0.05
    assert [at_s for at_s, _ in recording.frames(turn_id=0) if heard_s <= at_s <= seen_s] == []


async def test_a_conversation_without_frames_has_no_idle_ones() -> None:
    script = Scenario().configured(idle_frames=True, audio_only=True).reply("Hello.").text(0.5, "Hi").listen_until(3.0)
    recording = await script.run()
    assert recording.frames(turn_id=0) == []
    assert script.fake_lip_sync.requests == []


@pytest.mark.parametrize("seed", range(4))
async def test_however_a_conversation_goes_all_that_is_sent_is_one_stream_of_h264(seed: int) -> None:
    chance = random.Random(seed)
    script = Scenario().configured(idle_frames=True, frames=FrameFormat(FrameEncoding.H264))
    script.speech(rate=4.0).lip_sync(picture=jpeg, render_s=chance.choice([0.002, 0.03]), fails=range(3, 3 + seed % 3))
    for _ in range(6):
        script.reply("Once upon a time there was a fox.")
    for _ in range(4):
        script.text(chance.uniform(0.0, 4.0), "Go on.").interrupt(chance.uniform(0.5, 5.0))
    recording = await script.listen_until(6.0).run()
    frames = [event.packet for event in recording.all(Media) if isinstance(event.packet, Frame)]
    assert len(frames) > 50
    for frame, shown in list(zip(frames, h264_frames([frame.image for frame in frames]), strict=True))[::7]:
        assert psnr_db(pixels_of(jpeg(frame.loop_index)), shown.to_ndarray(format="rgb24")) > 34
    turn_ids = [event.turn_id for event in recording.all(Media) if isinstance(event.packet, Frame)]
    begins = [before != after for before, after in itertools.pairwise([-1, *turn_ids])]
    assert all(frame.keyframe for frame, first in zip(frames, begins, strict=True) if first or not frame.index)
