"""What a server that speaks ElevenLabs' protocol answers over HTTP, before anything is believed of it."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from typing import Any, Final

from avatar_service.engines.base import SpeechPiece
from avatar_service.engines.elevenlabs_alignment import Alignment, decoded, line_timed
from avatar_service.engines.elevenlabs_sentence import (
    LONGEST_CHARACTER_S,
    LONGEST_REST_S,
    LONGEST_S,
    TIMES_LATE,
    letters,
)
from avatar_service.engines.vendor import Vendor
from avatar_service.engines.vendor_errors import vendor_error
from avatar_service.errors import EngineUnavailable, Fault
from avatar_service.media.types import SpokenCharacter
from avatar_service.media.voice_stream import VoiceDecoder

STAGE: Final = "speak"
LINE_BYTES: Final = 4 * 1024 * 1024
"""Largest line that is read: half a minute of voice at 48 kHz, with its times. The vendor's hold some 0.1 s."""
NO_SOUND: Final = ("text/", "application/json")
"""How the types of answers begin that hold no bare sound, whatever their status."""


class NoLines(Exception):
    """The server answers with bare sound where lines with times were asked for."""


def check_sound(headers: Mapping[str, str], vendor: Vendor) -> None:
    """Raise EngineUnavailable for an answer that is no bare sound by its type."""
    if _type(headers).startswith(NO_SOUND):
        raise malformed(vendor, "it is no sound by its type")


async def lines_of(
    answer: AsyncIterable[bytes], headers: Mapping[str, str], vendor: Vendor
) -> AsyncGenerator[Mapping[str, Any], None]:
    """The objects of an answer of lines. Raises NoLines where it is bare sound, and EngineUnavailable or ValueError for
    everything else that cannot be read: the SDK would leave it out and tell nobody."""
    kind, waiting = _type(headers), bytearray()
    if kind == "text/html":
        raise malformed(vendor, "it is a page")
    may_be_sound = not kind.startswith(NO_SOUND)
    async for data in answer:
        if may_be_sound and not data.startswith(b"{"):
            raise NoLines
        may_be_sound = False
        *whole, rest = data.split(b"\n")
        for line in whole:
            if text := bytes(waiting + line).strip():
                yield _read(text, vendor)
            waiting.clear()
        waiting += rest
        if len(waiting) > LINE_BYTES:
            raise malformed(vendor, "a line does not end")
    if text := bytes(waiting).strip():
        yield _read(text, vendor)


class SentenceSound:
    """Decodes the voice of a text as it comes. Raises EngineUnavailable for one that says nothing, or does not end."""

    def __init__(self, text: str, decoder: VoiceDecoder, rate_hz: int, vendor: Vendor) -> None:
        self._decoder = decoder
        self._vendor = vendor
        self._rate_hz = rate_hz
        self._longest = round((LONGEST_S + LONGEST_CHARACTER_S * len(text)) * rate_hz)
        self._samples = 0
        self._alignment = Alignment()
        self._untimed_letters = letters(text)

    def line(self, line: Mapping[str, Any]) -> tuple[int, SpeechPiece]:
        """How many bytes of sound a line has, and the piece that they make."""
        timed = line_timed(line.get("alignment"))
        characters = self._alignment.place(timed, self._samples / self._rate_hz)
        self._note_end(timed)
        sound = decoded(line.get("audio_base64"))
        return len(sound), SpeechPiece(self._pcm(self._decoder.push(sound)), characters)

    def bare(self, sound: bytes) -> SpeechPiece:
        """The piece that bare sound makes."""
        return SpeechPiece(self._pcm(self._decoder.push(sound)))

    def end(self) -> SpeechPiece:
        """The rest, after the last sound."""
        rest = self._pcm(self._decoder.flush())
        if not self._samples:
            raise malformed(self._vendor, "it says nothing")
        return SpeechPiece(rest)

    def _note_end(self, timed: Sequence[SpokenCharacter]) -> None:
        """Once all letters of the text have their times it is known when the voice will end, or must have."""
        if self._untimed_letters > 0:
            self._untimed_letters -= sum(letters(one.text) for one in timed)
            if self._untimed_letters <= 0:
                ends_s = self._alignment.end_s * TIMES_LATE + LONGEST_REST_S
                self._longest = min(self._longest, round(ends_s * self._rate_hz))

    def _pcm(self, pcm: bytes) -> bytes:
        self._samples += len(pcm) // 2
        if self._samples > self._longest:
            raise malformed(self._vendor, "it speaks without end")
        return pcm


def _type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def malformed(vendor: Vendor, why: str) -> EngineUnavailable:
    """The error for an answer that cannot be used; `why` holds nothing of it."""
    return EngineUnavailable(STAGE, vendor.engine, why, Fault.MALFORMED)


def _read(line: bytes, vendor: Vendor) -> Mapping[str, Any]:
    told = json.loads(line)
    if not isinstance(told, Mapping):
        raise malformed(vendor, "a line is no object")
    if "audio_base64" not in told and ("detail" in told or "error" in told):
        raise vendor_error(STAGE, vendor, body=told, what="error line")
    return told
