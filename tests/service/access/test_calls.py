"""Methods of every kind behind the credential: served and counted as what they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import Status
from avatar_service import metrics
from avatar_service.access.keys import line_of, new_key
from tests.service.access.calling import UNARY, api_key, called, raw
from tests.service.calls import serving
from tests.service.responses import DETAILS

KEY = new_key()


def access_of(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "keys.jsonl").write_text(line_of("shop-1", "shop", KEY))
    return {"api_keys": str(tmp_path / "keys.jsonl"), "audit_log": str(tmp_path / "audit.jsonl")}


def counted() -> Mapping[str, float]:
    """Calls that have ended, as the metrics tell them."""
    return {
        f"{kind} {sample.labels['method']} {sample.labels['code']}": sample.value
        for kind, counter in (("stream", metrics.SESSIONS), ("single", metrics.UNARY_CALLS))
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def test_refused_calls_are_counted_as_what_they_are(store: Path, tmp_path: Path) -> None:
    before = counted()
    async with serving(store, access=access_of(tmp_path)) as server:
        assert await called(server, api_key(KEY)) == ["ada", "bo"]
        with pytest.raises(grpc.aio.AioRpcError):
            await called(server)
        assert await raw(server.channel, "Converse", ()).code() is grpc.StatusCode.UNAUTHENTICATED
    more = {name: count - before.get(name, 0) for name, count in counted().items()}
    assert {name for name, count in more.items() if count} == {
        "single ListAvatars OK",
        "single ListAvatars UNAUTHENTICATED",
        "stream Converse UNAUTHENTICATED",
    }


@pytest.mark.parametrize("method", UNARY)
async def test_a_method_of_one_request_that_gets_none_says_so(store: Path, tmp_path: Path, method: str) -> None:
    async with serving(store, access=access_of(tmp_path)) as server:
        call = raw(server.channel, method, api_key(KEY))
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        details: Any = dict(await call.trailing_metadata())
    assert Status.FromString(details[DETAILS]).error_info.reason == "MESSAGE_EMPTY"


async def test_a_method_that_does_not_exist_is_unimplemented(store: Path, tmp_path: Path) -> None:
    async with serving(store, access=access_of(tmp_path)) as server:
        assert await raw(server.channel, "Sing", ()).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("metadata_bytes", [8_000, 100_000])
async def test_metadata_have_a_limit_before_anything_is_looked_at(
    store: Path, tmp_path: Path, metadata_bytes: int
) -> None:
    async with serving(store, access=access_of(tmp_path)) as server:
        call = raw(server.channel, "Converse", (("x-filler", "x" * metadata_bytes),))
        code = await call.code()
    taken = metadata_bytes < 32_768
    assert code is (grpc.StatusCode.UNAUTHENTICATED if taken else grpc.StatusCode.RESOURCE_EXHAUSTED)
