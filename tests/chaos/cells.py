"""What a cell of the fault matrix says: who fails how, and what becomes of the turn."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.chaos.network import Break
from tests.chaos.system import WHOLE_REPLY, System
from tests.fakes.triton_server import Fault
from tests.service.calls import Call

Rule = Mapping[str, Any]
"""A rule of the sandbox, without the requests that it concerns: those are the row's."""


@dataclass(frozen=True, slots=True)
class Outage:
    """What Triton does with the requests of a turn: `fault`; or nobody listens, from the turn's beginning on, or for a
    while from its first frame on.
    """

    fault: Fault | None = None
    gone: bool = False
    strikes: bool = False


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """What happens to Redis: it is killed, hangs, or is given commands that break it and commands that mend it."""

    breaks: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    killed: bool = False
    hangs: bool = False
    told: bool = True
    """Whether the client is told that its session cannot be resumed meanwhile."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a client does, and the status that its stream ends with on the server's side; empty `reason` for none."""

    play: Callable[[System], Awaitable[Call]]
    code: str
    reason: str


class Row(StrEnum):
    """Who fails."""

    TRANSCRIPTION = "speech to text"
    CHAT = "chat"
    SPEECH = "text to speech"
    SOCKET = "text to speech by WebSocket"
    TRITON = "Triton"
    STORE = "session store"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Counted:
    """A metric that grows by at least one, less its prefix `avatar_`, and its labels."""

    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        told = ", ".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"avatar_{self.name}{{{told}}}"


@dataclass(frozen=True, slots=True)
class Turn:
    """How the turn ends that the fault meets. Words are those of the contract, less their prefixes."""

    outcome: str = "COMPLETED"
    reason: str = ""
    """`error_info.reason` of the turn's status; empty if that is OK."""
    fault: str = ""
    """`fault` of its metadata, or where the turn has none, of the last notice's."""
    notices: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    transcript: str | None = None
    reply: str = WHOLE_REPLY
    """The generated text."""
    heard: str | None = None
    """What was heard; None: the whole reply."""
    requests: int | None = None
    """How many the sandbox saw of the faulty kind."""
    retries: int | None = None
    within_s: float = 3.0
    """From the client's request to `turn_completed`."""
    interrupted_at: str = ""
    """The client interrupts when this notice comes: the voice would go on for longer than a test may."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault in one place. `got` tells in words what the user still has of the turn."""

    row: Row
    column: str
    inject: Rule | Break | Outage | StoreTrouble | Stream
    counted: Counted
    got: str
    turn: Turn | None = None
    """What is expected of the turn; None where it is the stream that matters."""
    model: str = ""
    """The session's transcription model; empty: the default, which does not stream."""
    within_s: float = 3.0
    """How long the whole may take where there is no turn."""
    says: str = ""
    """What the client has the avatar say; empty: it asks something."""
    full: bool = False
    """Whether it takes too long for every day."""

    @property
    def id(self) -> str:
        """Name of the test."""
        return f"{self.row.name.lower()}: {self.column}"
