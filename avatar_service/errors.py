"""Every error that crosses a module's border.

* AvatarError
  x ClientError            the caller can mend it; ends the stream with its status
    - InvalidArgument      a field of a message; names field, limit and way out
    - NotFound             an avatar or voice that is not there
    - AlreadyExists        an avatar of that id is there
    - FailedPrecondition   the state of the thing, or of the server, does not allow it
    - PermissionDenied     the thing is not the caller's to change
    - TooSlow              the caller sent nothing within the limit
    - Unimplemented        part of the contract that this server does not serve
  x Unauthenticated        the call has no credential that this server takes
  x IdentityUnknown        a credential cannot be judged at this moment
  x OverloadError          full or draining; try again later
  x ReaderTooSlow          the client takes no more media; ends the stream
  x EngineError            an engine failed; carries stage and engine, ends the turn, never the session
    - EngineTimeout        no output within the stage's limit
    - EngineUnavailable    not reachable, overloaded, or its answer was cut
    - EngineRejected       it refused the request: key, quota, content
  x StoreError             the store of avatars cannot be written or read
  x StoreUnavailable       the store of sessions cannot be reached or is full
  x SessionEnded           the service ends a stream by a rule of its own; the session can be resumed
    - SessionTakenOver     another stream holds the session
    - SessionAgeReached    the stream has reached its greatest age
    - SessionIdle          nothing came from the client for too long
    - SessionHeld          the stream that was begun with the same token may still live; try again
    - ServerStopping       the process stops, and the time for open streams is over
  x StartupError           the process cannot start as configured; names the setting and the way out
"""

from enum import StrEnum
from typing import ClassVar


class AvatarError(Exception):
    """Base of all errors of this service."""


class ClientError(AvatarError):
    """What the caller sent cannot be served; `reason` is a stable UPPER_SNAKE_CASE word for programs.

    `why` is for the audit log alone: what the caller must not learn, such as that a thing is there and is another's.
    """

    def __init__(self, message: str, *, reason: str, field: str = "", why: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.why = why


class InvalidArgument(ClientError):
    """A field holds what it must not."""

    def __init__(self, field: str, message: str, *, reason: str = "FIELD_INVALID") -> None:
        super().__init__(f"{field}: {message}", reason=reason, field=field)


class NotFound(ClientError):
    """A named resource does not exist, or is not the caller's to see."""

    def __init__(self, field: str, message: str, *, reason: str, why: str = "") -> None:
        super().__init__(f"{field}: {message}", reason=reason, field=field, why=why)


class AlreadyExists(ClientError):
    """A thing of that name exists."""

    def __init__(self, field: str, message: str, *, reason: str) -> None:
        super().__init__(f"{field}: {message}", reason=reason, field=field)


class FailedPrecondition(ClientError):
    """The state of the thing, or of the server, does not allow it."""

    def __init__(self, field: str, message: str, *, reason: str) -> None:
        super().__init__(f"{field}: {message}", reason=reason, field=field)


class PermissionDenied(ClientError):
    """The thing is there, and not the caller's to change."""

    def __init__(self, field: str, message: str, *, why: str = "") -> None:
        super().__init__(f"{field}: {message}", reason="NOT_ALLOWED", field=field, why=why)


class TooSlow(ClientError):
    """The caller sent nothing within the limit."""


class Unimplemented(ClientError):
    """The contract has it, this server does not serve it."""

    def __init__(self, field: str, message: str) -> None:
        reason = "FORMAT_UNSUPPORTED" if "format" in field or "_audio" in field else "FEATURE_UNSUPPORTED"
        super().__init__(f"{field}: {message}", reason=reason, field=field)


class Unauthenticated(AvatarError):
    """The call has no credential that this server takes. `why` is for the audit log alone: the caller learns only
    whether one is missing, has expired, or is not valid."""

    def __init__(self, message: str, *, reason: str, why: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.why = why


class IdentityUnknown(AvatarError):
    """A credential cannot be judged at this moment: its issuer's keys cannot be had. It may be good; try again."""


class OverloadError(AvatarError):
    """No room for more; `retry_after_s` says when to ask again, None that time alone does not help."""

    def __init__(self, message: str, *, reason: str, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class ReaderTooSlow(AvatarError):
    """The client has not read, or not played, what it was sent for too long."""


class StoreError(AvatarError):
    """The store of avatars cannot be used; `full` if there is no room left on its disk."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class StoreUnavailable(AvatarError):
    """The store of sessions cannot be used at this moment; what it keeps is not lost."""


class SessionEnded(AvatarError):
    """A stream is ended by a rule of the service; its session can be resumed by whoever has the latest token."""

    reason = ""
    """What programs know it by."""


class SessionTakenOver(SessionEnded):
    """Another stream has resumed the session."""

    reason = "SESSION_TAKEN_OVER"

    def __init__(self) -> None:
        super().__init__("another stream has resumed this session")


class SessionAgeReached(SessionEnded):
    """The stream is as old as a stream may be."""

    reason = "SESSION_AGE_REACHED"


class SessionIdle(SessionEnded):
    """Nothing came from the client for too long, and the avatar was silent."""

    reason = "IDLE"


class SessionHeld(SessionEnded):
    """The token has been used, but whether its user has learned of the next one is not known yet: the stream that was
    begun with it still holds the session."""

    reason = "SESSION_HELD"

    def __init__(self) -> None:
        super().__init__("a stream that was begun with this token may still live; try again with the same one")


class ServerStopping(SessionEnded):
    """The process stops, and the time for open streams is over."""

    reason = "DRAINING"

    def __init__(self) -> None:
        super().__init__("this server stops; resume the session on a new stream")


class Fault(StrEnum):
    """What was wrong with a request to an engine, whichever engine it was."""

    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    QUOTA = "quota"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    FILTERED = "filtered"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed"


class EngineError(AvatarError):
    """An engine failed in a stage. `retryable` holds for failures that another attempt may mend.

    `request_id` is the vendor's name of the request, `retry_after_s` how long it asks to be left alone; empty and None
    where it did not tell. `advice` is a sentence about the way out that any client may read.
    """

    retryable = False
    faults: ClassVar[tuple[Fault, ...]] = ()
    """What may be behind an error of this class; the first where it is not told."""

    def __init__(
        self,
        stage: str,
        engine: str,
        message: str,
        fault: Fault | None = None,
        *,
        retry_after_s: float | None = None,
        request_id: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(f"{stage} ({engine}): {message}")
        self.reason = message
        self.stage = stage
        self.engine = engine
        self.fault = fault or self.faults[0]
        assert self.fault in self.faults, f"{self.fault} is no {type(self).__name__}"
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.advice = advice

    @property
    def facts(self) -> dict[str, str]:
        """What a log tells of it: where it was, its class, what was wrong, and the vendor's name of the request."""
        facts = {"stage": self.stage, "engine": self.engine, "error": type(self).__name__, "fault": self.fault.value}
        return facts | ({"vendor_request_id": self.request_id} if self.request_id else {})


class EngineTimeout(EngineError):
    """No output within the limit of the stage."""

    retryable = True
    faults = (Fault.TIMEOUT,)


class EngineUnavailable(EngineError):
    """The engine could not be reached, was overloaded, or broke off."""

    retryable = True
    faults = (Fault.CONNECTION, Fault.OVERLOADED, Fault.RATE_LIMIT, Fault.MALFORMED)


class EngineRejected(EngineError):
    """The engine understood the request and refused it."""

    faults = (Fault.BAD_REQUEST, Fault.AUTHENTICATION, Fault.PERMISSION, Fault.QUOTA, Fault.NOT_FOUND, Fault.FILTERED)


class StartupError(AvatarError):
    """The process cannot start as it is configured."""
