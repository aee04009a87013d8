"""The tables of docs/errors.md as the code has them; run as a program, it writes them to standard output."""

import sys
from collections.abc import Iterable, Mapping

from avatar_service.engines.second import SAME_AT_THE_SECOND
from avatar_service.engines.vendor_errors import BY_CLOSE_CODE, BY_CODE, BY_EXCEPTION, BY_HUNDRED, BY_STATUS
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable, Fault

CLASSES: tuple[type[EngineError], ...] = (EngineTimeout, EngineUnavailable, EngineRejected)


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [head, "|" + "---|" * (head.count("|") - 1), *(f"| {' | '.join(row)} |" for row in rows)]


def _words(values: Iterable[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _of(table: Mapping[object, Fault] | Mapping[int, Fault] | Mapping[str, Fault], fault: Fault) -> list[object]:
    return [key for key, its_fault in table.items() if its_fault is fault]


def _statuses(fault: Fault) -> str:
    others = [f"any other {hundred}xx" for hundred in _of(BY_HUNDRED, fault)]
    return ", ".join([str(status) for status in _of(BY_STATUS, fault)] + others)


def _yes(yes: bool) -> str:
    return "yes" if yes else "no"


def _faults() -> Iterable[tuple[str, ...]]:
    for fault in Fault:
        (kind,) = (kind for kind in CLASSES if fault in kind.faults)
        second = _yes(fault not in SAME_AT_THE_SECOND)
        yield f"`{fault}`", f"`{kind.__name__}`", _yes(kind.retryable), second


def _sources() -> Iterable[tuple[str, ...]]:
    for fault in Fault:
        closing = ", ".join(str(code) for code in _of(BY_CLOSE_CODE, fault))
        yield f"`{fault}`", _words(_of(BY_CODE, fault)), _statuses(fault), closing


def _exceptions() -> Iterable[tuple[str, ...]]:
    for kind, fault in BY_EXCEPTION:
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}."
        yield f"`{module}{kind.__name__}`", f"`{fault}`"


TABLES = {
    "faults": _table("| fault | class | tried again | asked of a second engine |", _faults()),
    "sources": _table("| fault | codes | statuses | codes that close a WebSocket |", _sources()),
    "exceptions": _table("| exception | fault |", _exceptions()),
}

if __name__ == "__main__":
    sys.stdout.write("\n\n".join("\n".join(table) for table in TABLES.values()))
