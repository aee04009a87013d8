"""What is understood of an utterance before its end is sure, and maybe the reply to that.

Transcription begins within the closing silence; if that holds, its time is saved. If the user goes on, it is thrown
away.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from avatar_service import clock, metrics, tracing
from avatar_service.channel import Channel
from avatar_service.engines.base import ChatDelta, ChatOptions, Message
from avatar_service.errors import EngineError, EngineUnavailable
from avatar_service.timings import Timings
from avatar_service.watching import LateWatcher, watched, watcher

DELTAS = 256
"""Pieces of a reply that may wait for its turn; the vendor waits while there are more."""


class EarlyReply:
    """A reply that is written before anybody knows whether it is wanted."""

    def __init__(
        self, prompt: Sequence[Message], options: ChatOptions, completion: AsyncGenerator[ChatDelta, None]
    ) -> None:
        """`completion` is what the chat model writes to this prompt."""
        self._prompt = list(prompt)
        self._options = options
        self._completion = completion
        self._deltas = Channel[ChatDelta]("early_reply", DELTAS)
        self._began_s = clock.now()
        self._first_token_s: float | None = None
        self._error: EngineError | None = None

    def answers(self, prompt: Sequence[Message], options: ChatOptions) -> bool:
        """Whether it is what would be asked for. One that broke off before anybody read of it is as good as none; one
        that never began has used its attempts, and to ask again would be to wait twice."""
        broke_off = self._error is not None and self._first_token_s is not None
        return not broke_off and self._options == options and self._prompt == list(prompt)

    async def write(self) -> None:
        """Take in what the model writes, as far as there is room."""
        try:
            async with aclosing(self._completion):
                async for delta in self._completion:
                    if delta.text and self._first_token_s is None:
                        self._first_token_s = clock.now()
                    await self._deltas.send(delta)
        except EngineError as error:
            self._error = error
        finally:
            self._deltas.close()

    def note(self, timings: Timings) -> None:
        """Tell when it was asked for, and when its first text came if it has."""
        timings.mark("chat_started", at_s=self._began_s)
        if self._first_token_s is not None:
            timings.mark("first_token", at_s=self._first_token_s)

    async def read(self) -> AsyncGenerator[ChatDelta, None]:
        """Give it as the chat model would have. Raises the model's EngineError."""
        async for delta in self._deltas:
            yield delta
        if self._error:
            raise self._error


Answer = Callable[[str], EarlyReply | None]
"""Begins the reply to these words, where that is wanted."""


class Early:
    """One try to understand an utterance. It runs in `tasks` until it is used up or discarded."""

    def __init__(
        self, tasks: asyncio.TaskGroup, understanding: Coroutine[Any, Any, str], answer: Answer = lambda text: None
    ) -> None:
        """`understanding` may raise EngineError."""
        self.began_s: float | None = clock.now()
        """When the engine was asked, on the loop's clock; None if it was not."""
        self.span: Span = INVALID_SPAN
        """Of what was asked early."""
        self._text: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watcher = LateWatcher()
        self._reply: EarlyReply | None = None
        self._is_taken = False
        self._task = tasks.create_task(self._run(understanding, answer))

    @classmethod
    def of_silence(cls, tasks: asyncio.TaskGroup) -> "Early":
        """Where no voice was heard nothing was said: no engine is asked, since they invent words in silence."""
        early = cls(tasks, _nothing_said())
        early.began_s = None
        return early

    async def text(self) -> str:
        """What was said. Who is watching is told of the attempts behind it. Raises EngineError."""
        if told := watcher():
            await self._watcher.comes(told)
        return await asyncio.shield(self._text)  # whoever waits may be cancelled, and another may ask again

    def take_completion(
        self, prompt: Sequence[Message], options: ChatOptions, timings: Timings
    ) -> AsyncGenerator[ChatDelta, None] | None:
        """The reply as far as it is written and as it goes on, if it answers this prompt and has not failed; to be
        taken once. `timings` is told when it was really asked for."""
        if self._is_taken or self._reply is None or not self._reply.answers(prompt, options):
            return None
        self._is_taken = True
        metrics.PREEMPTIVE_REPLIES.labels("taken").inc()
        self._reply.note(timings)
        return self._reply.read()

    def discard(self) -> None:
        """Nobody needs it, or what is left of it."""
        if self._reply and not self._is_taken:
            self._reply = None
            metrics.PREEMPTIVE_REPLIES.labels("discarded").inc()
        self._task.cancel()

    async def _run(self, understanding: Coroutine[Any, Any, str], answer: Answer) -> None:
        with tracing.below(tracing.EARLY) as self.span, watched(self._watcher):
            await self._understand(understanding, answer)

    async def _understand(self, understanding: Coroutine[Any, Any, str], answer: Answer) -> None:
        try:
            text = await understanding
            self._text.set_result(text)
        except EngineError as error:
            self._fail(error)
            return
        finally:
            if not self._text.done():
                self._fail(EngineUnavailable("transcribe", "early", "given up"))
        if text and (reply := answer(text)):
            self._reply = reply
            await reply.write()

    def _fail(self, error: EngineError) -> None:
        self._text.set_exception(error)
        self._text.exception()  # nobody may ever ask


async def _nothing_said() -> str:
    return ""
