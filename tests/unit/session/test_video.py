"""Lost frames over the turns of a session: told once when they are lost and once when they are back."""

import pytest

from avatar_service.engines.loop_frames import LoopFrames
from avatar_service.events import Notice, TurnCompleted
from avatar_service.media.types import Frame
from tests.animating import Animating, own_voice
from tests.fakes.lip_sync import FakeLipSync
from tests.scenario import MEDIA, Recording, Scenario

LONG = "The moon is near, and it is round, and it is bright tonight. " * 4
WORDS = "The moon is near."


def notices(recording: Recording) -> list[tuple[str, int]]:
    return [(notice.reason, notice.turn_id) for notice in recording.all(Notice)]


def degraded(recording: Recording) -> list[tuple[str, ...]]:
    return [completed.degraded_by for completed in recording.all(TurnCompleted)]


async def test_frames_that_return_in_the_same_turn_are_told_of_before_the_first() -> None:
    recording = await Scenario().say(0.0, LONG).lip_sync(fails=range(4, 8)).run()
    assert notices(recording) == [("VIDEO_LOST", 1), ("VIDEO_RESTORED", 1)]
    lost_s, restored_s = recording.times(Notice)
    again = [(at_s, frame) for at_s, frame in recording.frames() if at_s > lost_s and frame.index > 40]
    assert restored_s <= again[0][0]
    assert degraded(recording) == [("VIDEO_LOST",)]


async def test_the_loop_and_the_mouth_go_on_where_time_has_come_to() -> None:
    recording = await Scenario().say(0.0, LONG).lip_sync(fails=range(4, 8)).run()
    frames = [frame for _, frame in recording.frames()]
    assert [frame.index for frame in frames] != list(range(frames[-1].index + 1)), "some were lost"
    assert all(frame.loop_index == (frames[0].loop_index + frame.index) % MEDIA.loop_length for frame in frames)


async def test_frames_that_return_in_a_later_turn_are_told_of_there_and_the_loss_is_not_told_again() -> None:
    script = Scenario().say(0.0, WORDS).say(0.1, WORDS).say(0.2, WORDS)
    first = await script.lip_sync(fails=range(1_000)).run()
    asked = len(script.fake_lip_sync.requests)
    assert notices(first) == [("VIDEO_LOST", 1)]
    assert degraded(first) == [("VIDEO_LOST",)] * 3

    script = Scenario().say(0.0, WORDS).say(0.1, WORDS).say(0.2, WORDS).lip_sync(fails=range(asked * 2 // 3))
    second = await script.run()
    (lost, lost_in), (restored, restored_in) = notices(second)
    assert (lost, lost_in, restored) == ("VIDEO_LOST", 1, "VIDEO_RESTORED")
    assert restored_in > 1
    assert degraded(second)[0] == ("VIDEO_LOST",)
    assert not second.frames(1)
    assert second.frames(restored_in)


async def test_a_second_loss_is_told_of_too() -> None:
    recording = await Scenario().say(0.0, LONG).lip_sync(fails=range(4, 6)).run()
    once = notices(recording)

    class Twice(FakeLipSync):
        """Fails two times, answers, and fails again."""

        def __init__(self) -> None:
            super().__init__(fails=range(4, 6))
            self.again = range(9, 11)

        async def render(self, request):  # type: ignore[no-untyped-def]  # as the base has it
            if len(self.requests) in self.again:
                self.requests.append(request)
                raise self._error
            return await super().render(request)

    script = Scenario().say(0.0, LONG)
    script.fake_lip_sync = Twice()
    recording = await script.run()
    assert notices(recording) == once * 2
    assert degraded(recording) == [("VIDEO_LOST",)]


async def test_pauses_that_are_shown_without_a_renderer_do_not_count_as_its_return() -> None:
    """Pictures of the silent avatar were kept; the voice has a pause in it."""
    dead = FakeLipSync(fails=range(1, 10_000))
    script = Animating(idle_frames=True).voice(1.0, own_voice(2.0) + bytes(2 * 24_000) + own_voice(2.0, seed=2))
    kept = LoopFrames(dead)
    script.lip_sync = kept  # type: ignore[assignment]  # any lip-sync will do
    recording = await script.run()
    assert notices(recording) == [("VIDEO_LOST", 1)]


async def test_a_renderer_that_hangs_is_told_of_while_the_turn_lasts_and_holds_up_no_voice() -> None:
    recording = await Scenario().say(0.0, 3 * LONG).lip_sync(hangs=range(3, 1_000)).run()
    assert notices(recording) == [("VIDEO_LOST", 1)]
    (lost_s,) = recording.times(Notice)
    assert lost_s < 5.0
    assert degraded(recording) == [("VIDEO_LOST",)]
    began_s = recording.chunks()[0][0]
    assert len(recording.chunks()) > 30 * 25
    assert all(at_s - began_s <= chunk.index / 25 for at_s, chunk in recording.chunks())


@pytest.mark.parametrize("media", [{"audio_only": True}, {}], ids=["voice alone", "well"])
async def test_what_is_not_lost_is_not_told_of(media: dict[str, bool]) -> None:
    script = Scenario().configured(**media).say(0.0, WORDS)
    recording = await (script.lip_sync(fails=range(100)) if media else script).run()
    assert notices(recording) == []
    assert all(isinstance(frame, Frame) for _, frame in recording.frames())
