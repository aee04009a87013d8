"""Who may call: the files and addresses by which that is judged, and when they end."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509

from avatar_service import clock
from avatar_service.access.keys import Entry, parse_keys
from avatar_service.access.signing_keys import SigningKeys
from avatar_service.doctor.report import Finding, failed, ok, warning
from avatar_service.errors import StartupError
from avatar_service.rpc.tls import Certificates
from avatar_service.settings import Settings

ENDING = 0.1
"""Share of a certificate's life that is left when it should have been renewed."""
ENDING_S = 14 * 86_400.0
"""Left of an API key when its owner should have another."""
DAY_S = 86_400.0
KEYS, TOKENS, TLS = "API keys", "tokens", "TLS"
LINES = "each line of AVATAR_API_KEYS is one that `avatar-service key` printed"


async def access(settings: Settings) -> Sequence[Finding]:
    """Every kind of credential that is set can be judged, and for how long yet."""
    try:
        settings.access.require_closed(settings.server.listen)
    except StartupError as error:
        return [failed("access", str(error), "docs/security.md has an example of each credential")]
    return [_asked(settings), *_tls(settings), *_keys(settings), *await _tokens(settings)]


def _asked(settings: Settings) -> Finding:
    if settings.access.asks_for_credentials:
        return ok("access", "every call but health checks needs a credential")
    if settings.access.open_access:
        return warning(
            "access", "everybody may call (AVATAR_OPEN_ACCESS)", "see that something before it asks who calls"
        )
    return ok("access", "everybody on this machine may call, nobody else")


def _tls(settings: Settings) -> Iterator[Finding]:
    access = settings.access
    if not access.tls_certificate:
        return
    try:
        Certificates(access)
    except StartupError as error:
        yield failed(TLS, str(error), "give the files of one certificate, its key and the authorities, in PEM")
        return
    for name, path in (("certificate", access.tls_certificate), ("client authority", access.client_ca)):
        for certificate in x509.load_pem_x509_certificates(Path(path).read_bytes()) if path else ():
            yield _life(name, path, certificate)


def _life(name: str, path: str, certificate: x509.Certificate) -> Finding:
    begins_s, ends_s = (m.timestamp() for m in (certificate.not_valid_before_utc, certificate.not_valid_after_utc))
    left_s = ends_s - clock.wall()
    until = f"{name} in {path}: until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if left_s <= 0 or clock.wall() < begins_s:
        return failed(TLS, f"{until}, from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}", "renew it")
    if left_s < ENDING * (ends_s - begins_s):
        return warning(TLS, until, "renew it; the service reads the file again by itself")
    return ok(TLS, until)


def _keys(settings: Settings) -> Iterator[Finding]:
    if not (path := settings.access.api_keys):
        return
    try:
        entries = parse_keys(Path(path).read_text(encoding="utf-8"), path)
    except (StartupError, OSError, UnicodeDecodeError) as error:
        told = str(error) if isinstance(error, StartupError) else f"{path} cannot be read ({type(error).__name__})"
        yield failed(KEYS, told, LINES)
        return
    good = [entry for entry in entries if not entry.revoked and _left_s(entry) > 0]
    if not good:
        yield failed(KEYS, f"{path} has no key that is taken", "make one with `avatar-service key`")
        return
    tenants = len({entry.tenant for entry in good})
    yield ok(KEYS, f"{len(good)} taken of {len(entries)} in {path}, of {tenants} tenants")
    if ending := [entry.key_id for entry in good if _left_s(entry) < ENDING_S]:
        yield warning(KEYS, f"within {ENDING_S / DAY_S:.0f} days end {', '.join(ending[:10])}", "give out others")


def _left_s(entry: Entry) -> float:
    return float("inf") if entry.expires_s is None else entry.expires_s - clock.wall()


async def _tokens(settings: Settings) -> Sequence[Finding]:
    source = settings.access.jwks
    if not source:
        return []
    keys = SigningKeys(source)
    try:
        await keys.read()
    except StartupError as error:
        return [failed(TOKENS, str(error), "AVATAR_JWKS is the `jwks_uri` of your identity provider, or a copy of it")]
    found = ok(TOKENS, f"{keys.count} public keys at {source}, for tokens of {settings.access.jwt_issuer}")
    if source.startswith("http://"):
        return [found, warning(TOKENS, f"{source} is without TLS: who is on the way can put keys in", "take https://")]
    return [found]
