"""What the value of a setting may look like: addresses, URLs, keys, names, times."""

import re
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr


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


def split_headers(value: str) -> dict[str, str]:
    """Headers of `name=value` pairs between commas, with values as in a URL. Raises ValueError, which quotes none."""
    headers = {}
    for pair in filter(str.strip, value.split(",")):
        name, found, text = (unquote(part).strip() for part in pair.partition("="))
        if not found or not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not text.isprintable() or not text.isascii():
            raise ValueError("must be name=value pairs between commas, with values written as in a URL")
        headers[name.lower()] = text
    return headers


def _headers(secret: SecretStr) -> SecretStr:
    split_headers(secret.get_secret_value())
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
Headers = Annotated[SecretStr, AfterValidator(_headers)]
"""A secret, because they may hold a key."""
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
"""A secret, because it may hold a password."""
Name = Annotated[str, Field(min_length=1, max_length=200)]
NameOrEmpty = Annotated[str, Field(max_length=200)]
SeedOrEmpty = Annotated[
    Annotated[int, Field(ge=0, le=4_294_967_295)] | None, BeforeValidator(lambda value: None if value == "" else value)
]
Seconds = Annotated[float, Field(gt=0, le=3600)]
