"""What a load measures of one session: when things arrive, and what is not the service's doing."""

import asyncio
from fractions import Fraction
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    AudioChunk,
    ConverseResponse,
    Frame,
    Interrupted,
    Notice,
    NoticeReason,
    Status,
    TurnCompleted,
    TurnMetrics,
    TurnOutcome,
    TurnStarted,
)
from avatar_client.clock import now
from avatar_client.errors import LimitReached, StreamEnded
from avatar_client.events import Audio
from avatar_client.facts import MediaFormat
from avatar_client.load.measuring import Book, Watch
from avatar_client.play_out import PlayOutClock

MEDIA = MediaFormat("LINEAR16", 24_000, "JPEG", Fraction(25), 64, 64)
SAMPLES = 960


class Session:
    """A session that is watched; times are virtual."""

    def __init__(self) -> None:
        self.book = Book()
        self.clock = PlayOutClock(24_000)
        self.watch = Watch(self.book, MEDIA, self.clock)

    def see(self, **payload: Any) -> None:
        self.watch.see(ConverseResponse(**payload))

    def begins(self, turn_id: int = 1, resumes: int = 0) -> None:
        self.see(turn_started=TurnStarted(turn_id=turn_id, resumes_turn_id=resumes))

    def audio(self, index: int, turn_id: int = 1) -> None:
        self.see(audio=AudioChunk(turn_id=turn_id, index=index, data=bytes(2 * SAMPLES)))
        self.clock.add_audio(Audio(turn_id, index, index / 25, b"", b"", SAMPLES), now())

    def frame(self, index: int, turn_id: int = 1) -> None:
        frame = Frame(turn_id=turn_id, index=index, data=bytes(100))
        frame.offset.FromMilliseconds(40 * index)
        self.see(frame=frame)

    async def second(self, turn_id: int = 1) -> None:
        """The first second of media, which comes at once."""
        for index in range(25):
            self.audio(index, turn_id)
            self.frame(index, turn_id)


async def test_latencies_count_from_the_end_of_the_question() -> None:
    session = Session()
    session.watch.questions.append(now() + 0.5)
    await asyncio.sleep(1.0)
    session.begins()
    await asyncio.sleep(0.2)
    session.audio(0)
    await asyncio.sleep(0.03)
    session.frame(0)
    assert session.book.first_audio_ms.largest == pytest.approx(700.0)
    assert session.book.first_frame_ms.largest == pytest.approx(730.0)
    assert session.book.frame_after_audio_ms.largest == pytest.approx(30.0)
    (point,) = session.book.points
    assert (point.first_audio_ms, point.first_frame_ms) == pytest.approx((700.0, 730.0))


async def test_a_turn_that_nobody_asked_for_has_no_latency() -> None:
    session = Session()
    session.watch.questions.append(now())
    session.begins(1, resumes=7)  # the rest of another
    session.audio(0)
    assert session.book.first_audio_ms.count == 0
    session.begins(2)
    session.audio(0, 2)
    assert session.book.first_audio_ms.count == 1


async def test_gaps_between_frames_count_once_the_lead_is_filled_and_long_ones_are_told_apart() -> None:
    session = Session()
    session.begins()
    await session.second()
    assert session.book.frame_gap_ms.count == 0
    for index, gap_s in ((25, 0.04), (26, 0.04), (27, 0.07)):
        await asyncio.sleep(gap_s)
        session.frame(index)
    assert session.book.frame_gap_ms.count == 3
    assert session.book.frame_gap_ms.largest == pytest.approx(70.0)
    assert session.book.counts["long_gaps"] == 1


async def test_a_frame_whose_time_is_over_is_late() -> None:
    session = Session()
    session.begins()
    await session.second()
    await asyncio.sleep(0.9)
    session.frame(25)
    assert session.book.counts["late_frames"] == 0
    for index in range(25, 60):
        session.audio(index)
    await asyncio.sleep(0.3)
    session.frame(26)  # is shown from 1.04 s to 1.08 s, and 1.2 s are played
    assert session.book.counts["late_frames"] == 1


async def test_what_a_slow_reader_gets_late_is_counted_and_not_timed() -> None:
    session = Session()
    session.watch.questions.append(now())
    session.begins()
    session.watch.stops_reading()
    await asyncio.sleep(5.0)
    await session.second()
    session.frame(25)
    book = session.book
    assert book.first_audio_ms.count == book.first_frame_ms.count == book.frame_gap_ms.count == 0
    assert (book.counts["frames"], book.counts["late_frames"]) == (26, 0)
    assert book.counts["media_bytes"] == 25 * 2 * SAMPLES + 26 * 100


async def test_a_barge_in_takes_from_its_first_sound_to_interrupted_and_media_after_that_are_stale() -> None:
    session = Session()
    session.begins()
    await session.second()
    session.watch.barged_in_at = now()
    await asyncio.sleep(0.3)
    session.see(interrupted=Interrupted(turn_id=1, utterance_id=2))
    assert session.book.barge_in_ms.largest == pytest.approx(300.0)
    assert session.book.stale_ms is None
    await asyncio.sleep(0.05)
    session.audio(25)
    assert session.book.counts["stale_media"] == 1
    assert session.book.stale_ms == pytest.approx(50.0)


async def test_an_interruption_that_was_asked_for_is_no_barge_in() -> None:
    session = Session()
    session.begins()
    session.watch.barged_in_at = now()
    session.see(interrupted=Interrupted(turn_id=1))
    assert session.book.barge_in_ms.count == 0


async def test_endings_held_and_shed_frames_and_what_degraded_a_turn_are_counted() -> None:
    session = Session()
    session.begins()
    lost = NoticeReason.NOTICE_REASON_VIDEO_LOST
    session.see(
        turn_completed=TurnCompleted(
            turn_id=1,
            outcome=TurnOutcome.TURN_OUTCOME_COMPLETED,
            metrics=TurnMetrics(held_frame_count=3, shed_frame_count=2, starved_ms=40),
            degraded=True,
            degraded_reasons=[lost],
        )
    )
    session.see(turn_completed=TurnCompleted(turn_id=2, outcome=TurnOutcome.TURN_OUTCOME_SKIPPED))
    session.see(notice=Notice(reason=lost))
    counts = session.book.counts
    assert (counts["turns_begun"], counts["turns_completed"], counts["turns_skipped"]) == (1, 1, 1)
    assert (counts["held_frames"], counts["shed_frames"], counts["starved_ms"]) == (3, 2, 40)
    assert (session.book.degraded, session.book.notices) == ({"VIDEO_LOST": 1}, {"VIDEO_LOST": 1})


async def test_idle_frames_belong_to_no_turn() -> None:
    session = Session()
    session.frame(0, turn_id=0)
    assert (session.book.counts["idle_frames"], session.book.counts["frames"]) == (1, 0)


async def test_a_session_remembers_few_turns() -> None:
    session = Session()
    for turn_id in range(1, 100):
        session.begins(turn_id)
    assert len(session.watch._turns) <= 8


async def test_errors_are_counted_by_code_and_reason() -> None:
    book = Book()
    status = Status()
    status.error_info.reason = "SESSIONS_EXHAUSTED"
    book.failed(LimitReached(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", status))
    book.failed(LimitReached(grpc.StatusCode.RESOURCE_EXHAUSTED, "full"))
    book.failed(StreamEnded("over"))
    assert book.errors == {"RESOURCE_EXHAUSTED SESSIONS_EXHAUSTED": 1, "RESOURCE_EXHAUSTED": 1, "StreamEnded": 1}
