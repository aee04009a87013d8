"""What a session leaves in the store, so that another stream, or another process, goes on with it.

A record is one line that names the format and its version, then JSON; never pickle, since a store is not a place to
trust code from. It holds what was said: whoever runs the store answers for it.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avatar_service.engines.base import Message
from avatar_service.events import Failure, Outcome, Source
from avatar_service.log import get_logger
from avatar_service.media.heard import SpokenWord

log = get_logger(__name__)

HEADER = b"avatar-session 1\n"
"""Names the version; a record that begins otherwise was written by a release that this one does not understand."""


@dataclass(frozen=True, slots=True)
class SavedInput:
    """A text or `say` that waited for its turn. Utterances are not kept: the client sends their audio again."""

    source: Source
    text: str
    request_id: str = ""
    remembered: bool = True


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """The turn that ran, or the unheard rest that was owed, when this was saved."""

    turn_id: int
    source: Source
    said: str
    """What the user said; empty where the words were given, or are not understood yet."""
    sentences: tuple[str, ...] = ()
    """All that were split from the reply, spoken or waiting."""
    words: tuple[SpokenWord, ...] = ()
    """Those whose voice has come, in order."""
    reply_text: str = ""
    """The reply as far as it was written."""
    reply_finished: bool = False
    """Whether the whole reply was written and no tool was asked for."""
    played_s: float = 0.0
    """How much of the turn counted as heard, in seconds from its first sample."""
    remembered: bool = True
    """Whether the chat model learns of the turn."""
    tool_messages: tuple[Message, ...] = ()
    """The round of tools that the turn answers."""
    request_id: str = ""
    """The client's name for what the turn answers; empty if it gave none."""


@dataclass(frozen=True, slots=True)
class SavedEnd:
    """How the newest turn that is over ended: its last event may not have reached the client."""

    turn_id: int
    outcome: Outcome
    generated_text: str
    heard_text: str
    heard_estimated: bool = True
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class SavedSession:
    """Everything that a session goes on from."""

    history: tuple[Message, ...] = ()
    """The conversation so far, in place of what the configuration says of it."""
    last_turn_id: int = 0
    last_utterance_id: int = 0
    acknowledged_s: float = 0.0
    """User audio that the client need not send again, over the session's whole life."""
    waiting: tuple[SavedInput, ...] = ()
    """What waited behind the turn, oldest first."""
    turn: SavedTurn | None = None
    ended: SavedEnd | None = None
    request_ids: tuple[str, ...] = ()
    """Names of the texts that were given, so that one which is sent again is not answered twice."""
    config: bytes = b""
    """The client's ConverseConfig with every update so far, as the contract encodes it; opaque to sessions."""

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    def to_bytes(self) -> bytes:
        """The record that is stored."""
        return HEADER + _FORMAT.dump_json(self)

    @classmethod
    def from_bytes(cls, record: bytes) -> Self | None:
        """The session of a record; None, and a line in the log, if this release cannot read it."""
        if not record.startswith(HEADER):
            log.warning("saved_session_unreadable", why="version")
            return None
        try:
            saved = _FORMAT.validate_json(record.removeprefix(HEADER))
        except ValidationError as error:
            log.warning("saved_session_unreadable", why="content", faults=error.error_count())
            return None
        assert isinstance(saved, cls)
        return saved


_FORMAT = TypeAdapter(SavedSession)
