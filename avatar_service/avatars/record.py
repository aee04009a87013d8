"""What the store knows of an avatar beside its bundle, as one JSON file."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class RecordState(StrEnum):
    """How far an avatar is. A deleted one keeps its record until its files are removed."""

    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a preparation failed: `code` is one of the contract's, without prefix, and `reason` a word for programs."""

    code: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a source's frames: how many it has, how many boxes were interpolated, how many frames left out."""

    source_frames: int
    interpolated_frames: int = 0
    dropped_frames: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One avatar of the store. Times are seconds since 1970; `token` names the record's file and its work folder."""

    token: str
    avatar_id: str
    display_name: str
    created_s: float
    tier: str
    owner: str = ""  # whose avatar it is; empty as long as there are no tenants
    request_id: str = ""
    state: RecordState = RecordState.PREPARING
    sha256: str = ""  # of the bundle; empty unless it is ready, or was
    failure: Failure | None = None
    report: Report | None = None
    deleted_s: float = 0.0

    def to_json(self) -> bytes:
        """As it stands in its file."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read it back. Raises ValueError, KeyError or TypeError for anything else."""
        values: dict[str, Any] = json.loads(content)
        values["state"] = RecordState(values["state"])
        values["failure"] = Failure(**values["failure"]) if values["failure"] else None
        values["report"] = Report(**values["report"]) if values["report"] else None
        return cls(**values)
