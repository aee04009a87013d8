"""One virtual user: asks, hears the answer, sometimes interrupts it or stops reading, thinks, and asks again."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from avatar.v1 import ConverseConfig
from avatar_client.client import AsyncAvatarClient
from avatar_client.clock import now
from avatar_client.conversation import AsyncConversation
from avatar_client.errors import AvatarClientError, LimitReached, StreamEnded
from avatar_client.events import Audio, ConnectionLost, ConverseEvent, Resumed, TurnStarted
from avatar_client.load.measuring import Book, Watch
from avatar_client.load.microphone import Microphone
from avatar_client.load.plan import Plan, Step, UserPlan, steps
from avatar_client.load.questions import Question
from avatar_client.turns import TurnLog

ANSWER_WITHIN_S: Final = 30.0
"""How long a user waits for an answer to begin; then the question counts as unanswered, and the session is left."""
PLAYED_WITHIN_S: Final = 180.0
"""How long an answer may go on."""
END_WITHIN_S: Final = 15.0
"""How long a service may take to end a session that was half-closed: the answer under way is spoken to its end."""
AGAIN_AFTER_S: Final = 1.0
"""Between a session that failed and the next one, unless the service asks for more, up to AGAIN_LATEST_S."""
AGAIN_LATEST_S: Final = 10.0


class Unanswered(AvatarClientError):
    """An answer did not come, or did not end, in time."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the users of a load have in common."""

    plan: Plan
    config: ConverseConfig
    questions: Sequence[Question]
    book: Book
    stopping: asyncio.Event


class User:
    """One user of a load."""

    def __init__(self, load: Load, user: UserPlan, client: AsyncAvatarClient) -> None:
        """Talk over `client`."""
        self._load = load
        self._plan = user
        self._client = client
        self._steps: Iterator[Step] = steps(load.plan, user)

    async def run(self) -> None:
        """Hold one session after the other until the load is over, or its turns are asked."""
        load = self._load
        await self._wait(self._plan.begins_s)
        while not load.stopping.is_set():
            again_after_s = await self._session()
            if load.plan.duration_s is None:
                return
            await self._wait(again_after_s)

    async def _session(self) -> float:
        """Hold a session; returns how long to wait before the next one."""
        book, began_at = self._load.book, now()
        book.counts["sessions_begun"] += 1
        try:
            async with self._client.converse(self._load.config) as conversation:
                book.session_start_ms.add((now() - began_at) * 1e3)
                book.active += 1
                try:
                    await _Session(self._load, self._steps, conversation).hold()
                finally:
                    book.active -= 1
        except* AvatarClientError as group:
            error = _first(group)
            book.failed(error)
            asked_s = error.retry_delay_s if isinstance(error, LimitReached) else None
            again_after_s = min(AGAIN_LATEST_S, max(AGAIN_AFTER_S, asked_s or 0.0))
        else:
            book.counts["sessions_ended"] += 1
            again_after_s = 0.0
        return again_after_s

    async def _wait(self, seconds: float) -> None:
        """Wait for so long, or until the load is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._load.stopping.wait()


class _Session:
    """One session of a user."""

    def __init__(self, load: Load, planned: Iterator[Step], conversation: AsyncConversation) -> None:
        self._load = load
        self._steps = planned
        self._conversation = conversation
        self._log = TurnLog(conversation.media.sample_rate_hz)
        self._watch = Watch(load.book, conversation.media, conversation.clock)
        conversation.on_response = self._watch.see
        self._microphone = Microphone(conversation.send_pcm)
        self._turn_started, self._audio_came = asyncio.Event(), asyncio.Event()
        self._reads_again_at = 0.0
        self._left = False

    async def hold(self) -> None:
        """Talk until the turns are asked or the load is over. Raises AvatarClientError, in a group."""
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._talk(), name="user")]
            if not self._load.plan.texts:
                beside.append(tasks.create_task(self._listen_to_user(), name="microphone"))
            async for event in self._conversation:
                self._note(event)
                while (wait_s := self._reads_again_at - now()) > 0 and not self._left:
                    await asyncio.sleep(min(wait_s, 0.1))
            for task in beside:
                task.cancel()

    def _note(self, event: ConverseEvent) -> None:
        self._log.add(event, now())
        match event:
            case TurnStarted():
                self._turn_started.set()
            case Audio():
                self._audio_came.set()
            case ConnectionLost():
                self._load.book.counts["connections_lost"] += 1
            case Resumed():
                self._load.book.counts["resumes"] += 1

    async def _listen_to_user(self) -> None:
        with suppress(StreamEnded):  # as above
            await self._microphone.run()

    async def _talk(self) -> None:
        """Ask as planned, then leave. Raises Unanswered."""
        try:
            await self._ask_all()
            self._left = True
            await self._conversation.end_input()
        except StreamEnded:
            return  # iterating over the conversation tells why it is over
        await asyncio.sleep(END_WITHIN_S)  # cancelled when the service has ended the stream
        raise Unanswered(f"the service did not end a session within {END_WITHIN_S:.0f} s of its half-close")

    async def _ask_all(self) -> None:
        plan, stopping, asked = self._load.plan, self._load.stopping, 0
        while plan.turns is None or asked < plan.turns:
            step = next(self._steps)
            await _until(stopping, step.pause_s)
            if stopping.is_set():
                return
            await self._ask(step.question)
            asked += 1
            await self._hear(step)

    async def _ask(self, number: int) -> None:
        """Ask, and wait until the answer begins. Raises Unanswered."""
        texts, questions = self._load.plan.texts, self._load.questions
        self._turn_started.clear()
        self._audio_came.clear()
        self._watch.reads = True
        if texts:
            self._watch.questions.append(now())
            await self._conversation.send_text(texts[number % len(texts)])
            await self._turn_started_within(ANSWER_WITHIN_S)
        else:
            question = questions[number % len(questions)]
            begins_at, ends_at = self._microphone.say(question)
            self._watch.questions.append(ends_at)
            if self._log.is_answering:
                self._watch.barged_in_at = begins_at
            await self._turn_started_within(ANSWER_WITHIN_S + ends_at - begins_at)

    async def _turn_started_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._turn_started.wait()
        except TimeoutError:
            self._load.book.counts["questions_unanswered"] += 1
            raise Unanswered(f"no answer began within {seconds:.0f} s of a question") from None

    async def _hear(self, step: Step) -> None:
        """Hear an answer to its end, or do to it what is planned. Raises Unanswered."""
        try:
            async with asyncio.timeout(PLAYED_WITHIN_S):
                if step.stops_reading_after_s is not None:
                    await self._audio_came.wait()
                    await asyncio.sleep(step.stops_reading_after_s)
                    self._watch.stops_reading()
                    self._load.book.counts["slow_readings"] += 1
                    self._reads_again_at = now() + step.stops_reading_for_s
                elif step.barges_in_after_s is not None:
                    await self._audio_came.wait()
                    await asyncio.sleep(step.barges_in_after_s)
                    if self._log.is_answering:
                        await self._interrupt(step)
                await self._log.quiet()
        except TimeoutError:
            raise Unanswered(f"an answer did not end within {PLAYED_WITHIN_S:.0f} s") from None

    async def _interrupt(self, step: Step) -> None:
        """Speak, or write, while the avatar does: the answer to that is heard to its end."""
        self._load.book.counts["barge_ins"] += 1
        await self._ask(step.question + 1)


async def _until(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


def _first(group: BaseExceptionGroup[AvatarClientError]) -> AvatarClientError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AvatarClientError)
    return error
