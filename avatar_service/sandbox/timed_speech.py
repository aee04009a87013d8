"""Encoded speech with the times of its characters, in chunks as ElevenLabs sends them.

A chunk carries the characters that begin in it. Over HTTP times count from the beginning of the answer, over a
WebSocket from the beginning of the chunk.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from avatar_service.sandbox.alignment import Alignment
from avatar_service.sandbox.speaking import SpokenSentence
from avatar_service.sandbox.speech_encoding import SpeechPiece

CHUNK_S: Final = 0.2
"""About as much speech as one chunk holds."""


@dataclass(frozen=True, slots=True)
class TimedChunk:
    """Encoded bytes from ``start_s`` of the stream on, with the characters that begin in them."""

    data: bytes
    start_s: float
    written: Alignment
    read: Alignment

    @property
    def audio_base64(self) -> str:
        """The bytes as JSON can carry them."""
        return base64.b64encode(self.data).decode()


def timed_chunks(sentence: SpokenSentence) -> Iterator[TimedChunk]:
    """Yield the sentence in chunks, which together carry all of its bytes and characters."""
    groups = _groups(sentence.pieces)
    start_s = 0.0  # the first chunk takes the characters before it too, the last one those after it
    for number, group in enumerate(groups):
        end_s = float("inf") if number + 1 == len(groups) else group[-1].end_s
        yield TimedChunk(
            data=b"".join(piece.data for piece in group),
            start_s=group[0].start_s,
            written=sentence.written.starting_between(start_s, end_s),
            read=sentence.read.starting_between(start_s, end_s),
        )
        start_s = end_s


def join_pieces(pieces: list[SpeechPiece]) -> TimedChunk:
    """Return pieces (at least one) in which no character begins as one chunk."""
    return TimedChunk(b"".join(piece.data for piece in pieces), pieces[0].start_s, Alignment(), Alignment())


def _groups(pieces: list[SpeechPiece]) -> list[list[SpeechPiece]]:
    """Return the pieces in runs of about ``CHUNK_S``; for no pieces one empty one, which still carries characters."""
    groups: list[list[SpeechPiece]] = []
    for piece in pieces:
        if not groups or piece.end_s - groups[-1][0].start_s > CHUNK_S + 0.001:
            groups.append([])
        groups[-1].append(piece)
    return groups or [[SpeechPiece(b"", 0.0, 0.0)]]


def http_alignment(alignment: Alignment) -> dict[str, Any] | None:
    """Return an alignment as HTTP answers have it, with times in seconds; None for no characters."""
    if not alignment.characters:
        return None
    return {
        "characters": list(alignment.characters),
        "character_start_times_seconds": [round(start_s, 3) for start_s in alignment.starts_s],
        "character_end_times_seconds": [round(end_s, 3) for end_s in alignment.ends_s],
    }


def socket_alignment(alignment: Alignment, chunk_start_s: float) -> dict[str, Any] | None:
    """Return an alignment as WebSocket messages have it, in milliseconds of the chunk; None for no characters."""
    if not alignment.characters:
        return None
    starts_ms = [max(0, round((start_s - chunk_start_s) * 1000)) for start_s in alignment.starts_s]
    ends_ms = [round((end_s - chunk_start_s) * 1000) for end_s in alignment.ends_s]
    return {
        "chars": list(alignment.characters),
        "charStartTimesMs": starts_ms,
        "charDurationsMs": [max(0, end - start) for start, end in zip(starts_ms, ends_ms, strict=True)],
    }
