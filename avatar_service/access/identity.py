"""Who calls: the identity that a credential proves, known in every line of code that serves the call."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:|@-]{0,99}")
"""What a tenant may be called: the names that identity providers use, none of which is a path or breaks a line."""


class Proof(StrEnum):
    """What proved an identity."""

    NONE = "none"
    """Nothing: this server asks for no credential."""
    CERTIFICATE = "certificate"
    TOKEN = "token"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. Avatars, sessions and quotas belong to its tenant."""

    tenant: str = ""
    """Whose things it may see and use beside public ones; empty where this server asks for no credential."""
    subject: str = ""
    """Who it is within the tenant, for the audit log: a certificate's SAN, a token's `sub`, a key's id."""
    proof: Proof = Proof.NONE
    expires_s: float | None = None
    """When the credential ends, in seconds since 1970; None if it does not."""


ANYBODY = Identity()
"""The caller of a server that asks for no credential."""

_caller: ContextVar[Identity] = ContextVar("caller", default=ANYBODY)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it arrived, for the audit log: its method without the service, and the address that it came from."""

    method: str = ""
    peer: str = ""


NO_CALL = Call()

_call: ContextVar[Call] = ContextVar("call", default=NO_CALL)


def current_call() -> Call:
    """The call that is served."""
    return _call.get()


@contextmanager
def serving_call(call: Call) -> Iterator[None]:
    """What runs in the block serves this call, tasks that it starts included."""
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)


def caller() -> Identity:
    """Who called the method that runs."""
    return _caller.get()


@contextmanager
def called_by(identity: Identity) -> Iterator[None]:
    """Make this the caller of what runs in the block, tasks that it starts included."""
    token = _caller.set(identity)
    try:
        yield
    finally:
        _caller.reset(token)
