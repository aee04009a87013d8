"""Tokens, whatever comes in their place."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from avatar_service.access.identity import Identity, Proof
from avatar_service.access.signing_keys import open_keys
from avatar_service.access.tokens import LEEWAY_S, Tokens
from avatar_service.errors import Unauthenticated
from avatar_service.settings import AccessSettings
from tests.issuer import AUDIENCE, ISSUER, Issuer


@asynccontextmanager
async def taken(issuer: Issuer, tmp_path: Path, **settings: str) -> AsyncIterator[Tokens]:
    """Tokens of this issuer."""
    path = tmp_path / "jwks.json"
    path.write_text(issuer.jwks())
    common = {"jwks": str(path), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with open_keys(str(path)) as keys:
        yield Tokens(AccessSettings.model_validate(common | settings), keys)


async def why(tokens: Tokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await tokens.identify(f"Bearer {token}")
    return refused.value.why


def part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


async def test_a_token_tells_tenant_subject_and_how_long_it_is_taken(tmp_path: Path) -> None:
    issuer = Issuer()
    async with taken(issuer, tmp_path, jwt_tenant_claim="https://example.org/org") as tokens:
        claims: dict[str, Any] = {"https://example.org/org": "org|7", "exp": 4_000_000_000, "aud": ["x", AUDIENCE]}
        shown = issuer.token(**claims)
        expected = Identity("org|7", "web", Proof.TOKEN, 4_000_000_000 + LEEWAY_S)
        assert await tokens.identify(f"Bearer {shown}") == expected
        assert await tokens.identify(f"bearer   {shown}") == expected


async def test_a_key_signs_with_its_own_algorithm_alone(tmp_path: Path) -> None:
    """An RSA key that is there for RS256 does not also check PS256, which a token asks for."""
    issuer = Issuer("RS256")
    async with taken(issuer, tmp_path) as tokens:
        issuer.algorithm = "PS256"
        assert await why(tokens, issuer.token()) == "algorithm"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "\x00.\x00.\x00",
        "é.é.é",
        f"{part('[')}.{part('{}')}.x",
        f"{part('[' * 3_000)}.{part('{}')}.x",
        part("{" + '"a":{' * 1_000) + f".{part('{}')}.x",
        f"{part('1' * 5_000)}.{part('{}')}.x",
        f"{part(json.dumps({'alg': 'ES256', 'kid': ['key-1']}))}.{part('{}')}.x",
        f"{part(json.dumps({'alg': 'ES256', 'kid': 'key-1', 'crit': ['exp']}))}.{part('{}')}.x",
        f"{part(json.dumps({'alg': 'ES256', 'kid': 'key-1', 'b64': False}))}.{part('{}')}.x",
    ],
)
async def test_what_is_no_token_is_malformed_and_no_fault_of_ours(tmp_path: Path, token: str) -> None:
    async with taken(Issuer(), tmp_path) as tokens:
        assert await why(tokens, token) in ("malformed", "signature")


@pytest.mark.parametrize("alg", [None, 5, ["ES256"], "none", "None", "HS256", "ES256K", ""])
async def test_an_algorithm_that_is_not_on_the_list_is_refused_before_a_key_is_looked_for(
    tmp_path: Path, alg: object
) -> None:
    async with taken(Issuer(), tmp_path) as tokens:
        assert await why(tokens, f"{part(json.dumps({'alg': alg, 'kid': 'nobody'}))}.{part('{}')}.eA") == "algorithm"


@pytest.mark.parametrize("exp", [float("inf"), -1, 0, "4000000000"])
async def test_an_end_that_is_no_moment_is_refused(tmp_path: Path, exp: object) -> None:
    issuer = Issuer()
    async with taken(issuer, tmp_path) as tokens:
        assert await why(tokens, issuer.token(exp=exp)) in ("malformed", "expired", "claims")
