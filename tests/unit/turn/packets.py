"""A turn and its packets, to test what sends them without the stages before it."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from avatar_service.events import Source
from avatar_service.media.types import Frame, Packet, SpeechChunk
from avatar_service.turn.turn import MediaSettings, Turn, UserInput

MEDIA = MediaSettings(avatar_key="ada@0", loop_length=10, fps=Fraction(25), rate_hz=24_000, lead_s=1.0)


def turn(**media: Any) -> Turn:
    """A turn that answers a text, its media settings changed so."""
    return Turn(1, UserInput(Source.TEXT, text="hello"), replace(MEDIA, **media))


def packets(chunks: int) -> list[Packet]:
    """So many chunks of 40 ms at 24 kHz, each with its frame after it."""
    return [
        packet for index in range(chunks) for packet in (SpeechChunk(index, bytes(1_920)), Frame(index, b"", index))
    ]
