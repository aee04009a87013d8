"""What belongs to one tenant is not there for another, and nobody can tell whether it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    AnimateConfig,
    AnimateRequest,
    Avatar,
    AvatarState,
    ConverseConfig,
    ConverseRequest,
    CreateAvatarResponse,
    DeleteAvatarRequest,
    GetAvatarRequest,
    GetServerInfoRequest,
    PacingConfig,
    Resume,
    SpeakRequest,
    Status,
)
from avatar_service.access.keys import line_of, new_key
from tests.fakes.faces import FakeFaces
from tests.service.access.calling import api_key, called, lines
from tests.service.calls import Call, Fakes, Server, serving
from tests.service.test_lists import refused
from tests.service.uploads import PNG, ended, parts

WITHIN_S = 10.0
KEYS = {tenant: new_key() for tenant in ("shop", "bank")}


@dataclass
class Tenant:
    """One tenant's calls."""

    name: str
    server: Server

    @property
    def shown(self) -> Any:
        """Its credential."""
        return api_key(KEYS[self.name])

    async def create(self, avatar_id: str, content: bytes = PNG, **config: Any) -> Avatar:
        """Upload an avatar and wait until it is ready."""
        upload: Any = self.server.stub.CreateAvatar
        sent: CreateAvatarResponse = await upload(
            iter(parts(content, avatar_id=avatar_id, **config)), metadata=self.shown
        )
        async with asyncio.timeout(WITHIN_S):
            while (avatar := await self.get(sent.avatar.name)).state == AvatarState.AVATAR_STATE_PREPARING:
                await asyncio.sleep(0.01)
        return avatar

    async def get(self, name: str) -> Avatar:
        return (await self.server.stub.GetAvatar(GetAvatarRequest(name=name), metadata=self.shown)).avatar

    async def delete(self, name: str, *, allow_missing: bool = False) -> None:
        request = DeleteAvatarRequest(name=name, allow_missing=allow_missing)
        await self.server.stub.DeleteAvatar(request, metadata=self.shown)

    async def avatars(self) -> list[str]:
        return await called(self.server, self.shown)

    def converse(self) -> Call:
        """Open a stream."""
        open_call: Any = self.server.stub.Converse
        return Call(open_call(metadata=self.shown))


@asynccontextmanager
async def tenants(store: Path, fakes: Fakes | None = None, **making: Any) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """Two of them at one server."""
    keys = store.parent / "keys.jsonl"
    keys.write_text("\n".join(line_of(f"{tenant}-1", tenant, key) for tenant, key in KEYS.items()))
    access = {"api_keys": str(keys), "audit_log": str(store.parent / "audit.jsonl")}
    async with serving(store, fakes, access=access, making=making) as server:
        yield Tenant("shop", server), Tenant("bank", server)


def audited(store: Path) -> list[dict[str, Any]]:
    return lines(store.parent / "audit.jsonl")


async def test_an_avatar_is_its_tenants_and_the_operators_are_everybodys(store: Path) -> None:
    async with tenants(store) as (shop, bank):
        made = await shop.create("me")
        assert (made.public, made.state) == (False, AvatarState.AVATAR_STATE_READY)
        assert await shop.avatars() == ["ada", "bo", "me"]
        assert await bank.avatars() == ["ada", "bo"]
        await shop.delete("avatars/me")
        assert await shop.avatars() == ["ada", "bo"]
    events = [(line["event"], line["tenant"], line["subject"], line["avatar"]) for line in audited(store)]
    assert events == [
        ("avatar_created", "shop", "shop-1", "avatars/me"),
        ("avatar_deleted", "shop", "shop-1", "avatars/me"),
    ]


async def _first_refusal(server: Server, method: str, request: Any, shown: Any) -> tuple[grpc.StatusCode, Status]:
    """How a stream ends that begins with this request."""
    call = getattr(server.stub, method)(iter([request]), metadata=shown)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in call:
            pass
    details: Any = dict(failed.value.trailing_metadata() or ())
    return failed.value.code(), Status.FromString(details["grpc-status-details-bin"])


async def _every_way(tenant: Tenant, avatar_id: str) -> list[tuple[grpc.StatusCode, Status]]:
    """How each call that names an avatar is refused."""
    stub, shown = tenant.server.stub, tenant.shown
    speak: Any = stub.Speak(SpeakRequest(text="Hello.", avatar=avatar_id), metadata=shown)
    conversation = ConverseRequest(config=ConverseConfig(avatar=avatar_id))
    animation = AnimateRequest(config=AnimateConfig(avatar=avatar_id))
    return [
        await refused(tenant.get(f"avatars/{avatar_id}")),
        await refused(tenant.delete(f"avatars/{avatar_id}")),
        await refused(speak.read()),
        await _first_refusal(tenant.server, "Converse", conversation, shown),
        await _first_refusal(tenant.server, "Animate", animation, shown),
    ]


async def test_another_tenants_avatar_is_not_found_in_the_words_for_what_never_was(store: Path) -> None:
    async with tenants(store) as (shop, bank):
        await shop.create("secret")
        foreign, nobodys = await _every_way(bank, "secret"), await _every_way(bank, "absent")
        assert {code for code, _ in foreign} == {grpc.StatusCode.NOT_FOUND}
        assert [status.error_info.reason for _, status in foreign] == ["AVATAR_NOT_FOUND"] * 5
        told = [status.SerializeToString().replace(b"secret", b"absent") for _, status in foreign]
        assert told == [status.SerializeToString() for _, status in nobodys]
        await bank.delete("avatars/secret", allow_missing=True)
        assert await shop.avatars() == ["ada", "bo", "secret"]
    refusals = [line for line in audited(store) if line["event"] == "call_refused"]
    assert {line["method"] for line in refusals} == {"GetAvatar", "DeleteAvatar", "Speak", "Converse", "Animate"}
    assert {(line["tenant"], line["why"], line["reason"]) for line in refusals} == {
        ("bank", "foreign", "AVATAR_NOT_FOUND")
    }


async def test_two_tenants_may_have_avatars_of_one_id_and_each_gets_its_own(store: Path) -> None:
    async with tenants(store) as (shop, bank):
        request_id = "6f1f9b0e-6a0b-4c39-9a4e-0b9f3f1f2a11"
        first = await shop.create("me", display_name="Shop", request_id=request_id)
        second = await bank.create("me", display_name="Bank", request_id=request_id)
        assert (first.display_name, second.display_name) == ("Shop", "Bank")
        for tenant, avatar in ((shop, first), (bank, second)):
            request = SpeakRequest(text="Hello.", avatar="me", pacing=PacingConfig(unpaced=True))
            speech: Any = tenant.server.stub.Speak(request, metadata=tenant.shown)
            async for _ in speech:
                pass
            rendered = tenant.server.fakes.lip_sync.requests[-1].avatar
            assert rendered == f"me@{avatar.content_sha256}"
        assert first.content_sha256 != second.content_sha256
        await bank.delete("avatars/me")
        assert (await shop.get("avatars/me")).display_name == "Shop"


async def test_the_same_file_of_two_tenants_survives_the_deletion_of_one(store: Path) -> None:
    async with tenants(store, delete_grace_s=0.0) as (shop, bank):
        first, second = await shop.create("me"), await bank.create("me")
        assert first.content_sha256 == second.content_sha256
        await bank.delete("avatars/me")
        await shop.create("another")
        request = SpeakRequest(text="Hello.", avatar="me", pacing=PacingConfig(unpaced=True))
        speech: Any = shop.server.stub.Speak(request, metadata=shop.shown)
        async for _ in speech:
            pass
        assert (store.parent / "made" / first.content_sha256).is_dir()


async def test_the_operators_avatars_can_neither_be_deleted_nor_hidden(store: Path) -> None:
    async with tenants(store) as (shop, _):
        assert (await refused(shop.delete("avatars/ada")))[0] is grpc.StatusCode.PERMISSION_DENIED
        assert (await refused(shop.create("ada")))[0] is grpc.StatusCode.ALREADY_EXISTS


async def test_what_was_made_without_a_tenant_is_everybodys_and_stays(store: Path) -> None:
    async with serving(store) as server:
        upload: Any = server.stub.CreateAvatar
        await upload(iter(parts(PNG, avatar_id="old")))
        await ended(server, "old")
    async with tenants(store) as (shop, _):
        assert await shop.avatars() == ["ada", "bo", "old"]
        assert (await shop.get("avatars/old")).public
        assert (await refused(shop.delete("avatars/old")))[0] is grpc.StatusCode.PERMISSION_DENIED
        assert (await refused(shop.create("old")))[0] is grpc.StatusCode.ALREADY_EXISTS


async def test_a_tenant_does_not_fill_the_store_for_the_others(store: Path) -> None:
    async with tenants(store, stored_per_tenant=1) as (shop, bank):
        await shop.create("one")
        code, status = await refused(shop.create("two"))
        assert (code, status.error_info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED")
        assert "1 avatars, the limit of a tenant" in status.message
        await bank.create("one")
    (quota,) = [line for line in audited(store) if line["event"] == "quota_refused"]
    assert (quota["tenant"], quota["method"], quota["reason"]) == ("shop", "CreateAvatar", "QUOTA_EXHAUSTED")


async def test_a_tenant_takes_half_of_the_places_for_preparations(store: Path) -> None:
    async with tenants(store, Fakes(faces=FakeFaces(call_s=0.3)), at_once=1, queued=3) as (shop, bank):
        upload: Any = shop.server.stub.CreateAvatar
        for number in range(2):
            await upload(iter(parts(PNG, avatar_id=f"a{number}")), metadata=shop.shown)
        code, status = await refused(upload(iter(parts(PNG)), metadata=shop.shown))
        assert (code, status.error_info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PREPARATIONS_EXHAUSTED")
        assert "2 avatars of yours" in status.message
        await bank.create("me")
        await shop.create("a2")


async def test_the_server_tells_each_tenant_of_what_it_can_use(store: Path) -> None:
    async with tenants(store) as (shop, bank):
        await shop.create("me")
        for tenant, tiers in ((shop, {"nano", "musetalk-v15"}), (bank, {"nano"})):
            told = await tenant.server.stub.GetServerInfo(GetServerInfoRequest(), metadata=tenant.shown)
            assert {model.name for model in told.models if model.vendor == "triton"} == tiers
            assert told.default_avatar == "avatars/ada"


async def test_a_resume_token_is_its_tenants_and_is_not_spent_by_another(store: Path) -> None:
    async with tenants(store) as (shop, bank):
        call = shop.converse()
        await call.send(config=ConverseConfig())
        started = await call.until("session_started")
        call.call.cancel()
        asked = ConverseRequest(config=ConverseConfig(resume=Resume(resume_token=started.resume_token)))
        unknown = ConverseRequest(config=ConverseConfig(resume=Resume(resume_token="s-1.unknown")))
        code, status = await _first_refusal(bank.server, "Converse", asked, bank.shown)
        _, absent = await _first_refusal(bank.server, "Converse", unknown, bank.shown)
        assert (code, status) == (grpc.StatusCode.NOT_FOUND, absent)
        again = shop.converse()
        await again.send(config=asked.config)
        assert (await again.until("session_started")).resumed
        again.call.cancel()
    foreign = [line for line in audited(store) if line["event"] == "call_refused"]
    assert [(line["tenant"], line["method"]) for line in foreign][:1] == [("bank", "Converse")]
    assert foreign[0]["why"].startswith("foreign")
    assert started.resume_token not in str(foreign)
