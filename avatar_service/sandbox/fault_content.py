"""What a fault does to the content of an answer: to what a model yields, before it is encoded and sent."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from itertools import cycle
from typing import Final

from avatar_service.sandbox.chat_reply import ArgumentsDelta, CallStart, RefusalDelta, ReplyPart
from avatar_service.sandbox.chat_request import ChatRequest
from avatar_service.sandbox.fault_answers import ENDLESS_WAIT_S
from avatar_service.sandbox.fault_kinds import InjectedFault
from avatar_service.sandbox.smollm import ReplyEnd, TextDelta
from avatar_service.sandbox.speaking import SpokenSentence
from avatar_service.sandbox.transcript import Segment

_REFUSAL: Final = ("I'm sorry,", " but I", " cannot help", " with that.")
_ARGUMENTS: Final = {"cut": '{"city": "Par', "not_json": "city: Paris"}
_KEPT_DELTAS: Final = 64
"""As much of a reply is said over and over."""
_ENDLESS_SPEED: Final = 20.0
"""Times real time at which speech without an end leaves, unless it is dripped."""


async def faulty_hearing(
    fault: InjectedFault | None, parts: AsyncGenerator[Segment | float, None]
) -> AsyncGenerator[Segment | float, None]:
    """Yield what was heard in a recording, with its fault."""
    async with aclosing(parts):
        async for part in parts:
            if fault is None or fault.name != "empty" or isinstance(part, float):
                yield part


async def faulty_reply(
    fault: InjectedFault | None, chat: ChatRequest, parts: AsyncGenerator[ReplyPart, None]
) -> AsyncGenerator[ReplyPart, None]:
    """Yield a reply with its fault."""
    faulty = parts if fault is None else _faulty_reply(fault, chat, parts)
    async with aclosing(parts), aclosing(faulty):
        async for part in faulty:
            yield part


def _faulty_reply(
    fault: InjectedFault, chat: ChatRequest, parts: AsyncGenerator[ReplyPart, None]
) -> AsyncGenerator[ReplyPart, None]:
    match fault.name:
        case "empty":
            return _said(ReplyEnd("stop", 0, 0))
        case "refusal":
            return _said(*(RefusalDelta(text) for text in _REFUSAL), ReplyEnd("stop", 0, len(_REFUSAL)))
        case "broken_tool_call":
            name = chat.tools[0].name if chat.tools else "unknown"
            call = CallStart(0, f"call_{secrets.token_hex(12)}", name)
            return _said(call, ArgumentsDelta(0, _ARGUMENTS[fault.arguments]), ReplyEnd("tool_calls", 0, 1))
        case "content_filter" | "length":
            return _ended(parts, fault.after, fault.name)
        case "drip":
            return _dripped(parts, fault.rate)
        case "endless" if chat.stream:
            return _endless_reply(parts)
    return parts


async def _said(*parts: ReplyPart) -> AsyncGenerator[ReplyPart, None]:
    for part in parts:
        yield part


async def _ended(parts: AsyncGenerator[ReplyPart, None], after: int, reason: str) -> AsyncGenerator[ReplyPart, None]:
    """Yield a reply that ends for a reason of the vendor's after a number of tokens."""
    tokens = 0
    async for part in parts:
        if tokens >= after or isinstance(part, ReplyEnd):
            break
        tokens += isinstance(part, TextDelta | ArgumentsDelta)
        yield part
    yield ReplyEnd(reason, prompt_tokens=0, completion_tokens=tokens)


async def _dripped(parts: AsyncGenerator[ReplyPart, None], rate: float) -> AsyncGenerator[ReplyPart, None]:
    """Yield ``rate`` tokens a second."""
    async for part in parts:
        await asyncio.sleep(1.0 / rate)
        yield part


async def _endless_reply(parts: AsyncGenerator[ReplyPart, None]) -> AsyncGenerator[ReplyPart, None]:
    """Yield a text, and then its beginning over and over."""
    said: list[ReplyPart] = []
    async for part in parts:
        if isinstance(part, TextDelta):
            if len(said) < _KEPT_DELTAS:
                said.append(part)
            yield part
    for part in cycle([TextDelta(" "), *said]):
        await asyncio.sleep(ENDLESS_WAIT_S)
        yield part


class FaultySpeech:
    """The speech of one stream, with its fault."""

    def __init__(self, fault: InjectedFault | None) -> None:
        self._fault = fault
        self._held = b""  # the byte that odd_length has held back

    async def of(
        self, sentences: AsyncGenerator[SpokenSentence, None], *, streamed: bool = True
    ) -> AsyncGenerator[SpokenSentence, None]:
        """Yield sentences with the fault. What is not ``streamed`` has an end in any case."""
        name = None if self._fault is None else self._fault.name
        async with aclosing(sentences):
            if name == "empty":
                return
            sentence: SpokenSentence | None = None
            async for sentence in sentences:
                yield self._shifted(sentence) if name == "odd_length" else sentence
            while name == "endless" and streamed and sentence is not None:
                sentence, duration_s = _again(sentence)
                await asyncio.sleep(max(ENDLESS_WAIT_S, duration_s / _ENDLESS_SPEED))
                yield sentence

    def _shifted(self, sentence: SpokenSentence) -> SpokenSentence:
        """Return the sentence with every byte one place later, so that samples straddle outputs and the last is cut."""
        pieces = []
        for piece in sentence.pieces:
            data = self._held + piece.data
            self._held = data[-1:]
            pieces.append(replace(piece, data=data[:-1]))
        return replace(sentence, pieces=pieces)


def _again(sentence: SpokenSentence) -> tuple[SpokenSentence, float]:
    """Return the sentence as it follows itself, and its duration in seconds."""
    duration_s = sentence.pieces[-1].end_s - sentence.pieces[0].start_s if sentence.pieces else 0.0
    pieces = [
        replace(piece, start_s=piece.start_s + duration_s, end_s=piece.end_s + duration_s) for piece in sentence.pieces
    ]
    written, read = (times.scaled(1.0, duration_s) for times in (sentence.written, sentence.read))
    return SpokenSentence(pieces, written, read, 0.0), duration_s
