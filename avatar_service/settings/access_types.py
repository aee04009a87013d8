"""What the settings of access may look like: which tenant a certificate's name belongs to, which proxies are believed,
where keys are."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_PLACE = "{tenant}"
_TENANT = r"(?P<tenant>[A-Za-z0-9][A-Za-z0-9_-]*)"
_PARTS = re.compile(r"(\{tenant\}|/\*\*$|\*\*|\*)")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class TenantPattern:
    """Names of certificates, and the tenant that they belong to."""

    names: re.Pattern[str]
    tenant: str
    """Empty: the part of the name that the pattern names."""

    def tenant_of(self, name: str) -> str:
        """The tenant of a certificate's name; empty if the pattern is not of that name."""
        found = self.names.fullmatch(name)
        return (self.tenant or found["tenant"]) if found else ""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Who may say which certificate a client showed: by a name in its own certificate, or by its address."""

    names: frozenset[str]
    networks: tuple[Network, ...]

    def has_name(self, names: tuple[str, ...]) -> bool:
        """Whether one of a certificate's names is on the list."""
        return not self.names.isdisjoint(names)

    def has_address(self, address: Address | None) -> bool:
        """Whether the address is on the list."""
        return address is not None and any(address in network for network in self.networks)


def _entries(value: str) -> list[str]:
    return [entry for entry in (part.strip() for part in value.split(",")) if entry]


def split_tenants(value: str) -> tuple[TenantPattern, ...]:
    """Patterns between commas: NAME with {tenant} in it, or NAME=TENANT. Raises ValueError."""
    return tuple(_tenant_pattern(entry) for entry in _entries(value))


def _tenant_pattern(entry: str) -> TenantPattern:
    name, found, tenant = entry.rpartition("=") if _PLACE not in entry else (entry, "", "")
    if (found and not (name and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:|@-]{0,99}", tenant))) or not (
        found or entry.count(_PLACE) == 1
    ):
        raise ValueError(
            "must be names of certificates between commas, each with one {tenant} in it or =TENANT behind it, such as "
            "spiffe://example.org/tenant/{tenant}/** or web.example.org=shop"
        )
    within = "[^/]*" if "://" in name else "[^.]*"
    meanings = {_PLACE: _TENANT, "/**": "(?:/.*)?", "**": ".*", "*": within}
    expression = "".join(meanings.get(part) or re.escape(part) for part in _PARTS.split(name))
    return TenantPattern(re.compile(expression), tenant)


def split_proxies(value: str) -> TrustedProxies:
    """Names of certificates, addresses and networks between commas. Raises ValueError."""
    names, networks = set(), []
    for entry in _entries(value):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            if re.fullmatch(r"[0-9.]+(/[0-9]+)?|[0-9a-fA-F:]*:[0-9a-fA-F:]*(/[0-9]+)?", entry) or " " in entry:
                raise ValueError(
                    "must be names of certificates, addresses or networks such as 10.1.0.0/16 between commas"
                ) from None
            names.add(entry)
    return TrustedProxies(frozenset(names), tuple(networks))


def is_url(value: str) -> bool:
    """Whether keys are fetched, rather than read from a file."""
    return value.startswith(("https://", "http://"))


def _file_or_url(value: str) -> str:
    parts = urlsplit(value)
    if "://" in value and not (is_url(value) and parts.hostname and not parts.username):
        raise ValueError("must be a file, or a URL such as https://issuer/.well-known/jwks.json without user name")
    return value


def _tenants(value: str) -> str:
    split_tenants(value)
    return value


def _proxies(value: str) -> str:
    split_proxies(value)
    return value


Tenants = Annotated[str, AfterValidator(_tenants)]
Proxies = Annotated[str, AfterValidator(_proxies)]
FileOrUrl = Annotated[str, AfterValidator(_file_or_url)]
