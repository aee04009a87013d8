"""Who may call: certificates, tokens, keys, and where refusals are written down."""

import ipaddress

from pydantic import Field

from avatar_service.errors import StartupError
from avatar_service.settings.access_types import FileOrUrl, Proxies, Tenants, split_proxies
from avatar_service.settings.section import Section, named
from avatar_service.settings.types import Name, NameOrEmpty, split_address


class AccessSettings(Section):
    """TLS and credentials. With none of the four kinds of credentials everybody may call, which a server that
    listens beyond its own machine refuses to do unless it is told to."""

    tls_certificate: str = Field("", validation_alias=named("AVATAR_TLS_CERT"))
    """PEM file of the server's certificate and its chain; empty: the port has no TLS."""
    tls_key: str = Field("", validation_alias=named("AVATAR_TLS_KEY"))
    """PEM file of its private key."""
    client_ca: str = Field("", validation_alias=named("AVATAR_TLS_CLIENT_CA"))
    """PEM file of the authorities that clients' certificates must come from; empty: none is asked for."""
    tenants: Tenants = Field("spiffe://*/tenant/{tenant}/**", validation_alias=named("AVATAR_TLS_TENANTS"))
    """Which tenant a certificate's name belongs to."""
    trusted_proxies: Proxies = Field("", validation_alias=named("AVATAR_TRUSTED_PROXIES"))
    """Proxies whose `x-forwarded-client-cert` is believed: names in their certificates, addresses, networks."""
    jwks: FileOrUrl = Field("", validation_alias=named("AVATAR_JWKS"))
    """File or URL of the keys that tokens are signed with; empty: no tokens are taken."""
    jwt_issuer: NameOrEmpty = Field("", validation_alias=named("AVATAR_JWT_ISSUER"))
    """What a token's `iss` must be."""
    jwt_audience: NameOrEmpty = Field("", validation_alias=named("AVATAR_JWT_AUDIENCE"))
    """What must be in a token's `aud`."""
    jwt_tenant_claim: Name = Field("tenant", validation_alias=named("AVATAR_JWT_TENANT_CLAIM"))
    """Claim of a token that names the tenant."""
    api_keys: str = Field("", validation_alias=named("AVATAR_API_KEYS"))
    """File of hashed API keys; empty: no keys are taken."""
    open_access: bool = Field(False, validation_alias=named("AVATAR_OPEN_ACCESS"))
    """Whether anybody may call although the address can be reached from other machines."""
    audit_log: str = Field("", validation_alias=named("AVATAR_AUDIT_LOG"))
    """File for the audit log; empty: it goes into the log."""

    @property
    def asks_for_credentials(self) -> bool:
        """Whether a call without a credential is refused."""
        return bool(self.client_ca or self.trusted_proxies or self.jwks or self.api_keys)

    def require_whole(self) -> None:
        """Raise StartupError for a setting that means nothing without another one."""
        proxies = split_proxies(self.trusted_proxies)
        # Beside an address a name stands for a proxy before that proxy, which the header names.
        named = [] if proxies.networks else sorted(proxies.names)
        for name, value, needed, other in (
            ("AVATAR_TLS_CERT", self.tls_certificate, "AVATAR_TLS_KEY", self.tls_key),
            ("AVATAR_TLS_KEY", self.tls_key, "AVATAR_TLS_CERT", self.tls_certificate),
            ("AVATAR_TLS_CLIENT_CA", self.client_ca, "AVATAR_TLS_CERT", self.tls_certificate),
            (f"AVATAR_TRUSTED_PROXIES with {named[:1]}", named, "AVATAR_TLS_CLIENT_CA", self.client_ca),
            ("AVATAR_JWKS", self.jwks, "AVATAR_JWT_ISSUER", self.jwt_issuer),
            ("AVATAR_JWKS", self.jwks, "AVATAR_JWT_AUDIENCE", self.jwt_audience),
        ):
            if value and not other:
                raise StartupError(f"{name} is set and {needed} is not: give both, or neither")

    def require_closed(self, listen: str) -> None:
        """Raise StartupError where other machines reach the address and nobody is asked for a credential, or as
        `require_whole`."""
        self.require_whole()
        host = split_address(listen)[0]
        if self.asks_for_credentials or self.open_access or _is_own(host):
            return
        raise StartupError(
            f"AVATAR_LISTEN: {listen} can be reached from other machines, and no credential is asked for; set "
            "AVATAR_API_KEYS, AVATAR_JWKS or AVATAR_TLS_CLIENT_CA (docs/security.md), or AVATAR_OPEN_ACCESS=true where "
            "something before the service lets nobody in who does not belong, such as a mesh's sidecar"
        )


def _is_own(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
