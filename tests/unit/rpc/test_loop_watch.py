"""How long a loop counts as standing still."""

from avatar_service.rpc.loop_watch import BEAT_S, MISSED, Standstill


def test_a_loop_stands_still_from_its_last_beat_on() -> None:
    standstill = Standstill(0.0)
    assert standstill.lasts_s(BEAT_S, 0.0) == BEAT_S
    for look in range(2, 100):
        assert standstill.lasts_s(look * BEAT_S, BEAT_S) == (look - 1) * BEAT_S
    assert standstill.lasts_s(100 * BEAT_S, 99.5 * BEAT_S) == 0.5 * BEAT_S


def test_a_process_that_was_stopped_has_a_loop_that_has_its_time_from_then_on() -> None:
    standstill = Standstill(0.0)
    assert standstill.lasts_s(BEAT_S, BEAT_S) == 0.0
    assert standstill.lasts_s(1_000.0, BEAT_S) == 0.0
    assert standstill.lasts_s(1_000.0 + BEAT_S, BEAT_S) == BEAT_S


def test_a_thread_that_is_a_little_late_still_counts_the_whole_time() -> None:
    standstill = Standstill(0.0)
    late_s = MISSED * BEAT_S
    assert standstill.lasts_s(late_s, 0.0) == late_s
