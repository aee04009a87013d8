"""The vendor's streams with times: lines or messages of base64 sound, each with the times of some characters.

JSON does not check what came, so everything may be missing or of another type.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from avatar_service.media.types import SpokenCharacter
from avatar_service.media.wire_audio import MalformedAudio

T = TypeVar("T")

BACK_S = 0.05
"""How far a time may lie before the one before it and still count from the beginning of the voice."""


class Alignment:
    """The times of one voice. They count from its beginning; where they begin again with a line, as they do with each
    on the socket, they count from that line's sound.

    Where that sound is not there yet, since a codec holds some back or the times come first, they follow the times
    before, as the vendor's do: where one character ends the next one begins.
    """

    def __init__(self) -> None:
        self.end_s = 0.0
        """Where the last character ends."""
        self._counts_from_line = False
        self._follows = True

    def pause(self) -> None:
        """There may be silence between the last character and the next one."""
        self._follows = False

    def place(self, characters: Sequence[SpokenCharacter], sound_from_s: float) -> tuple[SpokenCharacter, ...]:
        """Characters with their times as they were sent, on the one clock of the voice."""
        if not characters:
            return ()
        self._counts_from_line |= characters[0].start_s < self.end_s - BACK_S
        follows_s = self.end_s - characters[0].start_s if self._follows else 0.0
        from_s = 0.0
        if self._counts_from_line:
            from_s = follows_s if follows_s > sound_from_s + BACK_S else sound_from_s
        self._follows = True
        self.end_s = from_s + characters[-1].end_s
        return tuple(SpokenCharacter(one.text, from_s + one.start_s, from_s + one.end_s) for one in characters)


def decoded(sound: object) -> bytes:
    """The bytes of base64, none of None. Raises MalformedAudio where it is no base64."""
    try:
        return base64.b64decode(sound or "", validate=True)  # type: ignore[arg-type]  # what is no text is refused
    except (binascii.Error, TypeError, ValueError) as error:
        raise MalformedAudio("its sound is not base64") from error


def timed(characters: object, starts_s: Sequence[float], ends_s: Sequence[float]) -> list[SpokenCharacter]:
    """Characters with their times as they were sent, if they are whole."""
    texts = _list(characters, str)
    if not len(texts) == len(starts_s) == len(ends_s):
        return []
    if not all(math.isfinite(time_s) and time_s >= 0 for time_s in [*starts_s, *ends_s]):
        return []
    return [SpokenCharacter(*one) for one in zip(texts, starts_s, ends_s, strict=True)]


def line_timed(alignment: object) -> list[SpokenCharacter]:
    """The characters of a line of the stream over HTTP.

    To be given `alignment`, which is of the text as it was given, as captions and the history hold it;
    `normalized_alignment` is of what was read for it, such as words for figures.
    """
    aligned = alignment if isinstance(alignment, Mapping) else {}
    starts_s, ends_s = (_list(aligned.get(f"character_{edge}_times_seconds"), float) for edge in ("start", "end"))
    return timed(aligned.get("characters"), starts_s, ends_s)


def socket_timed(alignment: object) -> list[SpokenCharacter]:
    """The characters of a message on the socket, which tells milliseconds, and durations in place of ends."""
    aligned = alignment if isinstance(alignment, Mapping) else {}
    starts_ms, lasting_ms = (_list(aligned.get(name), float) for name in ("charStartTimesMs", "charDurationsMs"))
    ends_s = [(start + lasting) / 1000 for start, lasting in zip(starts_ms, lasting_ms, strict=False)]
    return timed(aligned.get("chars"), [start / 1000 for start in starts_ms], ends_s)


def _list(values: object, kind: Callable[[Any], T]) -> list[T]:
    """A list of an alignment, as `kind`; empty if it is none."""
    try:
        return [kind(value) for value in values] if isinstance(values, list) else []
    except (TypeError, ValueError, OverflowError):
        return []
