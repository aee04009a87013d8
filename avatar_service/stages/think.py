"""The conversation so far to the text of the reply, as it is written."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import ChatModel, ChatOptions, Message
from avatar_service.events import Event, ReplyText
from avatar_service.timings import Timings


@dataclass(slots=True)
class Reply:
    """The reply of one turn as far as it is written, and what it cost."""

    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


async def think(
    messages: Sequence[Message],
    options: ChatOptions,
    chat: ChatModel,
    deltas: Channel[str],
    reply: Reply,
    turn_id: int,
    timings: Timings,
    out: Sender[Event],
) -> None:
    """Send the model's text on and to the client, and keep it in `reply`."""
    try:
        timings.mark("chat_started")
        async with aclosing(chat.complete(messages, options)) as completion:
            async for delta in completion:
                if delta.text:
                    timings.mark("first_token")
                    reply.text += delta.text
                    await out.send(ReplyText(turn_id, delta.text))
                    await deltas.send(delta.text)
                reply.finish_reason = delta.finish_reason or reply.finish_reason
                reply.prompt_tokens += delta.prompt_tokens
                reply.completion_tokens += delta.completion_tokens
        timings.mark("reply_written")
    finally:
        deltas.close()


async def recite(text: str, deltas: Channel[str], reply: Reply, turn_id: int, out: Sender[Event]) -> None:
    """Stand in for `think` where the caller gives the words."""
    try:
        reply.text = text
        await out.send(ReplyText(turn_id, text))
        await deltas.send(text)
    finally:
        deltas.close()
