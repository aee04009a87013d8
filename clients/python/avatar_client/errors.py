"""What can go wrong, as exceptions.

AvatarClientError
├── FileError              a file to read or write is not usable
├── StreamEnded            the stream is over, and something more was to be sent or read
├── TooMuchWaiting         the connection is broken, and more requests wait for it than are kept
├── PreparationFailed      an avatar that was uploaded could not be prepared
├── SoundError             no microphone or loudspeaker, or no library for them
└── ServiceError           the service refused or ended a call
    ├── InvalidRequest     INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE: `field` says where
    ├── NotAuthenticated   UNAUTHENTICATED
    ├── NotAllowed         PERMISSION_DENIED
    ├── NotFound           NOT_FOUND
    ├── AlreadyExists      ALREADY_EXISTS
    ├── TakenOver          ABORTED: another stream resumed the session, or the server ended this one on purpose
    ├── LimitReached       RESOURCE_EXHAUSTED: `retry_delay_s` says when to try again
    ├── Unavailable        UNAVAILABLE
    ├── TimedOut           DEADLINE_EXCEEDED
    ├── NotOffered         UNIMPLEMENTED
    └── ServiceFault       everything else
"""

import grpc
from google.protobuf.message import DecodeError

from avatar.v1 import Status

STATUS_KEY = "grpc-status-details-bin"  # where gRPC's conventions put the details of a failed call


class AvatarClientError(Exception):
    """Anything that this client raises on purpose. Its text is one sentence fit for a user."""


class FileError(AvatarClientError):
    """A file to read or write is not usable; the text names it, the problem and the way out."""


class StreamEnded(AvatarClientError):
    """The stream is over, so that nothing more can be sent on it, nor read if it was closed on this side."""


class TooMuchWaiting(AvatarClientError):
    """More requests wait for a broken connection to come back than are kept."""


class PreparationFailed(AvatarClientError):
    """An avatar that was uploaded could not be prepared; `reason` is a constant to branch on."""

    def __init__(self, message: str, reason: str) -> None:
        """Keep the reason."""
        super().__init__(message)
        self.reason = reason


class SoundError(AvatarClientError):
    """The machine's microphone or loudspeaker cannot be used; the text says why and names the way out."""


class ServiceError(AvatarClientError):
    """The service refused or ended a call.

    `code` is gRPC's, `reason` the constant of `avatar.v1.ErrorInfo` (empty if the failure did not come from the service
    itself), `field` the request field at fault or empty, `retry_delay_s` the seconds to wait or None.
    """

    def __init__(self, code: grpc.StatusCode, message: str, status: Status | None = None) -> None:
        """Keep the facts; `status` is the service's own account, if it gave one."""
        super().__init__(message)
        status = status or Status()
        self.code = code
        self.reason = status.error_info.reason
        self.field = status.field
        self.metadata = dict(status.error_info.metadata)
        has_delay = status.HasField("retry_delay")
        self.retry_delay_s = status.retry_delay.ToNanoseconds() / 1e9 if has_delay else None


class InvalidRequest(ServiceError):
    """A request does not fit the contract, the limits or the state of the thing."""


class NotAuthenticated(ServiceError):
    """The credential is missing or not valid."""


class NotAllowed(ServiceError):
    """The credential does not allow this."""


class NotFound(ServiceError):
    """No such thing, or none that this caller may know of."""


class AlreadyExists(ServiceError):
    """A thing of that name exists."""


class TakenOver(ServiceError):
    """Another stream resumed the session, or the server ended this one on purpose."""


class LimitReached(ServiceError):
    """A limit of the server or of the tenant is reached."""


class Unavailable(ServiceError):
    """The service cannot be reached, or lacks something that it needs."""


class TimedOut(ServiceError):
    """A deadline passed, or the session was idle for too long."""


class NotOffered(ServiceError):
    """This server does not offer what was asked."""


class ServiceFault(ServiceError):
    """A fault of the service or of something between."""


ERRORS: dict[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: TakenOver,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitReached,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.UNIMPLEMENTED: NotOffered,
}


def from_rpc_error(error: grpc.aio.AioRpcError, address: str, *, connected: bool = False) -> ServiceError:
    """The exception for a failed call to `address`, with what the service says in the call's trailing metadata.

    `connected`: the service had answered before, so that nothing is wrong with the address or with TLS.
    """
    code, details = error.code(), error.details() or ""
    status = _status(error)
    message = status.message if status else _unexplained(code, details, address, connected)
    return ERRORS.get(code, ServiceFault)(code, message or details or code.name, status)


def _status(error: grpc.aio.AioRpcError) -> Status | None:
    """What the service itself says about the failure; None if the failure did not come from it."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                return None  # written by something between us and the service, in a form of its own
    return None


CONNECTION_PROBLEMS = (
    # What gRPC's core writes of a connection that was not made, and what that means.
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the certificate of {address} is not trusted: give its authority's as --ca, or to tls_credentials()",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "{address} does not speak TLS, and this client does: leave `credentials` out, or check the port",
    ),
    ("http1.x server", "{address} is an HTTP server without gRPC: check the port"),
    (
        "Socket closed",
        "{address} closed the connection: the server has ended, or takes TLS alone, or wants a certificate of yours; "
        "give --ca, --cert and --key, in your own code `credentials=tls_credentials(...)`",
    ),
    ("resolv", "no host of the name in {address} can be found: check the address"),
    (
        "connect",
        "no avatar service answers at {address}: check the address, or start one with `avatar-service up`",
    ),
)


def _unexplained(code: grpc.StatusCode, details: str, address: str, connected: bool) -> str:
    """What a failure means that the service itself did not explain."""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            for mark, meaning in CONNECTION_PROBLEMS:
                if mark in details and not connected:
                    return meaning.format(address=address)
            return f"the connection to {address} broke ({details}): try again"
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in details:
            return f"a message is longer than {address} takes ({details}): send less at once"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"the server at {address} does not offer this call ({details})"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{address} did not answer in time: check that it is an avatar service, or try again"
        case _:
            return details
