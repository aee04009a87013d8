"""The options by which every command shows who calls, and the client that it calls with."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from avatar_client.cli.options import fail
from avatar_client.client import AsyncAvatarClient
from avatar_client.credentials import tls_credentials
from avatar_client.errors import FileError

PANEL = "Who calls"

Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        help="Connect by TLS, to a server whose certificate these authorities (PEM) vouch for.",
        rich_help_panel=PANEL,
    ),
]
Cert = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", help="Your certificate and its chain (PEM).", rich_help_panel=PANEL),
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Its private key (PEM).", rich_help_panel=PANEL)
]
# From the environment rather than here where others see this machine's processes, arguments included.
Token = Annotated[
    str | None,
    typer.Option("--token", metavar="JWT", envvar="AVATAR_TOKEN", help="Bearer token.", rich_help_panel=PANEL),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", metavar="KEY", envvar="AVATAR_API_KEY", help="API key.", rich_help_panel=PANEL),
]
_OPTIONS = {"ca": Ca, "cert": Cert, "key": Key, "token": Token, "api_key": ApiKey}


@dataclass(frozen=True, slots=True)
class Access:
    """What a command shows of its caller."""

    credentials: grpc.ChannelCredentials | None = None
    token: str | None = None
    api_key: str | None = None


_NOTHING = Access()
_access: ContextVar[Access] = ContextVar("access", default=_NOTHING)


def client_of(server: str) -> AsyncAvatarClient:
    """A client of the server, with what the command's options show of the caller."""
    shown = _access.get()
    try:
        return AsyncAvatarClient(server, credentials=shown.credentials, token=shown.token, api_key=shown.api_key)
    except ValueError as error:
        fail(str(error), error)


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options above, which it need not know."""

    @wraps(command)
    def called(**given: Any) -> None:
        shown = {name: given.pop(name) for name in _OPTIONS}
        with _shown(**shown):
            command(**given)

    parameters = list(inspect.signature(command).parameters.values())
    for name, option in _OPTIONS.items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option))
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by `inspect` and typer
    called.__annotations__ = {**command.__annotations__, **_OPTIONS}
    return called


@contextmanager
def _shown(
    ca: Path | None, cert: Path | None, key: Path | None, token: str | None, api_key: str | None
) -> Iterator[None]:
    try:
        credentials = tls_credentials(ca, cert, key) if ca or cert or key else None
    except FileError as error:
        fail(str(error), error)
    before = _access.set(Access(credentials, token, api_key))
    try:
        yield
    finally:
        _access.reset(before)
