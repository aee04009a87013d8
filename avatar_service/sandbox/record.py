"""What the sandbox remembers of the requests that it served: timings and sizes, never texts, audio or keys."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary

Outcome = Literal["running", "completed", "failed", "cancelled"]
"""``failed``: answered with an error or broken off by us; ``cancelled``: the caller hung up."""


@dataclass(slots=True)
class RequestRecord:
    """One request. Times are ``time.monotonic()``, which all processes of a Linux machine share."""

    number: int
    vendor: str
    method: str
    route: str
    sdk: str
    started_s: float
    connection: int = 0
    """Which TCP connection it came on, counted from 1; 0 if it was gone."""
    fault: str | None = None
    """The name of the fault that was injected into it."""
    request_bytes: int = 0
    response_bytes: int = 0
    status: int = 0
    outcome: Outcome = "running"
    first_byte_s: float | None = None
    last_byte_s: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """What the model did: ``audio_s``, ``model_s``, ``prompt_tokens``, ``completion_tokens``."""

    def sent(self, size_bytes: int) -> None:
        """Count bytes of the answer's body that were just written."""
        now_s = time.monotonic()
        if self.first_byte_s is None:
            self.first_byte_s = now_s
        self.last_byte_s = now_s
        self.response_bytes += size_bytes

    def to_json(self, epoch_offset_s: float) -> dict[str, Any]:
        """Return the record with each time on the monotonic clock and as seconds since the epoch."""

        def epoch(monotonic_s: float | None) -> float | None:
            return None if monotonic_s is None else monotonic_s + epoch_offset_s

        return {
            "number": self.number,
            "vendor": self.vendor,
            "method": self.method,
            "route": self.route,
            "sdk": self.sdk,
            "connection": self.connection,
            "fault": self.fault,
            "status": self.status,
            "outcome": self.outcome,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "started_s": self.started_s,
            "first_byte_s": self.first_byte_s,
            "last_byte_s": self.last_byte_s,
            "started_epoch_s": epoch(self.started_s),
            "first_byte_epoch_s": epoch(self.first_byte_s),
            "last_byte_epoch_s": epoch(self.last_byte_s),
            "figures": dict(self.figures),
        }


class RequestLog:
    """The last requests, oldest first; older ones are forgotten."""

    def __init__(self, kept: int) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=kept)
        self._count = 0
        self._connections: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._connection_count = 0

    def connection_of(self, transport: object | None) -> int:
        """Return the number of a transport's connection; 0 for none."""
        if transport is None:
            return 0
        number = self._connections.get(transport)
        if number is None:
            self._connection_count += 1
            number = self._connections[transport] = self._connection_count
        return number

    def open(self, vendor: str, method: str, route: str, sdk: str, connection: int = 0) -> RequestRecord:
        """Begin the record of a request that just arrived."""
        self._count += 1
        record = RequestRecord(self._count, vendor, method, route, sdk, time.monotonic(), connection)
        self._records.append(record)
        return record

    def to_json(self) -> dict[str, Any]:
        """Return ``{"total", "requests"}``; total counts forgotten ones too."""
        offset_s = time.time() - time.monotonic()
        return {"total": self._count, "requests": [record.to_json(offset_s) for record in self._records]}


def sdk_version(headers: Mapping[str, str]) -> str:
    """Return the SDK's name and version as it states them: its User-Agent, at most 80 characters."""
    return headers.get("User-Agent", "")[:80]
