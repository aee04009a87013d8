"""What the value of a setting may look like: addresses, URLs, keys, names, times."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr


def split_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [IPV6]:PORT. Raises ValueError."""
    host, _, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare) != host.startswith("[") or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{address!r} is not HOST:PORT with a port up to 65535")
    return bare, int(port)


def _host_port(value: str) -> str:
    split_address(value)
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.username)):
        raise ValueError("must be a URL such as https://host/v1, without user name and query")
    return value


def _redis_url(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    parts = urlsplit(value)
    if value and not (parts.scheme in ("redis", "rediss") and parts.hostname and not parts.query):
        raise ValueError("must be a URL such as redis://host:6379/0, or rediss:// with TLS, without query")
    return secret


def _key(secret: SecretStr) -> SecretStr:
    """Refuses what HTTP would refuse in a header, at the first request and with the key in the message."""
    if any(not "!" <= character <= "~" for character in secret.get_secret_value()):
        raise ValueError("holds a space, a line break or a character that no key has")
    return secret


HostPort = Annotated[str, AfterValidator(_host_port)]
HostPortOrEmpty = Annotated[str, AfterValidator(lambda value: value and _host_port(value))]
Url = Annotated[str, AfterValidator(_url)]
Key = Annotated[SecretStr, AfterValidator(_key)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
"""A secret, because it may hold a password."""
Name = Annotated[str, Field(min_length=1, max_length=200)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
