"""Every fault on every route over HTTP, as a caller without an SDK sees it."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from avatar_service.sandbox.fault_kinds import FaultName, targets_of
from tests.service.sandbox.faulty import CALLS, PATIENCE_S, Call, Seen, ask, faulty_sandbox, recorded

STREAMED = [call for call in CALLS if call.kind != "whole"]
STATUSES = (400, 401, 403, 404, 429, 500, 503, 529)


def taking(name: FaultName, calls: Sequence[Call] = CALLS) -> pytest.MarkDecorator:
    """All calls at whose route a fault makes sense."""
    return pytest.mark.parametrize(
        "call", [call for call in calls if call.target in targets_of(name)], ids=lambda call: call.name
    )


async def seen(call: Call, *, outputs: int | None = None, **fault: Any) -> Seen:
    """What a call with a fault brings; the sandbox must have recorded it, and be healthy for the next call."""
    async with faulty_sandbox({"on": call.target, "nth": [1], **fault}) as (sandbox, url):
        answer = await ask(url, call, outputs=outputs)
        healthy = await ask(url, call)
        first, second = await recorded(sandbox)
    assert (healthy.status, healthy.is_whole) == (200, True)
    assert (first["fault"], second["fault"]) == (fault["fault"], None)
    assert first["outcome"] == expected_outcome(answer)
    return answer


def expected_outcome(answer: Seen) -> str:
    if answer.end == "silent":
        return "cancelled"
    return "completed" if answer.status == 200 and answer.end == "closed" else "failed"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_without_a_fault_an_answer_is_whole(call: Call) -> None:
    async with faulty_sandbox() as (_, url):
        answer = await ask(url, call)

    assert (answer.status, answer.is_whole) == (200, True)
    assert call.outputs(answer.body) >= (1 if call.kind == "whole" else 4)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_a_status_is_answered_in_the_vendors_shape(call: Call) -> None:
    rules = [
        {"on": call.target, "fault": "status", "status": status, "nth": [n]} for n, status in enumerate(STATUSES, 1)
    ]
    async with faulty_sandbox(*rules) as (_, url):
        answers = [await ask(url, call) for _ in STATUSES]

    assert tuple(answer.status for answer in answers) == STATUSES
    for answer in answers:
        body = json.loads(answer.body)
        assert body["error"]["code"] if "openai" in call.path else body["detail"]["status"]
        assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("call", "fault", "code", "kind"),
    [
        (CALLS[2], {"status": 401}, "invalid_api_key", "invalid_request_error"),
        (CALLS[2], {"status": 429}, "rate_limit_exceeded", "requests"),
        (CALLS[2], {"status": 429, "code": "insufficient_quota"}, "insufficient_quota", "insufficient_quota"),
        (CALLS[2], {"status": 503}, "service_unavailable", "server_error"),
        (CALLS[4], {"status": 401}, "invalid_api_key", "authentication_error"),
        (CALLS[4], {"status": 401, "code": "quota_exceeded"}, "quota_exceeded", "authentication_error"),
        (CALLS[4], {"status": 429}, "too_many_concurrent_requests", "rate_limit_error"),
        (CALLS[4], {"status": 429, "code": "system_busy"}, "system_busy", "rate_limit_error"),
    ],
)
async def test_a_status_has_the_vendors_usual_code_or_the_one_asked_for(
    call: Call, fault: dict[str, Any], code: str, kind: str
) -> None:
    answer = await seen(call, fault="status", **fault)

    body = json.loads(answer.body)
    error = body["error"] if "error" in body else body["detail"]
    assert (error["code"], error["type"]) == (code, kind)


async def test_elevenlabs_lists_what_does_not_validate() -> None:
    answer = await seen(CALLS[6], fault="status", status=422)

    assert json.loads(answer.body)["detail"][0]["loc"] == ["body", "text"]


@pytest.mark.parametrize(("seconds", "header"), [(0, "0"), (0.25, "0.25"), (3600, "3600")])
async def test_retry_after_is_sent_as_asked_for(seconds: float, header: str) -> None:
    answer = await seen(CALLS[3], fault="status", status=429, retry_after_s=seconds)

    assert answer.headers["retry-after"] == header


@taking("hang")
async def test_a_hang_brings_no_byte(call: Call) -> None:
    answer = await seen(call, fault="hang", outputs=-1)

    assert (answer.status, answer.end) == (0, "silent")


@taking("cut")
async def test_a_cut_before_the_first_byte_resets_the_connection(call: Call) -> None:
    answer = await seen(call, fault="cut")

    assert (answer.status, answer.end) == (0, "reset")


@taking("cut", STREAMED)
async def test_a_cut_after_some_outputs_comes_behind_them(call: Call) -> None:
    answer = await seen(call, fault="cut", after=2)

    assert (answer.status, answer.end, call.outputs(answer.body)) == (200, "reset", 2)


@taking("cut", STREAMED)
async def test_a_cut_after_more_outputs_than_there_are_takes_the_place_of_the_end(call: Call) -> None:
    async with faulty_sandbox() as (_, url):
        whole = await ask(url, call)

    answer = await seen(call, fault="cut", after=1000)

    assert (answer.end, call.outputs(answer.body)) == ("reset", call.outputs(whole.body))


@taking("cut", [call for call in CALLS if call.kind == "whole"])
async def test_a_whole_answer_is_cut_in_its_middle(call: Call) -> None:
    answer = await seen(call, fault="cut", after=1)

    assert (answer.status, answer.end) == (200, "reset")
    assert len(answer.body) == int(answer.headers["content-length"]) // 2


@taking("stall", STREAMED)
@pytest.mark.parametrize("after", [0, 2])
async def test_a_stall_sends_headers_and_outputs_and_then_nothing(call: Call, after: int) -> None:
    answer = await seen(call, fault="stall", after=after, outputs=after)

    assert (answer.status, answer.end, call.outputs(answer.body)) == (200, "silent", after)


@taking("stall", [call for call in CALLS if call.kind == "whole"])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_whole_answer_stalls_before_its_body_or_in_its_middle(call: Call, after: int) -> None:
    answer = await seen(call, fault="stall", after=after, outputs=after)

    assert (answer.status, answer.end) == (200, "silent")
    assert len(answer.body) == after * (int(answer.headers["content-length"]) // 2)


@taking("error_frame")
async def test_an_error_comes_inside_the_200(call: Call) -> None:
    answer = await seen(call, fault="error_frame", after=1)

    assert (answer.status, answer.is_whole) == (200, True)
    is_openai = "openai" in call.path
    begins = 0 if call.kind == "whole" else answer.body.rindex(b'{"error"' if is_openai else b'{"detail"')
    body = json.loads(answer.body[begins:])
    code = body["error"]["code"] if is_openai else body["detail"]["status"]
    assert code == ("server_error" if is_openai else "internal_server_error")
    assert call.kind in ("whole", "sound") or call.outputs(answer.body) == 2


@taking("garbage", [call for call in CALLS if call.kind != "sound"])
async def test_garbage_takes_the_place_of_all_outputs_from_one_on(call: Call) -> None:
    async with faulty_sandbox() as (_, url):
        whole = await ask(url, call)

    answer = await seen(call, fault="garbage", after=0 if call.kind == "whole" else 1)

    assert answer.is_whole
    assert call.outputs(answer.body) == call.outputs(whole.body)
    outputs = [answer.body] if call.kind == "whole" else answer.body.removeprefix(b"data: ").split(b"\n")
    garbage = [output.removeprefix(b"data: ") for output in outputs if output][0 if call.kind == "whole" else 1 :]
    for output in garbage:
        with pytest.raises(json.JSONDecodeError):
            json.loads(output)


async def test_garbage_in_plain_sound_is_as_long_as_the_sound() -> None:
    (call,) = (call for call in CALLS if call.kind == "sound")
    async with faulty_sandbox() as (_, url):
        whole = await ask(url, call)

    answer = await seen(call, fault="garbage", after=1)

    assert len(answer.body) == len(whole.body)
    assert answer.body[:960] == whole.body[:960]
    assert answer.body[960:] != whole.body[960:]


@taking("content_type")
async def test_a_page_of_html_is_no_answer(call: Call) -> None:
    answer = await seen(call, fault="content_type")

    assert (answer.status, answer.is_whole) == (200, True)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.body.startswith(b"<!doctype html>")


@taking("empty")
async def test_an_empty_answer_is_whole_and_says_nothing(call: Call) -> None:
    answer = await seen(call, fault="empty")

    assert answer.is_whole
    match call.name:
        case "speak" | "speak_timed" | "convert":
            assert answer.body == b""
        case "transcribe":
            assert json.loads(answer.body)["text"] == ""
        case "transcribe_streamed":
            assert json.loads(answer.body.removeprefix(b"data: "))["text"] == ""
        case "chat":
            assert json.loads(answer.body)["choices"][0]["message"]["content"] == ""
        case "chat_streamed":
            assert b'"finish_reason": "stop"' in answer.body
            assert call.outputs(answer.body) == 3  # the role, the end, [DONE]
        case "convert_timed":
            assert json.loads(answer.body)["audio_base64"] == ""
        case _:
            body = json.loads(answer.body)
            assert not any(isinstance(value, list) and value for value in body.values()) if body else body == []


@taking("endless")
async def test_an_endless_answer_goes_on_until_the_caller_hangs_up(call: Call) -> None:
    """The healthy answer holds fewer bytes than what is waited for here."""
    async with faulty_sandbox() as (_, url):
        whole = await ask(url, call)
    async with faulty_sandbox({"on": call.target, "fault": "endless"}) as (sandbox, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(call.request("sandbox", {}))
        async with asyncio.timeout(PATIENCE_S):
            await reader.readexactly(len(whole.body) + 2000)
        writer.transport.abort()
        (record,) = await recorded(sandbox)

    assert (record["fault"], record["outcome"]) == ("endless", "cancelled")


@taking("odd_length", [call for call in CALLS if call.kind in ("whole", "sound")])
async def test_sound_of_odd_length_lacks_its_last_byte(call: Call) -> None:
    async with faulty_sandbox() as (_, url):
        whole = await ask(url, call)

    answer = await seen(call, fault="odd_length")

    if call.name == "convert_timed":
        assert json.loads(answer.body)["audio_base64"] != json.loads(whole.body)["audio_base64"]
    else:
        assert answer.body == whole.body[:-1]
        assert len(answer.body) % 2 == 1


@taking("drip", STREAMED)
async def test_a_drip_is_slower_than_it_would_be(call: Call) -> None:
    """Half a second of speech at 4 times real time, seven tokens at 50 a second: a tenth of a second and more."""
    started_s = time.monotonic()

    await seen(call, fault="drip", rate=50 if call.target == "chat" else 4)

    assert time.monotonic() - started_s >= 0.1
