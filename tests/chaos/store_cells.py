"""The row of the session store: a real Redis, in trouble. Streams go on without it."""

from tests.chaos.cells import Cell, Counted, Row, StoreTrouble

GOES_ON = "the whole reply; notices that the session cannot be resumed, and that it can again"
NEVER_KNOWS = "the whole reply, and a session that can be resumed"


def _lost(column: str, trouble: StoreTrouble) -> Cell:
    counted = Counted("store_operations_total", {"operation": "save", "outcome": "unavailable"})
    return Cell(Row.STORE, column, trouble, counted, GOES_ON, within_s=8.0)


STORE_CELLS = (
    _lost("connection refused", StoreTrouble(killed=True)),
    _lost("hang", StoreTrouble(hangs=True)),
    _lost(
        "refuses to write: memory full",
        StoreTrouble(("CONFIG SET maxmemory 1",), ("CONFIG SET maxmemory 0",)),
    ),
    _lost(
        "refuses to write: a replica",
        StoreTrouble(("CONFIG SET min-replicas-to-write 1",), ("CONFIG SET min-replicas-to-write 0",)),
    ),
    _lost(
        "wrong password",
        StoreTrouble(
            ("CONFIG SET requirepass sesame", "CLIENT KILL TYPE normal SKIPME yes"), ('CONFIG SET requirepass ""',)
        ),
    ),
    Cell(
        Row.STORE,
        "loses its data",
        StoreTrouble(("FLUSHALL",), told=False),
        Counted("store_operations_total", {"operation": "save", "outcome": "ok"}),
        NEVER_KNOWS,
        within_s=8.0,
    ),
)
