"""Who gets a fault, and how long it lasts: headers, keys, limits, the end of the sandbox, what is left behind."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from avatar_service.sandbox import fault_answers
from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.fault_kinds import FAULT_NAMES, FaultName, targets_of
from avatar_service.sandbox.faults import FAULT_HEADER
from tests.service.sandbox.faulty import CALLS, PATIENCE_S, QUIET_S, REPLAY, Call, ask, faulty_sandbox, recorded

STREAMED = [call for call in CALLS if call.kind != "whole"]
STOP_S = 5.0
"""A stop that waited for what is silent would take minutes; on a quiet machine it is over within a second."""


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_a_request_can_ask_for_a_fault_by_header(call: Call) -> None:
    async with faulty_sandbox() as (sandbox, url):
        asked = await ask(url, call, headers={FAULT_HEADER: '{"fault": "status", "status": 503}'})
        refused = await ask(url, call, headers={FAULT_HEADER: '{"fault": "close"}'})
        records = await recorded(sandbox)

    assert (asked.status, refused.status) == (503, 400)
    assert "makes no sense on" in refused.body.decode()
    assert [record["fault"] for record in records] == ["status", None]


async def test_a_wrong_key_is_told_before_any_fault_and_counted_by_no_rule() -> None:
    async with faulty_sandbox({"on": "chat", "fault": "hang"}) as (sandbox, url):
        answer = await ask(url, CALLS[3], headers={"Authorization": "Bearer wrong"})

        assert answer.status == 401
        assert sandbox.faults.to_json()[0]["matched"] == 0


async def test_a_refused_request_keeps_its_own_error() -> None:
    async with faulty_sandbox({"on": "speech", "fault": "garbage"}) as (_, url):
        answer = await ask(url, Call("speak", "speech", CALLS[6].path, "sound", b"{}"))

    assert answer.status == 422
    assert json.loads(answer.body)["detail"][0]["loc"] == ["body", "text"]


@pytest.mark.parametrize(("name", "status"), [("hang", 0), ("stall", 200)])
async def test_silence_has_a_limit(name: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_answers, "SILENCE_S", 0.02)

    async with faulty_sandbox({"on": "chat", "fault": name}) as (sandbox, url):
        answer = await ask(url, CALLS[3])
        (record,) = await recorded(sandbox)

    assert (answer.status, answer.end) == (status, "reset")
    assert record["outcome"] == "failed"


async def test_no_fault_leaves_a_connection_behind() -> None:
    faults: dict[FaultName, dict[str, Any]] = {name: {} for name in FAULT_NAMES}
    faults |= {"status": {"status": 500}, "drip": {"rate": 1}, "cut": {"after": 1}}
    async with faulty_sandbox() as (sandbox, url):
        before = open_files()
        for call in [*STREAMED, CALLS[0], CALLS[8]]:
            for name, fields in faults.items():
                if call.target in targets_of(name):
                    sandbox.faults.replace([{"on": call.target, "fault": name, **fields}])
                    await glance(url, call)
        await recorded(sandbox)
        async with asyncio.timeout(PATIENCE_S):
            while open_files() > before:
                await asyncio.sleep(0.001)


async def glance(url: str, call: Call) -> None:
    """Ask and hang up as soon as something or nothing has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(call.request("sandbox", {}))
    with suppress(TimeoutError, ConnectionResetError):
        async with asyncio.timeout(QUIET_S):
            await reader.read(100)
    writer.transport.abort()


def open_files() -> int:
    """How many files and sockets this process has open; the sandbox's are among them."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("fault", [{"fault": "cut"}, {"fault": "status", "status": 500}, {"fault": "content_type"}])
async def test_a_large_request_is_read_before_its_fault(fault: dict[str, Any]) -> None:
    """Else a caller would find the fault while it writes, by chance."""
    upload = Call("upload", "transcription", CALLS[0].path, "whole", bytes(4 * 1024 * 1024))
    async with faulty_sandbox({"on": "transcription", **fault}) as (sandbox, url):
        await ask(url, upload)
        (record,) = await recorded(sandbox)

    assert record["request_bytes"] == len(upload.body)


async def test_the_sandbox_stops_in_time_though_requests_hang() -> None:
    rules: list[dict[str, Any]] = [
        {"on": "transcription", "fault": "hang"},
        {"on": "chat", "fault": "stall", "after": 1},
        {"on": "speech", "fault": "endless"},
    ]
    sandbox = Sandbox(replay=REPLAY, faults=rules)
    url = await sandbox.start("127.0.0.1", 0)
    calls = [call for call in CALLS if call.target in ("transcription", "chat", "speech")]
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(url, call)) for call in calls]
        async with asyncio.timeout(PATIENCE_S):
            while len(sandbox.requests()) < len(calls):
                await asyncio.sleep(0.001)
        stopped_s = time.monotonic()
        assert await sandbox.aclose() == []
        assert time.monotonic() - stopped_s < STOP_S
    assert all(task.result().end in ("closed", "reset") for task in asked)
