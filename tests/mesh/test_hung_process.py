"""A process that hangs is noticed, its users go on at the other one, and it cannot write any more when it goes on."""

import asyncio
import time

from tests.mesh.conftest import Seen
from tests.mesh.losing import USERS, assert_nothing_is_lost, busiest, conversations, metric, moved
from tests.mesh.talking import pauses, table
from tests.stack import ServiceProcess

WITHIN_S = 12.0
"""From SIGSTOP to the resumed session: 5 s until Envoy's ping counts as not answered, then as after kill -9."""


async def test_a_process_that_hangs_is_noticed_and_cannot_write_when_it_goes_on(seen: Seen) -> None:
    async with asyncio.timeout(120), conversations() as (stack, envoy, users, enough):
        hung, count = await busiest(stack)
        stopped_s = time.monotonic()
        hung.stop()
        try:
            await moved(users, count)
            await envoy.until_healthy(1)
            noticed_s = time.monotonic() - stopped_s
        finally:
            hung.cont()
        went_on_s = time.monotonic()
        refused = 'avatar_store_operations_total{operation="%s",outcome="taken_over"}'
        while not await written_in_vain(hung, refused):
            await asyncio.sleep(0.05)
        in_vain = await written_in_vain(hung, refused)
        await envoy.until_healthy(2)
        moves_before = sum(len(user.moves) for user in users)
        replies_before = {user.name: len(user.replies) for user in users}
        while any(len(user.replies) == replies_before[user.name] for user in users):
            await asyncio.sleep(0.05)  # each hears one more reply to its end
        moves_after = sum(len(user.moves) for user in users)
        left = await metric(hung, 'avatar_sessions_active{method="Converse"}')
        enough.set()
    moves = [move for user in users for move in user.moves]
    seen(
        f"{USERS} users, SIGSTOP of the process that holds {count} of them",
        [
            *table(users),
            f"resumed after {', '.join(f'{move.at_s - stopped_s:.2f}' for move in moves)} s; out of Envoy's balance"
            f" after {noticed_s:.2f} s or less; stopped for {went_on_s - stopped_s:.2f} s; then it tried to write"
            f" {in_vain:.0f} times and was refused each time, and had {left:.0f} streams left",
            pauses(users),
        ],
    )
    assert count
    assert max(move.at_s - stopped_s for move in moves) < WITHIN_S
    assert moves_after == moves_before
    assert left == 0
    assert_nothing_is_lost(users)


async def written_in_vain(service: ServiceProcess, refused: str) -> float:
    """How often a process was refused when it wrote for sessions that others have taken over."""
    return sum([await metric(service, refused % operation) for operation in ("save", "renew")])
