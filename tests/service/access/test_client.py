"""The Python client and its commands show who calls."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatar_client import (
    AsyncAvatarClient,
    AvatarClient,
    FileError,
    GoAway,
    NotAuthenticated,
    Resumed,
    TurnCompleted,
    tls_credentials,
)
from avatar_service.access.keys import line_of, new_key
from tests.issuer import AUDIENCE, ISSUER, Issuer
from tests.service.access.calling import lines
from tests.service.calls import serving
from tests.tls_files import write_tls_files
from tests.unit.client.command import start

KEY = new_key()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    write_tls_files(folder)
    return folder


def access_of(files: Path, tmp_path: Path) -> dict[str, Any]:
    """A server with TLS that takes certificates, and keys beside them."""
    (tmp_path / "keys.jsonl").write_text(line_of("bank-1", "bank", KEY))
    return {
        "tls_certificate": str(files / "tls.crt"),
        "tls_key": str(files / "tls.key"),
        "client_ca": str(files / "ca.crt"),
        "api_keys": str(tmp_path / "keys.jsonl"),
        "audit_log": str(tmp_path / "audit.jsonl"),
    }


async def test_a_client_shows_its_certificate_and_its_key(store: Path, tmp_path: Path, files: Path) -> None:
    credentials = tls_credentials(files / "ca.crt", files / "good.crt", files / "good.key")
    async with serving(store, access=access_of(files, tmp_path), credentials=credentials) as server:
        async with AsyncAvatarClient(server.address, credentials=credentials) as client:
            assert [avatar.name async for avatar in client.list_avatars()] == ["avatars/ada", "avatars/bo"]
        async with AsyncAvatarClient(server.address, credentials=credentials, api_key="avk_wrong") as client:
            with pytest.raises(NotAuthenticated) as refused:
                await client.get_avatar("ada")
            assert refused.value.reason == "CREDENTIAL_INVALID"
        ask = AvatarClient(server.address, credentials=credentials, api_key=KEY)
        assert await asyncio.to_thread(_in_a_thread, ask) == "avatars/ada"


def _in_a_thread(client: AvatarClient) -> str:
    with client:
        return client.get_avatar("ada").name


async def test_a_conversation_goes_on_with_another_token_before_the_first_one_ends(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar_service.access.tokens.LEEWAY_S", 0.0)
    issuer = Issuer()
    (tmp_path / "jwks.json").write_text(issuer.jwks())
    access = {"jwks": str(tmp_path / "jwks.json"), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    tokens = tokens_of(issuer)
    async with (
        serving(store, access=access, sessions={"go_away_s": 1.5}) as server,
        AsyncAvatarClient(server.address, token=lambda: next(tokens)) as client,
        client.converse() as conversation,
    ):
        session_id = conversation.started.session_id
        told = []
        async with asyncio.timeout(10.0):
            async for event in conversation:
                told.append(event)
                if isinstance(event, Resumed):
                    await conversation.send_text("Are you still there?")
                if isinstance(event, TurnCompleted):
                    break
        assert any(isinstance(event, GoAway) and event.reason == "CREDENTIAL_EXPIRING" for event in told)
        assert conversation.started.session_id == session_id


def tokens_of(issuer: Issuer) -> Iterator[str]:
    """The first ends in three seconds, the others do not."""
    yield issuer.token(exp=int(time.time()) + 3)
    while True:
        yield issuer.token()


async def test_every_command_takes_a_certificate_and_a_key(store: Path, tmp_path: Path, files: Path) -> None:
    shown = [f"--{name}={files / file}" for name, file in (("ca", "ca.crt"), ("cert", "good.crt"), ("key", "good.key"))]
    credentials = tls_credentials(files / "ca.crt", files / "good.crt", files / "good.key")
    async with serving(store, access=access_of(files, tmp_path), credentials=credentials) as server:
        listed, wrong = await asyncio.gather(
            start(("avatars", "--server", server.address, "--json", *shown)),
            start(("info", "--server", server.address, *shown), environment={"AVATAR_API_KEY": "avk_wrong"}),
        )
    assert listed.status == 0, listed.err
    assert [json.loads(line)["name"] for line in listed.out.splitlines()] == ["avatars/ada", "avatars/bo"]
    assert wrong.status == 1
    assert "the credential is not valid for this server" in wrong.words
    assert "avk_wrong" not in wrong.err
    assert [line["why"] for line in lines(tmp_path / "audit.jsonl")] == ["unknown"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("ca.crt", "good.crt", None), "give both, or neither"),
        (("ca.crt", "good.crt", "foreign.key"), "no certificates and key that belong together"),
        (("good.key", None, None), "no certificates and key that belong together"),
        (("absent.pem", None, None), "cannot be read"),
    ],
)
def test_files_that_do_not_fit_are_told_before_a_connection(
    files: Path, given: tuple[str | None, ...], told: str
) -> None:
    with pytest.raises(FileError, match=told):
        tls_credentials(*(files / name if name else None for name in given))


@pytest.mark.parametrize("shown", [{"api_key": "avk\n"}, {"token": "a\nb"}, {"token": "tokén"}])
def test_what_no_header_can_carry_is_refused_and_not_shown(shown: dict[str, str]) -> None:
    (value,) = shown.values()
    with pytest.raises(ValueError, match="no header can carry") as refused:
        AsyncAvatarClient(**shown)  # type: ignore[arg-type]  # a dict has one type of values
    assert value not in str(refused.value)
