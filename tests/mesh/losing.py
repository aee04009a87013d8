"""Users who talk to two processes, of which one is lost: which of them it had, when they have moved, what they heard.

What may be said again, and why: a process saves the words of a sentence when their voice has come, and looks for new
ones every 0.25 s (session/keeper.py). If it is killed or stopped in between, the session is resumed from what was saved
last, and the sentence under way, of which the store knows no times, begins again. Nothing is ever left out.
"""

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.envoy import Envoy, running_envoy
from tests.mesh.talking import User
from tests.stack import ServiceProcess, Stack, replay_of, running_stack

USERS = 6
REPLY = "Our moon is nearer than any star. It turns once while circling us, so that one face shows."
FRAME_BYTES = 20_000
SENTENCES = re.findall(r"[^.]+\.", REPLY)


@asynccontextmanager
async def conversations() -> AsyncIterator[tuple[Stack, Envoy, list[User], asyncio.Event]]:
    """Users who talk through Envoy to two processes until the event is set; all speak when the block begins."""
    users = [User(f"user {number}", REPLY, by_voice=number == 1) for number in range(1, USERS + 1)]
    async with (
        running_stack(services=2, redis=True, replay=replay_of(REPLY), frame_bytes=FRAME_BYTES) as stack,
        running_envoy([service.address for service in stack.services]) as envoy,
        asyncio.TaskGroup() as tasks,
    ):
        enough = asyncio.Event()
        for number, user in enumerate(users):
            tasks.create_task(user.talk(envoy.plain, enough, after_s=0.2 * number))
        await asyncio.gather(*(user.speaks.wait() for user in users))
        try:
            yield stack, envoy, users, enough
        finally:
            enough.set()


async def metric(service: ServiceProcess, sample: str) -> float:
    """A sample of a process's metrics, by its name and labels as they are written; 0 where there is none."""

    def asked() -> str:
        with urllib.request.urlopen(f"{service.metrics_url}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    found = re.search(rf"^{re.escape(sample)} (\S+)$", await asyncio.to_thread(asked), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def busiest(stack: Stack) -> tuple[ServiceProcess, int]:
    """The process with most conversations, and how many."""
    counted = [
        (await metric(service, 'avatar_sessions_active{method="Converse"}'), service) for service in stack.services
    ]
    count, service = max(counted, key=lambda one: one[0])
    return service, round(count)


async def moved(users: list[User], count: int) -> None:
    """Wait until so many users have moved."""
    while sum(bool(user.moves) for user in users) < count:
        await asyncio.sleep(0.02)


def assert_nothing_is_lost(users: list[User]) -> None:
    """Every reply was heard whole, but that the sentence in which a process was lost may have begun twice."""
    for user in users:
        for heard in user.replies:
            assert any(heard == REPLY or re.fullmatch(begun_twice(index), heard) for index in range(len(SENTENCES))), (
                f"{user.name} heard {heard!r}"
            )


def begun_twice(index: int) -> str:
    """A pattern of the reply in which the sentence at this index was begun, and then said from its start."""
    before, sentence, after = "".join(SENTENCES[:index]), SENTENCES[index].strip(), "".join(SENTENCES[index + 1 :])
    words = sentence.split()
    begun = "|".join(re.escape(" ".join(words[:count])) for count in range(len(words), 0, -1))
    return rf"{re.escape(before)} ?(?:{begun}) ?{re.escape(sentence)}{re.escape(after)}"
