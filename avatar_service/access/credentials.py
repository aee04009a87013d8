"""Judging a call's credential: the one place where an identity comes from.

    metadata                        judged by        where set
    authorization: Bearer <token>   tokens.py        AVATAR_JWKS
    x-api-key: <key>                keys.py          AVATAR_API_KEYS
    (certificate of the caller)     its names        AVATAR_TLS_CLIENT_CA
    x-forwarded-client-cert         forwarded.py     AVATAR_TRUSTED_PROXIES

A token or key comes before a certificate: with both, the certificate has opened the connection, and the tenant is the
token's. Metadata of a kind that is not set are none of ours and are not looked at. With nothing set everybody may call.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from avatar_service.access.audit import audit
from avatar_service.access.forwarded import forwarded_certificates
from avatar_service.access.identity import ANYBODY, TENANT, Identity, Proof
from avatar_service.access.keys import ApiKeys
from avatar_service.access.refusals import CredentialRefused, invalid, missing
from avatar_service.access.tokens import Tokens
from avatar_service.settings import AccessSettings
from avatar_service.settings.access_types import Address, split_proxies, split_tenants

FORWARDED = "x-forwarded-client-cert"
AUTHORIZATION = "authorization"
API_KEY = "x-api-key"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a call came with: its metadata, the address in gRPC's form, and the names in the certificate that the
    connection was opened with, URIs before names of DNS."""

    metadata: Sequence[tuple[str, str | bytes]]
    peer: str = ""
    names: tuple[str, ...] = ()

    def all(self, key: str) -> list[str]:
        """The values of a key, in their order."""
        return [value if isinstance(value, str) else value.decode("latin-1") for k, value in self.metadata if k == key]

    @property
    def address(self) -> Address | None:
        """Where it came from; None for what is no address, such as a socket of this machine."""
        kind, _, rest = self.peer.partition(":")
        if kind not in ("ipv4", "ipv6"):
            return None
        try:
            address = ipaddress.ip_address(unquote(rest.rpartition(":")[0]).strip("[]").partition("%")[0])
        except ValueError:
            return None
        # A port that listens on all of IPv6 names callers of IPv4 so.
        return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


class Credentials:
    """What this server takes as credentials."""

    def __init__(self, settings: AccessSettings, tokens: Tokens | None = None, keys: ApiKeys | None = None) -> None:
        self._asked = settings.asks_for_credentials
        self._tokens = tokens
        self._keys = keys
        self._certificates = bool(settings.client_ca)
        self._tenants = split_tenants(settings.tenants)
        self._proxies = split_proxies(settings.trusted_proxies)
        self._proxied = bool(settings.trusted_proxies)

    async def identify(self, call: Arrived) -> Identity:
        """Whose call it is. Raises Unauthenticated, or IdentityUnknown where that cannot be told at this moment."""
        if not self._asked:
            return ANYBODY
        tokens = call.all(AUTHORIZATION) if self._tokens else []
        keys = call.all(API_KEY) if self._keys else []
        if len(tokens) + len(keys) > 1:
            raise invalid(Proof.NONE, "several")
        if tokens and self._tokens:
            return await self._tokens.identify(tokens[0])
        if keys and self._keys:
            return self._keys.identify(keys[0])
        return self._of_certificate(call)

    def _of_certificate(self, call: Arrived) -> Identity:
        names = self._names(call)
        if names is None:
            raise self._missing()
        for name in names:
            for pattern in self._tenants:
                if TENANT.fullmatch(tenant := pattern.tenant_of(name)):
                    return Identity(tenant, name, Proof.CERTIFICATE)
        raise invalid(Proof.CERTIFICATE, "no_tenant")

    def _names(self, call: Arrived) -> tuple[str, ...] | None:
        """The names in the caller's certificate; None if it showed none."""
        is_proxy = self._proxies.has_name(call.names) or self._proxies.has_address(call.address)
        forwarded = call.all(FORWARDED) if self._proxied else []
        if forwarded and not is_proxy:
            audit("forwarded_certificate_ignored", why="untrusted_peer")
        if not is_proxy:
            return call.names if self._certificates else None
        for certificate in reversed(forwarded_certificates(forwarded)):
            if not self._proxies.has_name(certificate):  # a proxy before that proxy
                return certificate
        return None

    def _missing(self) -> CredentialRefused:
        kinds = {
            "a token in `authorization: Bearer`": self._tokens,
            "an API key in `x-api-key`": self._keys,
            "a client certificate": self._certificates or self._proxied,
        }
        return missing(", or ".join(kind for kind, is_taken in kinds.items() if is_taken))
