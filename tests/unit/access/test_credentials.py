"""Which credential of a call counts, and whose it is."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from avatar_service.access.credentials import Arrived, Credentials
from avatar_service.access.identity import ANYBODY, Identity, Proof
from avatar_service.access.keys import ApiKeys
from avatar_service.errors import StartupError, Unauthenticated
from avatar_service.settings import AccessSettings
from avatar_service.settings.access_types import split_proxies, split_tenants

PROXY = "spiffe://mesh.local/ns/edge/sa/envoy"
WEB = "spiffe://mesh.local/tenant/shop/web"
BANK = "spiffe://mesh.local/tenant/bank/web"


def credentials(**settings: Any) -> Credentials:
    return Credentials(AccessSettings.model_validate(settings))


def forwarding(header: str, peer: str = "ipv4:10.1.2.3:5000", names: tuple[str, ...] = ()) -> Arrived:
    return Arrived((("x-forwarded-client-cert", header),), peer, names)


@pytest.mark.parametrize(
    ("patterns", "name", "tenant"),
    [
        ("spiffe://*/tenant/{tenant}/**", WEB, "shop"),
        ("spiffe://*/tenant/{tenant}/**", "spiffe://mesh.local/tenant/shop", "shop"),
        ("spiffe://*/tenant/{tenant}/**", "spiffe://mesh.local/tenant/shop/web/1", "shop"),
        ("spiffe://*/tenant/{tenant}/**", "spiffe://mesh.local/x/tenant/shop/web", ""),
        ("spiffe://*/tenant/{tenant}/**", "spiffe://mesh.local/tenant/", ""),
        ("spiffe://*/tenant/{tenant}/**", "spiffe://mesh.local/tenant/..", ""),
        ("spiffe://*/tenant/{tenant}/**", f"{WEB}\n", ""),
        ("spiffe://mesh.local/ns/{tenant}/sa/*", "spiffe://mesh.local/ns/shop/sa/web", "shop"),
        ("spiffe://mesh.local/ns/{tenant}/sa/*", "spiffe://mesh.local/ns/shop/sa/web/x", ""),
        ("spiffe://mesh.local/ns/{tenant}/sa/*", "spiffe://mesh-local/ns/shop/sa/web", ""),
        ("{tenant}.clients.example.org", "shop.clients.example.org", "shop"),
        ("{tenant}.clients.example.org", "a.shop.clients.example.org", ""),
        ("*.{tenant}.example.org", "web.shop.example.org", "shop"),
        ("web.example.org=shop, batch.example.org=bank", "batch.example.org", "bank"),
        ("web.example.org=shop", "web-example.org", ""),
        ("", WEB, ""),
    ],
)
def test_a_certificates_name_tells_its_tenant_by_the_patterns(patterns: str, name: str, tenant: str) -> None:
    found = [pattern.tenant_of(name) for pattern in split_tenants(patterns)]
    assert next((tenant for tenant in found if tenant), "") == tenant


@pytest.mark.parametrize("patterns", ["spiffe://a/b", "{tenant}/{tenant}", "a=", "=shop", "a=../b", "a=b c"])
def test_a_pattern_without_a_tenant_is_refused(patterns: str) -> None:
    with pytest.raises(ValueError, match="must be names of certificates"):
        split_tenants(patterns)


@pytest.mark.parametrize("proxies", ["10.0.0.0/33", "300.1.1.1", "10.0.0.1/8", "::1::", "a b"])
def test_a_proxy_that_is_a_mistyped_address_is_refused(proxies: str) -> None:
    with pytest.raises(ValueError, match="must be names of certificates, addresses"):
        split_proxies(proxies)


async def test_where_nothing_is_asked_for_everybody_may_call() -> None:
    assert await credentials().identify(Arrived((("x-api-key", "whatever"),))) == ANYBODY


async def test_a_certificate_is_known_by_the_first_of_its_names_that_has_a_tenant() -> None:
    taken = credentials(client_ca="ca.pem", tenants="spiffe://*/tenant/{tenant}/**, web.example.org=bank")
    assert await taken.identify(Arrived((), names=("spiffe://mesh.local/other", WEB, "web.example.org"))) == Identity(
        "shop", WEB, Proof.CERTIFICATE
    )
    with pytest.raises(Unauthenticated) as refused:
        await taken.identify(Arrived((), names=("spiffe://mesh.local/other",)))
    assert (refused.value.reason, refused.value.why) == ("CREDENTIAL_INVALID", "no_tenant")


@pytest.mark.parametrize(
    ("proxies", "peer", "names"),
    [
        ("10.1.0.0/16", "ipv4:10.1.2.3:5000", ()),
        ("10.1.0.0/16", "ipv6:%5B::ffff:10.1.2.3%5D:5000", ()),
        ("fd00::/8", "ipv6:%5Bfd00::1%5D:5000", ()),
        (PROXY, "ipv4:192.0.2.1:5000", (PROXY,)),
    ],
)
async def test_the_header_of_a_proxy_on_the_list_is_believed(proxies: str, peer: str, names: tuple[str, ...]) -> None:
    taken = credentials(trusted_proxies=proxies)
    assert await taken.identify(forwarding(f"URI={WEB}", peer, names)) == Identity("shop", WEB, Proof.CERTIFICATE)


@pytest.mark.parametrize(
    ("peer", "names"),
    [
        ("ipv4:10.2.2.3:5000", ()),
        ("ipv6:%5B::1%5D:5000", ()),
        ("unix:/run/x", ()),
        ("", ()),
        ("ipv4:10.2.2.3:5000", ("spiffe://mesh.local/ns/edge/sa/other",)),
    ],
)
async def test_the_header_of_anybody_else_counts_for_nothing(peer: str, names: tuple[str, ...]) -> None:
    taken = credentials(trusted_proxies=f"10.1.0.0/16, {PROXY}")
    with pytest.raises(Unauthenticated) as refused:
        await taken.identify(forwarding(f"URI={WEB}", peer, names))
    assert refused.value.reason == "CREDENTIAL_MISSING"


async def test_a_caller_with_a_certificate_of_its_own_does_not_become_another_by_the_header() -> None:
    taken = credentials(trusted_proxies=PROXY, client_ca="ca.pem")
    assert (await taken.identify(forwarding(f"URI={BANK}", names=(WEB,)))).tenant == "shop"


@pytest.mark.parametrize(
    ("header", "tenant"),
    [
        # What stands before the last element came from the client, who may write there whatever it likes.
        (f"URI={BANK},URI={WEB}", "shop"),
        (f"URI={WEB},URI={PROXY}", "shop"),
        (f"URI={BANK},URI={WEB},URI={PROXY},URI={PROXY}", "shop"),
    ],
)
async def test_the_last_certificate_that_is_no_proxys_counts(header: str, tenant: str) -> None:
    taken = credentials(trusted_proxies=f"10.1.0.0/16, {PROXY}")
    assert (await taken.identify(forwarding(header))).tenant == tenant


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "CREDENTIAL_MISSING"),
        (f"URI={PROXY}", "CREDENTIAL_MISSING"),
        (f"URI={WEB},Hash=46ab", "CREDENTIAL_INVALID"),
        (f"URI={WEB},", "CREDENTIAL_INVALID"),
    ],
)
async def test_a_proxy_that_forwards_no_name_lets_nobody_in(header: str, reason: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await credentials(trusted_proxies=f"10.1.0.0/16, {PROXY}").identify(forwarding(header))
    assert refused.value.reason == reason


async def test_a_key_comes_before_the_certificate_that_opened_the_connection(tmp_path: Path) -> None:
    entry = {"id": "bank-1", "tenant": "bank", "sha256": hashlib.sha256(b"avk_1").hexdigest()}
    (tmp_path / "keys").write_text(json.dumps(entry))
    settings = AccessSettings.model_validate({"client_ca": "ca.pem", "api_keys": str(tmp_path / "keys")})
    taken = Credentials(settings, keys=ApiKeys(settings.api_keys))
    assert (await taken.identify(Arrived((("x-api-key", "avk_1"),), names=(WEB,)))).tenant == "bank"
    assert (await taken.identify(Arrived((), names=(WEB,)))).tenant == "shop"
    with pytest.raises(Unauthenticated):
        await taken.identify(Arrived((("x-api-key", "avk_2"),), names=(WEB,)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tls_certificate": "a"}, "AVATAR_TLS_CERT is set and AVATAR_TLS_KEY is not"),
        ({"tls_key": "a"}, "AVATAR_TLS_KEY is set and AVATAR_TLS_CERT is not"),
        ({"client_ca": "a"}, "AVATAR_TLS_CLIENT_CA is set and AVATAR_TLS_CERT is not"),
        ({"trusted_proxies": PROXY}, "AVATAR_TRUSTED_PROXIES with .* AVATAR_TLS_CLIENT_CA is not"),
        ({"jwks": "a", "jwt_audience": "a"}, "AVATAR_JWKS is set and AVATAR_JWT_ISSUER is not"),
        ({"jwks": "a", "jwt_issuer": "a"}, "AVATAR_JWKS is set and AVATAR_JWT_AUDIENCE is not"),
    ],
)
def test_a_setting_without_the_one_that_it_needs_stops_the_start(settings: dict[str, str], named: str) -> None:
    with pytest.raises(StartupError, match=named):
        AccessSettings.model_validate(settings).require_whole()


def test_a_proxy_before_one_that_is_known_by_its_address_may_be_named_without_an_authority() -> None:
    AccessSettings.model_validate({"trusted_proxies": f"127.0.0.6, {PROXY}"}).require_whole()


@pytest.mark.parametrize("listen", ["127.0.0.1:50051", "[::1]:50051", "localhost:0", "127.8.0.1:1"])
def test_an_address_of_this_machine_alone_may_be_open(listen: str) -> None:
    AccessSettings.model_validate({}).require_closed(listen)


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:50051", "10.1.2.3:1", "avatar.example:50051"])
def test_an_address_that_others_reach_is_not_open_by_mistake(listen: str) -> None:
    with pytest.raises(StartupError, match=r"AVATAR_OPEN_ACCESS=true"):
        AccessSettings.model_validate({}).require_closed(listen)
    AccessSettings.model_validate({"open_access": True}).require_closed(listen)
    AccessSettings.model_validate({"api_keys": "keys"}).require_closed(listen)
    with pytest.raises(StartupError, match="AVATAR_OPEN_ACCESS"):
        AccessSettings.model_validate({"tls_certificate": "a", "tls_key": "b"}).require_closed(listen)
