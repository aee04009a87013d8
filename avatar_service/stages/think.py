"""The conversation so far to the text of the reply, as it is written."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from avatar_service.channel import Channel, Sender
from avatar_service.engines.base import ChatDelta
from avatar_service.errors import EngineError
from avatar_service.events import Event, ReplyText, ToolCalls
from avatar_service.media.types import ToolCall
from avatar_service.stages.split import BROKEN_OFF, Delta, fragment_of
from avatar_service.stages.tool_call_ids import ToolCallIds
from avatar_service.timings import Timings
from avatar_service.tracing import staged


@dataclass(slots=True)
class Reply:
    """The reply of one turn as far as it is written, and what it cost."""

    text: str = ""
    """All of it that the client is told."""
    finish_reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model asks the client to run, by ids that are unique in the session."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    written: bool = False
    """Whether nothing more will be written."""
    fragment: tuple[int, int] = (0, 0)
    """Where in the text something begins and ends that is not spoken, because the model broke off in it."""

    @property
    def to_speak(self) -> str:
        """The text that is spoken."""
        begin, end = self.fragment
        return self.text[:begin] + self.text[end:]


@dataclass(frozen=True, slots=True)
class Apology:
    """What is said where a chat model fails, and who is told of that."""

    text: str
    on_failure: Callable[[EngineError], Awaitable[None]]
    """Of a failure before the first text: the apology stands in place of the reply."""
    on_cut: Callable[[EngineError], Awaitable[None]]
    """Of one behind it: the reply ends with its last whole sentence, or with the apology if it has none."""


@staged("think")
async def think(
    completion: AsyncGenerator[ChatDelta, None],
    deltas: Channel[Delta],
    reply: Reply,
    turn_id: int,
    timings: Timings,
    out: Sender[Event],
    call_ids: ToolCallIds,
    apology: Apology,
) -> None:
    """Send the model's text on and to the client, then the calls that it ends with, and keep both in `reply`. If the
    model fails, what it has written is ended so that it can be spoken."""
    draft, before = _Draft(deltas, reply, turn_id, out), len(reply.text)
    try:
        timings.mark("chat_started")
        try:
            calls = await _written(completion, draft, timings)
        except EngineError as error:
            is_cut = len(reply.text) > before
            await (apology.on_cut if is_cut else apology.on_failure)(error)
            await draft.break_off(apology.text, always=not is_cut)
        else:
            timings.mark("reply_written")
            if reply.finish_reason == "length":
                await draft.break_off()
            reply.written = True
            if calls:
                calls = call_ids.unique(turn_id, calls)
                await out.send(ToolCalls(turn_id, calls))
                # Only once they are told: what a cancel keeps from the client is not waited for.
                reply.tool_calls = calls
    finally:
        deltas.close()


async def recite(
    text: str, deltas: Channel[Delta], reply: Reply, turn_id: int, out: Sender[Event], *, unfinished: bool = False
) -> None:
    """Stand in for `think` where the words are there; `unfinished` if it writes on after them."""
    try:
        await _Draft(deltas, reply, turn_id, out).add(text + " " if unfinished else text)
        reply.written = not unfinished
    finally:
        if not unfinished:
            deltas.close()


@dataclass(frozen=True, slots=True)
class _Draft:
    """A reply that is being written."""

    deltas: Channel[Delta]
    reply: Reply
    turn_id: int
    out: Sender[Event]

    async def add(self, text: str) -> None:
        """Write on: for the client to read, and to be spoken."""
        self.reply.text += text
        await self.out.send(ReplyText(self.turn_id, text))
        await self.deltas.send(text)

    async def break_off(self, apology: str = "", *, always: bool = False) -> None:
        """Leave the fragment at the end unspoken. Without a whole sentence before it the apology takes its place, or,
        if there is none, it is spoken; `always` apologises in any case."""
        reply = self.reply
        begin, has_sentence = fragment_of(reply.text)
        if has_sentence or apology:
            reply.fragment = begin, len(reply.text)
            await self.deltas.send(BROKEN_OFF)
        if apology and (always or not has_sentence):
            await self.add(apology if not reply.text or reply.text[-1].isspace() else f" {apology}")
        reply.written = True


async def _written(
    completion: AsyncGenerator[ChatDelta, None], draft: _Draft, timings: Timings
) -> tuple[ToolCall, ...]:
    """Take in what the model writes; returns what it calls. Raises EngineError."""
    reply = draft.reply
    calls: tuple[ToolCall, ...] = ()
    async with aclosing(completion):
        async for delta in completion:
            if delta.text:
                timings.mark("first_token")
                await draft.add(delta.text)
            calls += delta.tool_calls
            reply.finish_reason = delta.finish_reason or reply.finish_reason
            reply.prompt_tokens += delta.prompt_tokens
            reply.completion_tokens += delta.completion_tokens
    return calls
