"""Holding a conversation whose stream breaks, is refused or is left."""

import asyncio
from collections.abc import Awaitable, Callable

from avatar import v1
from avatar.v1 import ConverseResponse, TurnOutcome, TurnSource
from avatar_client import (
    AsyncAvatarClient,
    AsyncConversation,
    Audio,
    ConverseEvent,
    Frame,
)
from tests.unit.client.scripted_service import (
    Script,
    serving,
)

COMPLETED = TurnOutcome.TURN_OUTCOME_COMPLETED


def turn_started(turn_id: int, request_id: str = "", resumes: int = 0) -> ConverseResponse:
    source = TurnSource.TURN_SOURCE_RESUME if resumes else TurnSource.TURN_SOURCE_TEXT
    started = v1.TurnStarted(turn_id=turn_id, request_id=request_id, resumes_turn_id=resumes, source=source)
    return ConverseResponse(turn_started=started)


def received(milliseconds: int) -> ConverseResponse:
    response = ConverseResponse(audio_received=v1.AudioReceived())
    response.audio_received.offset.FromMilliseconds(milliseconds)
    return response


async def nothing(conversation: AsyncConversation) -> None:
    """Send nothing."""


def hold(
    script: Script,
    begin: Callable[[AsyncConversation], Awaitable[None]] = nothing,
    on: Callable[[AsyncConversation, ConverseEvent], Awaitable[None]] | None = None,
    resume_within_s: float = 5.0,
) -> list[ConverseEvent]:
    """The events of a conversation with a server that follows `script`."""
    events: list[ConverseEvent] = []

    async def scenario() -> None:
        async with (
            serving(script) as address,
            AsyncAvatarClient(address) as client,
            client.converse(resume_within_s=resume_within_s) as conversation,
        ):
            await begin(conversation)
            async for event in conversation:
                events.append(event)
                if on:
                    await on(conversation, event)

    asyncio.run(scenario())
    return events


def kinds(events: list[ConverseEvent]) -> list[type]:
    """What kinds of events came, media once each."""
    seen: list[type] = []
    for event in events:
        kind = Audio if isinstance(event, Audio | Frame) else type(event)
        if not seen or kind is not Audio or seen[-1] is not Audio:
            seen.append(kind)
    return seen
