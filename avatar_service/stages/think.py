"""The conversation so far to the text of the reply, as it is written."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import ChatDelta
from avatar_service.events import Event, ReplyText, ToolCalls
from avatar_service.media.types import ToolCall
from avatar_service.stages.tool_call_ids import ToolCallIds
from avatar_service.timings import Timings


@dataclass(slots=True)
class Reply:
    """The reply of one turn as far as it is written, and what it cost."""

    text: str = ""
    finish_reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model asks the client to run, by ids that are unique in the session."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    written: bool = False
    """Whether the text is whole."""


async def think(
    completion: AsyncGenerator[ChatDelta, None],
    deltas: Channel[str],
    reply: Reply,
    turn_id: int,
    timings: Timings,
    out: Sender[Event],
    call_ids: ToolCallIds,
) -> None:
    """Send the model's text on and to the client, then the calls that it ends with, and keep both in `reply`."""
    calls: tuple[ToolCall, ...] = ()
    try:
        timings.mark("chat_started")
        async with aclosing(completion):
            async for delta in completion:
                if delta.text:
                    timings.mark("first_token")
                    reply.text += delta.text
                    await out.send(ReplyText(turn_id, delta.text))
                    await deltas.send(delta.text)
                calls += delta.tool_calls
                reply.finish_reason = delta.finish_reason or reply.finish_reason
                reply.prompt_tokens += delta.prompt_tokens
                reply.completion_tokens += delta.completion_tokens
        timings.mark("reply_written")
        reply.written = True
        if calls:
            calls = call_ids.unique(turn_id, calls)
            await out.send(ToolCalls(turn_id, calls))
            reply.tool_calls = calls  # only once they are told: what a cancel keeps from the client is not waited for
    finally:
        deltas.close()


async def recite(
    text: str, deltas: Channel[str], reply: Reply, turn_id: int, out: Sender[Event], *, unfinished: bool = False
) -> None:
    """Stand in for `think` where the words are there; `unfinished` if it writes on after them."""
    try:
        text += " " if unfinished else ""
        reply.text = text
        await out.send(ReplyText(turn_id, text))
        await deltas.send(text)
        reply.written = not unfinished
    finally:
        if not unfinished:
            deltas.close()
