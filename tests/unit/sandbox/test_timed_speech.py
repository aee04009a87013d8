"""Chunks of speech with the characters that begin in them."""

import base64

from avatar_service.sandbox.alignment import Alignment
from avatar_service.sandbox.speaking import SpokenSentence
from avatar_service.sandbox.speech_encoding import SpeechPiece
from avatar_service.sandbox.timed_speech import http_alignment, socket_alignment, timed_chunks


def spoken(pieces: int, alignment: Alignment) -> SpokenSentence:
    """A sentence that begins at 5 s, in pieces of 20 ms."""
    made = [SpeechPiece(bytes([number]), 5.0 + 0.02 * number, 5.02 + 0.02 * number) for number in range(pieces)]
    return SpokenSentence(made, alignment, alignment, 0.0)


def letters(text: str, start_s: float, step_s: float) -> Alignment:
    starts = tuple(start_s + step_s * number for number in range(len(text)))
    return Alignment(tuple(text), starts, tuple(start + step_s for start in starts))


def test_chunks_hold_200_ms_and_together_everything() -> None:
    chunks = list(timed_chunks(spoken(25, letters("abcdefghij", 5.0, 0.05))))
    assert [len(chunk.data) for chunk in chunks] == [10, 10, 5]
    assert [chunk.start_s for chunk in chunks] == [5.0, 5.2, 5.4]
    assert ["".join(chunk.written.characters) for chunk in chunks] == ["abcd", "efgh", "ij"]


def test_characters_before_the_first_and_after_the_last_byte_are_kept() -> None:
    chunks = list(timed_chunks(spoken(12, letters("abcd", 4.9, 0.2))))
    assert ["".join(chunk.read.characters) for chunk in chunks] == ["ab", "cd"]


def test_characters_without_a_byte_are_kept() -> None:
    (chunk,) = timed_chunks(spoken(0, letters("ab", 5.0, 0.0)))
    assert (chunk.data, chunk.written.characters) == (b"", ("a", "b"))


def test_the_bytes_are_sent_as_base64() -> None:
    (chunk,) = timed_chunks(spoken(3, Alignment()))
    assert base64.b64decode(chunk.audio_base64) == b"\x00\x01\x02"


def test_http_counts_seconds_of_the_answer() -> None:
    assert http_alignment(letters("ab", 5.0, 0.05)) == {
        "characters": ["a", "b"],
        "character_start_times_seconds": [5.0, 5.05],
        "character_end_times_seconds": [5.05, 5.1],
    }
    assert http_alignment(Alignment()) is None


def test_a_socket_counts_milliseconds_of_the_chunk() -> None:
    assert socket_alignment(letters("ab", 5.03, 0.05), 5.0) == {
        "chars": ["a", "b"],
        "charStartTimesMs": [30, 80],
        "charDurationsMs": [50, 50],
    }
    assert socket_alignment(Alignment(), 5.0) is None
