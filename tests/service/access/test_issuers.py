"""The issuer's keys come from a URL: they change, and the issuer goes away and comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web

from avatar_service.access import signing_keys
from tests.issuer import AUDIENCE, ISSUER, Issuer
from tests.service.access.calling import bearer, called, refusal
from tests.service.calls import serving
from tests.service.test_lists import refused


@dataclass
class Provider:
    """An issuer's web server, and how often its keys were asked for."""

    issuer: Issuer
    url: str = ""
    asked: int = 0
    answers: int = 200

    async def answer(self, request: web.Request) -> web.Response:
        """The present keys, or the failure of the day."""
        self.asked += 1
        return web.Response(text=self.issuer.jwks() if self.answers == 200 else "", status=self.answers)


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    """An issuer over HTTP."""
    provider = Provider(Issuer())
    app = web.Application()
    app.router.add_get("/jwks", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
        yield provider
    finally:
        await runner.cleanup()


def access_of(provider: Provider, tmp_path: Path) -> dict[str, Any]:
    return {
        "jwks": provider.url,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "audit_log": str(tmp_path / "audit.jsonl"),
    }


async def test_a_new_key_of_the_issuer_is_fetched_when_the_first_token_of_it_comes(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "AGAIN_S", 0.0)
    async with providing() as provider, serving(store, access=access_of(provider, tmp_path)) as server:
        old = provider.issuer.token()
        assert await called(server, bearer(old)) == ["ada", "bo"]
        asked = provider.asked
        provider.issuer.new_key()
        assert await called(server, bearer(provider.issuer.token())) == ["ada", "bo"]
        assert await called(server, bearer(old)) == ["ada", "bo"]
        assert provider.asked == asked + 1


async def test_a_flood_of_unknown_keys_does_not_reach_the_issuer(store: Path, tmp_path: Path) -> None:
    async with providing() as provider, serving(store, access=access_of(provider, tmp_path)) as server:
        assert await called(server, bearer(provider.issuer.token())) == ["ada", "bo"]
        for number in range(3):
            token = provider.issuer.token(headers={"kid": f"nobody-{number}"})
            refusing = await refusal(server, bearer(token), tmp_path / "audit.jsonl", token)
            assert (refusing.reason, refusing.why) == ("CREDENTIAL_INVALID", "unknown_key")
        assert provider.asked == 1


async def test_the_last_keys_go_on_while_the_issuer_is_down(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "AGAIN_S", 0.0)
    async with providing() as provider, serving(store, access=access_of(provider, tmp_path)) as server:
        good = provider.issuer.token()
        assert await called(server, bearer(good)) == ["ada", "bo"]
        provider.answers = 503
        unknown = provider.issuer.token(headers={"kid": "nobody"})
        refusing = await refusal(server, bearer(unknown), tmp_path / "audit.jsonl", unknown)
        assert (refusing.code, refusing.why) == (grpc.StatusCode.UNAUTHENTICATED, "unknown_key")
        assert provider.asked > 1
        assert await called(server, bearer(good)) == ["ada", "bo"]


async def test_an_issuer_that_never_answered_makes_nobody_wrong(store: Path, tmp_path: Path) -> None:
    async with providing() as provider:
        provider.answers = 500
        async with serving(store, access=access_of(provider, tmp_path)) as server:
            code, status = await refused(called(server, bearer(provider.issuer.token())))
            assert (code, status.error_info.reason) == (grpc.StatusCode.UNAVAILABLE, "CREDENTIAL_UNCHECKED")
            assert (await refused(called(server)))[0] is grpc.StatusCode.UNAUTHENTICATED
