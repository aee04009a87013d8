"""The vendor's stream with timestamps: lines of base64 sound, each with the times of some characters.

The SDK builds its objects from whatever came, without checking it, so everything may be missing or of another type.
"""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, TypeVar

from elevenlabs import StreamingAudioChunkWithTimestampsResponse

from avatar_service.media.types import SpokenCharacter
from avatar_service.media.wire_audio import MalformedAudio

T = TypeVar("T")

BACK_S = 0.05
"""How far a time may lie before the one before it and still count from the beginning of the voice."""


class Alignment:
    """The times of one voice. The vendor counts them from its beginning; where they begin again with each line, they
    are taken from that line's sound on."""

    def __init__(self) -> None:
        self._last_s = 0.0
        self._from_s = 0.0

    def characters(
        self, line: StreamingAudioChunkWithTimestampsResponse, sound_from_s: float
    ) -> tuple[SpokenCharacter, ...]:
        """The characters of a line whose sound begins at `sound_from_s` of the voice; none of one that makes no sense.

        `alignment` is of the text as it was given, which is what captions and the history hold;
        `normalized_alignment` is of what was read for it, such as words for figures.
        """
        timed = _timed(line)
        if not timed:
            return ()
        if self._from_s + timed[0].start_s < self._last_s - BACK_S:
            self._from_s = sound_from_s
        self._last_s = self._from_s + timed[-1].end_s
        return tuple(SpokenCharacter(one.text, self._from_s + one.start_s, self._from_s + one.end_s) for one in timed)


def sound_of(line: StreamingAudioChunkWithTimestampsResponse) -> bytes:
    """The encoded sound of a line. Raises MalformedAudio where it is no base64."""
    sound = getattr(line, "audio_base_64", None) or ""
    try:
        return base64.b64decode(sound, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise MalformedAudio("a line's sound is not base64") from error


def _timed(line: StreamingAudioChunkWithTimestampsResponse) -> list[SpokenCharacter]:
    """The characters of a line with their times as they were sent, if they are whole."""
    aligned = getattr(line, "alignment", None)
    characters = _list(aligned, "characters", str)
    starts_s = _list(aligned, "character_start_times_seconds", float)
    ends_s = _list(aligned, "character_end_times_seconds", float)
    if not len(characters) == len(starts_s) == len(ends_s):
        return []
    if not all(math.isfinite(time_s) and time_s >= 0 for time_s in [*starts_s, *ends_s]):
        return []
    return [SpokenCharacter(*one) for one in zip(characters, starts_s, ends_s, strict=True)]


def _list(aligned: object, name: str, kind: Callable[[Any], T]) -> list[T]:
    """A list of an alignment, as `kind`; empty if it is none."""
    values = getattr(aligned, name, None)
    try:
        return [kind(value) for value in values] if isinstance(values, list) else []
    except (TypeError, ValueError, OverflowError):
        return []
