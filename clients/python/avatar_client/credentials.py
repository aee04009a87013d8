"""How a caller shows who it is: a token or key with each call, a certificate with each connection."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc

from avatar_client.errors import FileError

Token: TypeAlias = str | Callable[[], str]
"""A bearer token, or what returns the present one: it is asked for each call, and when a conversation is resumed, in
the event loop's thread, so it must not wait for anything."""


def call_metadata(token: Token | None, api_key: str | None) -> tuple[tuple[str, str], ...]:
    """What goes with a call. Raises ValueError for what no header can carry, which it does not show."""
    present = token() if callable(token) else token
    for name, value in (("token", present), ("api_key", api_key)):
        if value and not (value.isascii() and value.isprintable()):
            raise ValueError(f"{name}: holds a line break or another character that no header can carry; strip it")
    bearer = (("authorization", f"Bearer {present}"),) if present else ()
    return (*bearer, ("x-api-key", api_key)) if api_key else bearer


def tls_credentials(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """TLS, for `credentials=` of a client, from PEM files.

    `ca` has the authorities that the server's certificate must come from; without it, those that gRPC brings.
    `certificate`, its chain included, and `key` show who you are. Raises FileError for files that cannot be used.
    """
    if (certificate is None) != (key is None):
        raise FileError("a client certificate needs its key, and a key its certificate: give both, or neither")
    contents = [path.read_bytes() if path and _readable(path) else None for path in (ca, key, certificate)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # gRPC takes any bytes, and tells of wrong ones as of a server that cannot be reached.
        if ca:
            context.load_verify_locations(ca)
        if certificate and key:
            context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        files = " and ".join(str(path) for path in (ca, certificate, key) if path)
        reason = getattr(error, "reason", None) or type(error).__name__
        raise FileError(
            f"{files}: no certificates and key that belong together, in PEM without a passphrase ({reason})"
        ) from None
    return grpc.ssl_channel_credentials(*contents)


def _readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    return True
