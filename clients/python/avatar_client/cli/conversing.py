"""A conversation that a person holds at a terminal, for `chat` and `talk --mic`: recorded, played, interruptible."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from avatar.v1 import ConverseConfig
from avatar_client.cli.access import client_of
from avatar_client.cli.options import errors
from avatar_client.cli.terminal import is_terminal, on_ctrl_c, read_keys, read_lines
from avatar_client.conversation import AsyncConversation
from avatar_client.errors import StreamEnded, TimedOut
from avatar_client.events import ConverseEvent
from avatar_client.mp4 import check_writable
from avatar_client.playing import Playing
from avatar_client.recording import AsyncRecorder
from avatar_client.sound import Loudspeaker
from avatar_client.talk import Sink, TalkResult, follow
from avatar_client.turns import TurnLog, TurnResult

LEAVING_S: Final = 10.0
"""How long the end of a conversation may take once the person has left it."""


@dataclass(slots=True)
class Session:
    """A conversation under way, its turns, and what the person types: lines, or keys where those count."""

    conversation: AsyncConversation
    log: TurnLog
    typed: AsyncGenerator[str]
    interactive: bool
    left: bool = False


Ask = Callable[[Session], Coroutine[Any, Any, None]]


async def converse(
    server: str,
    config: ConverseConfig,
    ask: Ask,
    *,
    out: Path | None = None,
    play: bool = False,
    keys: bool = False,
    on_event: Callable[[ConverseEvent], None] | None = None,
    on_turn: Callable[[TurnResult], None] | None = None,
) -> TalkResult:
    """Hold a conversation: `ask` sends what the person says, and returns when they leave.

    With `keys` each key of a terminal counts, otherwise each line.
    The first Ctrl-C stops the avatar if it is answering; otherwise, or the second time, it ends the conversation.
    """
    if out:
        check_writable(out)
    recorder: AsyncRecorder | None = None
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(client_of(server))
        conversation = await stack.enter_async_context(client.converse(config))
        log = TurnLog(conversation.media.sample_rate_hz)
        sinks: list[Sink] = []
        if out:
            recorder = await stack.enter_async_context(AsyncRecorder(out, conversation.media, log.question))
            sinks.append(recorder)
        if play:
            loudspeaker = stack.enter_context(Loudspeaker(conversation.media.sample_rate_hz))
            sinks.append(await stack.enter_async_context(Playing(conversation.clock, loudspeaker)))
        read = read_keys if keys and is_terminal(sys.stdin) else read_lines
        session = Session(conversation, log, read(sys.stdin.fileno()), sys.stdin.isatty())
        await follow(conversation, log, [_until_left(session, ask)], sinks, on_event, on_turn)
    recorded_s = recorder.duration_s if recorder else 0.0
    path = out if recorded_s else None
    cut_off = log.is_answering and not session.left
    return TalkResult(conversation.started.session_id, log.results, path, recorded_s, cut_off)


async def _until_left(session: Session, ask: Ask) -> None:
    """Ask until the person leaves and all is answered, or Ctrl-C ends it; then half-close."""
    presses: asyncio.Queue[None] = asyncio.Queue(4)
    with on_ctrl_c(lambda: None if presses.full() else presses.put_nowait(None)):
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_while_open(_ask_to_end(session, ask)), name="asking")
            pressing = tasks.create_task(_while_open(_interrupt_then_leave(session, presses)), name="Ctrl-C")
            done, _ = await asyncio.wait({asking, pressing}, return_when=asyncio.FIRST_COMPLETED)
            session.left = asking not in done
            asking.cancel()
            pressing.cancel()
        await session.conversation.end_input()
        await asyncio.sleep(LEAVING_S)  # cancelled when the service has ended the stream
    message = f"the service did not end the conversation within {LEAVING_S:.0f} s"
    raise TimedOut(grpc.StatusCode.DEADLINE_EXCEEDED, message)


async def _ask_to_end(session: Session, ask: Ask) -> None:
    async with aclosing(session.typed):  # which gives the terminal back
        await ask(session)
    await session.log.quiet()


async def _while_open(work: Coroutine[Any, Any, None]) -> None:
    """Do `work`; a stream that is over ends it, and iterating over the stream tells why."""
    with suppress(StreamEnded):
        await work


async def _interrupt_then_leave(session: Session, presses: "asyncio.Queue[None]") -> None:
    """Return when Ctrl-C means to leave."""
    while True:
        await presses.get()
        if not session.log.is_answering:
            return
        await session.conversation.interrupt()
        errors.print("\n[dim]interrupted; Ctrl-C again to leave[/]")
        try:
            async with asyncio.timeout(2.0):
                await presses.get()
            return
        except TimeoutError:
            continue
