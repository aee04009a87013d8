"""The rules that make Whisper quick: a short context, a second try, windows."""

import numpy as np
import pytest

from avatar_service.sandbox.whisper import context_s, looks_cut_off, looks_like_loop, windows


@pytest.mark.parametrize(
    ("duration_s", "expected_s"), [(0.1, 10), (3.2, 10), (8.0, 10), (8.1, 11), (20.5, 23), (28.0, 30), (60.0, 30)]
)
def test_the_context_covers_the_audio_and_never_less_than_ten_seconds(duration_s: float, expected_s: int) -> None:
    assert context_s(duration_s) == expected_s


def test_more_tokens_than_anyone_says_look_like_a_loop() -> None:
    assert not looks_like_loop(26, duration_s=2.0)
    assert looks_like_loop(27, duration_s=2.0)


def test_far_fewer_tokens_than_speech_look_cut_off() -> None:
    assert looks_cut_off(9, speech_s=12.0)
    assert not looks_cut_off(30, speech_s=12.0)
    assert not looks_cut_off(2, speech_s=3.0), "a short answer may take its time"


def test_short_audio_is_one_window() -> None:
    assert list(windows(np.ones(15 * 16_000, np.float32))) == [(0, 15 * 16_000)]


def test_long_audio_is_cut_where_it_is_quietest() -> None:
    audio = np.ones(60 * 16_000, np.float32)
    audio[11 * 16_000 : 11 * 16_000 + 8000] = 0.0
    cuts = list(windows(audio))
    assert cuts[0][0] == 0
    assert 11.0 <= cuts[0][1] / 16_000 <= 11.5
    assert [end for _, end in cuts[:-1]] == [start for start, _ in cuts[1:]]
    assert cuts[-1][1] == len(audio)
    assert all(end - start <= 15 * 16_000 for start, end in cuts)
