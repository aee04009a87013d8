"""The keys that tokens are signed with: fetched beside the calls, again and again, and not too often."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from avatar_service import metrics
from avatar_service.access import signing_keys, watched_file
from avatar_service.access.signing_keys import AGAIN_S, FETCH_S, REFRESH_S, SigningKeys, open_keys, parse_set
from avatar_service.errors import IdentityUnknown, StartupError
from tests.issuer import Issuer

URL = "https://issuer.example/jwks"


class Fetches:
    """Stands in the place of HTTP."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
        self.issuer = issuer
        self.count = 0
        self.fails = False
        self.takes_s = 0.0
        monkeypatch.setattr(signing_keys, "_fetched", self.fetch)

    async def fetch(self, url: str) -> bytes:
        self.count += 1
        await asyncio.sleep(self.takes_s)
        if self.fails:
            raise StartupError(f"AVATAR_JWKS: {url} answers 503")
        return self.issuer.jwks().encode()


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> Fetches:
    return Fetches(monkeypatch, Issuer())


@asynccontextmanager
async def opened(fetches: Fetches) -> AsyncIterator[SigningKeys]:
    """Keys whose first fetch is over."""
    async with open_keys(URL) as keys:
        await asyncio.sleep(fetches.takes_s + 0.1)
        yield keys


async def test_the_set_is_fetched_again_and_again_and_no_call_waits_for_it(fetches: Fetches) -> None:
    async with opened(fetches) as keys:
        assert fetches.count == 1
        fetches.takes_s = 4.0
        await asyncio.sleep(REFRESH_S)
        before_s = asyncio.get_running_loop().time()
        assert await keys.find("key-1")
        assert asyncio.get_running_loop().time() == before_s
        assert fetches.count == 2


async def test_a_key_that_its_issuer_withdraws_is_gone_after_the_next_fetch(fetches: Fetches) -> None:
    async with opened(fetches) as keys:
        fetches.issuer.new_key()
        del fetches.issuer.keys["key-1"]
        assert await keys.find("key-1")
        await asyncio.sleep(REFRESH_S + 1)
        assert await keys.find("key-1") is None
        assert await keys.find("key-2")


async def test_a_key_that_is_not_known_makes_the_set_be_fetched_at_most_every_ten_seconds(fetches: Fetches) -> None:
    async with opened(fetches) as keys:
        for _ in range(50):
            assert await keys.find("nobody") is None
        assert fetches.count == 1
        await asyncio.sleep(AGAIN_S)
        for _ in range(50):
            assert await keys.find("nobody") is None
        assert fetches.count == 2
        fetches.issuer.new_key()
        await asyncio.sleep(AGAIN_S)
        assert await keys.find("key-2")
        assert fetches.count == 3


async def test_callers_that_miss_a_key_together_wait_for_one_fetch(fetches: Fetches) -> None:
    async with opened(fetches) as keys:
        await asyncio.sleep(AGAIN_S)
        fetches.takes_s = 1.0
        fetches.issuer.new_key()
        found = await asyncio.gather(*(keys.find("key-2") for _ in range(20)))
        assert all(found)
        assert fetches.count == 2


async def test_while_the_issuer_is_down_the_last_set_goes_on_and_it_is_asked_more_often(fetches: Fetches) -> None:
    async with opened(fetches) as keys:
        fetches.fails = True
        await asyncio.sleep(REFRESH_S + 1)
        assert await keys.find("key-1")
        assert metrics.CREDENTIAL_SOURCES_OK.labels("jwks")._value.get() == 0
        count = fetches.count
        await asyncio.sleep(3 * AGAIN_S)
        assert fetches.count == count + 3
        fetches.fails = False
        await asyncio.sleep(AGAIN_S)
        assert metrics.CREDENTIAL_SOURCES_OK.labels("jwks")._value.get() == 1


async def test_without_any_set_nobody_can_be_judged_until_one_comes(fetches: Fetches) -> None:
    fetches.fails = True
    async with opened(fetches) as keys:
        with pytest.raises(IdentityUnknown):
            await keys.find("key-1")
        fetches.fails = False
        await asyncio.sleep(AGAIN_S)
        assert await keys.find("key-1")


async def test_a_token_without_the_name_of_a_key_fits_the_only_one_that_there_is(fetches: Fetches) -> None:
    async with opened(fetches) as keys:
        assert await keys.find(None) == await keys.find("key-1")
        fetches.issuer.new_key()
        await asyncio.sleep(REFRESH_S)
        assert await keys.find(None) is None


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "LOOK_S", 0.0)
    issuer, path = Issuer(), tmp_path / "jwks.json"
    path.write_text(issuer.jwks())
    async with open_keys(str(path)) as keys:
        issuer.new_key()
        assert await keys.find("key-2") is None
        (tmp_path / "next").write_text(issuer.jwks())
        os.replace(tmp_path / "next", path)
        assert await keys.find("key-2")
        (tmp_path / "next").write_text("{}")
        os.replace(tmp_path / "next", path)
        assert await keys.find("key-2")


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"keys": []}', '{"keys": [1]}', "\xff"])
async def test_a_file_without_keys_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StartupError, match="AVATAR_JWKS"):
        async with open_keys(str(path)):
            pass


def test_keys_for_anything_but_public_signatures_are_left_out() -> None:
    (good,) = json.loads(Issuer().jwks())["keys"]
    others = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "posing", "alg": "ES256"},
        good | {"kid": "encryption", "use": "enc"},
        good | {"kid": "unknown", "alg": "ES999"},
        good | {"kid": "curve", "crv": "P-1"},
        good | {"kid": "private", "alg": "none"},
        {"kid": "empty"},
    ]
    assert list(parse_set(json.dumps({"keys": [*others, good]}).encode())) == ["key-1"]
    with pytest.raises(ValueError, match="no public key"):
        parse_set(json.dumps({"keys": others}).encode())


def test_a_fetch_has_a_deadline_shorter_than_the_wait_for_the_next() -> None:
    assert FETCH_S < AGAIN_S < REFRESH_S
