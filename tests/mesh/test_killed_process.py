"""A process that is killed with -9 loses no session: its users go on at the other process."""

import asyncio
import time

from tests.mesh.conftest import Seen
from tests.mesh.losing import USERS, assert_nothing_is_lost, busiest, conversations, moved
from tests.mesh.talking import pauses, table

WITHIN_S = 5.0
"""From the break to the resumed session; measured are 0.1 s, on a machine that does nothing else."""


async def test_the_sessions_of_a_killed_process_go_on_at_the_other_one(seen: Seen) -> None:
    async with asyncio.timeout(120), conversations() as (stack, envoy, users, enough):
        lost, count = await busiest(stack)
        killed_s = time.monotonic()
        lost.kill()
        await moved(users, count)
        all_moved_s = time.monotonic() - killed_s
        noticed_s = await envoy.until_healthy(1) + all_moved_s
        enough.set()
    moves = [move for user in users for move in user.moves]
    seen(
        f"{USERS} users, kill -9 of the process that holds {count} of them",
        [
            *table(users),
            f"resumed after {', '.join(f'{move.at_s - killed_s:.2f}' for move in moves)} s;"
            f" Envoy's health check noticed after {noticed_s:.2f} s or less",
            pauses(users),
        ],
    )
    assert count
    assert sum(bool(user.moves) for user in users) == count
    assert max(move.outage_s for move in moves) < WITHIN_S
    assert_nothing_is_lost(users)
