"""Both processes are restarted, one after the other, while ten users talk: nobody loses a word or a session."""

import asyncio
import time

from tests.envoy import Envoy, running_envoy
from tests.mesh.conftest import Seen
from tests.mesh.talking import User, pauses, table
from tests.stack import ServiceProcess, replay_of, running_stack

USERS = 10
REPLY = (
    "Our moon is nearer than any star. It turns once while circling us, so that one face shows. "
    "Twelve men walked there."
)
"""Seven seconds of speech in three sentences; no word comes twice, so that each can be told from the others."""
GRACE_S = 4.0
"""Clients that listen to a reply leave after half of it."""
FRAME_BYTES = 20_000


async def restarted(service: ServiceProcess, envoy: Envoy) -> tuple[float, float, float]:
    """Stop a process and start it again; returns when it was told to go, how long that took, and how long until it
    served behind Envoy."""
    told_s = time.monotonic()
    service.terminate()
    assert await service.program.ended() == 0
    gone_s = time.monotonic() - told_s
    await service.start()
    await envoy.until_healthy(2)
    return told_s, gone_s, time.monotonic() - told_s


async def test_a_rolling_restart_loses_no_word_and_no_session(seen: Seen) -> None:
    users = [User(f"user {number}", REPLY, by_voice=number % 2 == 0) for number in range(1, USERS + 1)]
    env = {"AVATAR_STOP_GRACE_S": f"{GRACE_S}"}
    async with (
        running_stack(services=2, redis=True, env=env, replay=replay_of(REPLY), frame_bytes=FRAME_BYTES) as stack,
        running_envoy([service.address for service in stack.services]) as envoy,
        asyncio.TaskGroup() as tasks,
    ):
        enough = asyncio.Event()
        for number, user in enumerate(users):
            tasks.create_task(user.talk(envoy.plain, enough, after_s=0.25 * number))
        await asyncio.gather(*(user.speaks.wait() for user in users))
        told = [await restarted(service, envoy) for service in stack.services]
        enough.set()
    moves = [move for user in users for move in user.moves]
    last_moves_s = [
        max((move.at_s - at_s for move in moves if 0 <= move.at_s - at_s <= gone_s + 1.0), default=0.0)
        for at_s, gone_s, _ in told
    ]
    seen(
        f"{USERS} users, two processes restarted in turn, {len(moves)} moves",
        [
            *table(users),
            *(
                f"process {number}: last stream moved {last_s:.2f} s after SIGTERM, process gone after {gone_s:.2f} s,"
                f" serving again after {served_s:.2f} s"
                for number, (last_s, (_, gone_s, served_s)) in enumerate(zip(last_moves_s, told, strict=True))
            ),
            f"{pauses(users)}; Envoy started in {1000 * envoy.started_in_s:.0f} ms",
        ],
    )
    assert {heard for user in users for heard in user.replies} == {REPLY}
    assert all(user.moves for user in users)
    assert any(move.in_turn for move in moves)
