"""The audit log: a line for each act that was refused, and for each that changes what others see.

A line is one JSON object: moment in UTC, event, whose call it was (tenant, subject, proof), peer, method, session and
trace where there are such, then the event's own facts. Without a file of its own the same facts go into the log: what
was refused as WARNING, what was done as INFO. No line holds a credential.

Strangers cause lines, so their number is bounded: what is above the limit is counted, and the count told.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

import structlog

from avatar_service import clock
from avatar_service.access.identity import caller, current_call
from avatar_service.errors import StartupError
from avatar_service.log import get_logger

log = get_logger(__name__)

LINES_PER_SECOND = 100
"""Most lines of a second: about 30 KB, or 2.6 GB a day of a flood."""
LONGEST = 200
"""Characters of a fact that are kept."""

Fact = str | int | float | bool | None


class _Bounded:
    """How many lines the present second has had, and how many were left out since the last one that was written."""

    def __init__(self) -> None:
        self.second = 0
        self.lines = 0
        self.left_out = 0

    def take(self, now_s: float) -> bool:
        """Whether one more may be written."""
        if int(now_s) != self.second:
            self.second, self.lines = int(now_s), 0
        self.lines += 1
        self.left_out += self.lines > LINES_PER_SECOND
        return self.lines <= LINES_PER_SECOND


class _Sink:
    """Where the lines go to."""

    def __init__(self) -> None:
        self.file: WatchedFileHandler | None = None
        self.bounded = _Bounded()


_sink = _Sink()


@contextmanager
def audited_to(path: str) -> Iterator[None]:
    """Write the lines of the block to a file, which may be moved away and is then begun anew; empty: into the log.

    Raises StartupError for a file that cannot be written.
    """
    before = _sink.file, _sink.bounded
    file = None
    if path:
        try:
            file = WatchedFileHandler(Path(path), encoding="utf-8")
        except OSError as error:
            raise StartupError(f"AVATAR_AUDIT_LOG: cannot write {path} ({error.strerror})") from error
    _sink.file, _sink.bounded = file, _Bounded()
    try:
        yield
    finally:
        _sink.file, _sink.bounded = before
        if file:
            file.close()


def audit(event: str, **facts: Fact) -> None:
    """Write down what was refused; facts that are None or empty are left out. `tenant`, `subject` and `proof` may be
    given where they are not the caller's."""
    _write(logging.WARNING, event, facts)


def granted(event: str, **facts: Fact) -> None:
    """Write down what was done that changes what others see."""
    _write(logging.INFO, event, facts)


def _write(level: int, event: str, facts: dict[str, Fact]) -> None:
    bounded, now_s = _sink.bounded, clock.wall()
    if not bounded.take(now_s):
        return
    left_out, bounded.left_out = bounded.left_out, 0
    line = {name: _bounded(value) for name, value in {**_of_call(), **facts}.items() if value not in (None, "")}
    if left_out:
        line["lines_left_out"] = left_out
    if _sink.file:
        time = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps({"time": time, "event": event, **line}, ensure_ascii=False)
        # With the locks, the reopening and the errors of the standard library's handler.
        _sink.file.handle(logging.makeLogRecord({"msg": "%s", "args": (text,)}))
    else:
        log.log(level, event, audit=True, **line)


def _of_call() -> dict[str, Fact]:
    identity, call = caller(), current_call()
    session_id = structlog.contextvars.get_contextvars().get("session_id")
    return {
        "tenant": identity.tenant,
        "subject": identity.subject,
        "proof": identity.proof.value,
        "peer": call.peer,
        "method": call.method,
        "session_id": session_id,
    }


def _bounded(value: Fact) -> Fact:
    return value[:LONGEST] if isinstance(value, str) else value
