"""The fault matrix as a page: `python -m tests.chaos.table` writes docs/faults.md from the cells."""

import json
from pathlib import Path

from tests.chaos.cells import Cell, Outage, Row, StoreTrouble, Stream
from tests.chaos.matrix import CELLS
from tests.chaos.network import Break
from tests.chaos.system import LIMITS, TRITON_TIMEOUT_S

PAGE = Path(__file__).parents[2] / "docs/faults.md"
HEAD = f"""# What fails, and what becomes of the turn

Made by `python -m tests.chaos.table` from the cells of `tests/chaos/`; do not edit. `pytest tests/chaos` plays every
cell over the whole service: real gRPC, the vendors' own libraries against the sandbox over real sockets, a scripted
Triton, a real Redis. For each cell it checks what stands here, and that no task, socket, vendor request or render
request is left behind, that the metric has grown, and that the next turn of the same session works as if nothing had
been. [sandbox.md](sandbox.md) tells how to inject the vendors' faults by hand; rules are given as it takes them.

The limits are scaled down for these tests: {LIMITS["attempts"]} attempts, {LIMITS["first_output_s"]:g} s to the first
output and between outputs, {LIMITS["retry_wait_s"]:g} s before the second attempt, {LIMITS["stage_s"]:g} s for a stage,
{LIMITS["call_s"]:g} s for a call, {TRITON_TIMEOUT_S:g} s for a render request. With the defaults of
[settings.md](settings.md) a client is told of a failed stage within 12 s.

*Turn* is the outcome in `turn_completed`, with the reason of its status if that is not OK. *Requests* is how many the
vendor saw. *Within* is the limit that the test keeps, from the client's request to `turn_completed`, on a machine that
has other work; play-out, in real time, is a part of it.
"""
CLIENT_HEAD = "| what the client does | status | what it still gets | counted by |\n|---|---|---|---|\n"
TURN_HEAD = (
    "| what happens | turn | notices | what the user still gets | requests | within | counted by |\n"
    "|---|---|---|---|---|---|---|\n"
)
STORE_HEAD = "| what happens | what the user still gets | within | counted by |\n|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(row) for row in Row)


def _section(row: Row) -> str:
    cells = [cell for cell in CELLS if cell.row is row]
    head, line = TURN_HEAD, _turn_line
    if isinstance(cells[0].inject, Stream):
        head, line = CLIENT_HEAD, _client_line
    elif isinstance(cells[0].inject, StoreTrouble):
        head, line = STORE_HEAD, _store_line
    return f"\n## {row[0].upper()}{row[1:]}\n\n{head}" + "".join(f"| {line(cell)} |\n" for cell in cells)


def _turn_line(cell: Cell) -> str:
    turn = cell.turn
    assert turn
    return " | ".join(
        [
            f"{cell.column}{_injected(cell)}",
            _words(turn.outcome, turn.reason),
            _words(*turn.notices),
            cell.got,
            "" if turn.requests is None else str(turn.requests),
            f"{turn.within_s:g} s",
            f"`{cell.counted}`",
        ]
    )


def _client_line(cell: Cell) -> str:
    assert isinstance(cell.inject, Stream)
    return " | ".join([cell.column, _words(cell.inject.code, cell.inject.reason), cell.got, f"`{cell.counted}`"])


def _store_line(cell: Cell) -> str:
    return " | ".join([cell.column, cell.got, f"{cell.within_s:g} s", f"`{cell.counted}`"])


def _injected(cell: Cell) -> str:
    """The rule of the sandbox, which a reader may try."""
    if isinstance(cell.inject, Break | Outage | StoreTrouble | Stream):
        return ""
    return f"<br>`{json.dumps(dict(cell.inject))}`"


def _words(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words if word)


if __name__ == "__main__":
    PAGE.write_text(page())
