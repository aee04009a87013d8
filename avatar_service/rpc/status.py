"""Our errors to gRPC statuses: the only such table.

A failed call carries an `avatar.v1.Status` in its trailing metadata, which generic clients read as `google.rpc.Status`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Any_

from avatar.v1 import Code, ErrorInfo, Status
from avatar_service import metrics
from avatar_service.access.audit import audit
from avatar_service.access.refusals import CredentialRefused
from avatar_service.errors import (
    AlreadyExists,
    AvatarError,
    ClientError,
    EngineError,
    FailedPrecondition,
    IdentityUnknown,
    NotFound,
    OverloadError,
    PermissionDenied,
    ReaderTooSlow,
    ServerStopping,
    SessionEnded,
    SessionHeld,
    SessionIdle,
    StoreError,
    StoreUnavailable,
    TooSlow,
    Unauthenticated,
    Unimplemented,
)
from avatar_service.events import FailureKind
from avatar_service.log import get_logger
from avatar_service.turn.failure import failure_of

log = get_logger(__name__)

DOMAIN = "avatar.v1"
FAILED_STAGES = {
    "transcribe": "TRANSCRIPTION_FAILED",
    "think": "CHAT_FAILED",
    "speak": "SPEECH_FAILED",
    "animate": "LIPSYNC_FAILED",
    "encode": "ENCODING_FAILED",
    "prepare": "PREPARATION_FAILED",
}
"""Reasons of failures, by the stage whose engine failed."""
FAILURE_CODES = {
    FailureKind.TIMEOUT: Code.CODE_DEADLINE_EXCEEDED,
    FailureKind.UNAVAILABLE: Code.CODE_UNAVAILABLE,
    FailureKind.REJECTED: Code.CODE_FAILED_PRECONDITION,
}
"""Codes of failed turns, whose numbers are those of gRPC."""
DETAILS = "grpc-status-details-bin"
ABORT_WITHIN_S = 1.0
"""Longest that a call which has failed waits until its status is sent; all that it held is given back by then."""
_ENGINE_CODES = {
    FailureKind.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    FailureKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    FailureKind.REJECTED: grpc.StatusCode.FAILED_PRECONDITION,
}
_CLIENT_CODES: dict[type[ClientError], grpc.StatusCode] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    TooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
}
"""Codes of what the caller can mend; the others are INVALID_ARGUMENT."""
_ENDED_CODES: dict[type[SessionEnded], grpc.StatusCode] = {
    SessionIdle: grpc.StatusCode.DEADLINE_EXCEEDED,
    ServerStopping: grpc.StatusCode.UNAVAILABLE,
    SessionHeld: grpc.StatusCode.UNAVAILABLE,
}
"""Codes of streams that a rule of ours ended; the others are ABORTED."""
_PLAIN: dict[type[AvatarError], tuple[grpc.StatusCode, str]] = {
    ReaderTooSlow: (grpc.StatusCode.ABORTED, "READER_TOO_SLOW"),
    IdentityUnknown: (grpc.StatusCode.UNAVAILABLE, "CREDENTIAL_UNCHECKED"),
}
"""Code and reason of errors that have one of each."""
_STORE_DOWN = "the store of sessions does not answer; try again with the same token"
_GOOGLE_RPC = "type.googleapis.com/google.rpc."


class ClientGone(Exception):
    """The client is not there any more; whatever was being done for it ends."""


@asynccontextmanager
async def rpc_errors(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """End the call with the status of whatever error leaves the block; a client that is gone needs none."""
    failed: BaseException | None = None
    try:
        yield
    except* ClientGone:
        context.set_code(grpc.StatusCode.CANCELLED)  # nobody reads it any more but our own metrics
    except* AvatarError as errors:
        failed = _first(errors)
    except* Exception as errors:
        failed = failed or _first(errors)
    if failed:
        # Outside of `except*`, which would wrap the exception by which gRPC ends a call.
        code, status = _status(failed)
        _audit(failed, code)
        # Strangers cause refusals as fast as they can: the audit log tells them, in a bounded number of lines.
        tell = log.debug if isinstance(failed, CredentialRefused) else log.info
        tell("call_failed", code=code.name, reason=status.error_info.reason, field=status.field or None)
        status.details.extend(_google_details(status))
        await _abort(context, code, status)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], code: grpc.StatusCode, status: Status) -> None:
    """End the call. The status waits behind what the client has not read, so gRPC may never get rid of it."""
    try:
        async with asyncio.timeout(ABORT_WITHIN_S):
            await context.abort(code, status.message, ((DETAILS, status.SerializeToString()),))
    except TimeoutError:
        # gRPC keeps the status for a client that reads on after all, and one message before it. What is used of an
        # aborted call raises the AbortError by which gRPC ends its handler.
        await context.read()
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError as error:  # the client went before it took the status: no fault of ours
        raise asyncio.CancelledError from error


def _status(error: BaseException) -> tuple[grpc.StatusCode, Status]:
    match error:
        case ClientError():
            code = _CLIENT_CODES.get(type(error), grpc.StatusCode.INVALID_ARGUMENT)
            field = error.field if code is grpc.StatusCode.INVALID_ARGUMENT else ""
            return _with(code, str(error), error.reason, field)
        case Unauthenticated():
            return _with(grpc.StatusCode.UNAUTHENTICATED, str(error), error.reason)
        case OverloadError():
            code, status = _with(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), error.reason)
            if error.retry_after_s is not None:
                status.retry_delay.FromNanoseconds(round(error.retry_after_s * 1e9))
            metrics.REFUSED.labels(error.reason).inc()
            return code, status
        case EngineError():
            failure = failure_of(error)
            log.warning("engine_failed", **error.facts)
            return _with(_ENGINE_CODES[failure.kind], failure.message, FAILED_STAGES[failure.stage])
        case StoreError():
            code = grpc.StatusCode.RESOURCE_EXHAUSTED if error.full else grpc.StatusCode.UNAVAILABLE
            log.error("store_failed", exc_info=error)
            return _with(code, str(error), "STORE_UNAVAILABLE")
        case StoreUnavailable():
            log.warning("session_store_failed", error=str(error))
            return _with(grpc.StatusCode.UNAVAILABLE, _STORE_DOWN, "STORE_UNAVAILABLE")
        case SessionEnded():
            code = _ENDED_CODES.get(type(error), grpc.StatusCode.ABORTED)
            return _with(code, str(error), error.reason)
        case ReaderTooSlow() | IdentityUnknown():
            code, reason = _PLAIN[type(error)]
            return _with(code, str(error), reason)
        case _:
            error_id = secrets.token_hex(8)
            log.error("internal_error", error_id=error_id, exc_info=error)
            code, status = _with(grpc.StatusCode.INTERNAL, f"internal error {error_id}", "INTERNAL")
            status.error_info.metadata["error_id"] = error_id
            return code, status


def _audit(error: BaseException, code: grpc.StatusCode) -> None:
    """Write down a call that was refused for who made it."""
    match error:
        case CredentialRefused():
            metrics.CREDENTIALS_REFUSED.labels(error.proof.value, error.why).inc()
            facts = {"proof": error.proof.value, "subject": error.subject, "tenant": error.tenant}
            audit("credential_refused", code=code.name, reason=error.reason, why=error.why, **facts)
        case Unauthenticated():  # a stream whose credential has ended while it was served
            audit("credential_refused", code=code.name, reason=error.reason, why=error.why)
        case IdentityUnknown():
            audit("credential_unchecked", code=code.name)
        case ClientError() if error.why:
            audit("call_refused", code=code.name, reason=error.reason, why=error.why, about=str(error))
        case OverloadError() if error.reason == "QUOTA_EXHAUSTED":
            audit("quota_refused", code=code.name, reason=error.reason, about=str(error))


def _with(code: grpc.StatusCode, message: str, reason: str, field: str = "") -> tuple[grpc.StatusCode, Status]:
    number: int = code.value[0]
    status = Status(message=message, field=field, error_info=ErrorInfo(reason=reason, domain=DOMAIN))
    status.code = number  # type: ignore[assignment]  # the contract's codes of failures are gRPC's own numbers
    return code, status


def _google_details(status: Status) -> list[Any_]:
    """The same facts for libraries that look for `google.rpc` types, whose layouts ours share."""
    details = [Any_(type_url=f"{_GOOGLE_RPC}ErrorInfo", value=status.error_info.SerializeToString())]
    if status.HasField("retry_delay"):
        delay = status.retry_delay.SerializeToString()
        # RetryInfo is one message field, number 1: its tag, its length, itself.
        details.append(Any_(type_url=f"{_GOOGLE_RPC}RetryInfo", value=b"\x0a" + bytes([len(delay)]) + delay))
    return details


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
