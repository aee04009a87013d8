"""Every error of the vendors' libraries and of their transports, as one of ours."""

import inspect
import json
import ssl
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import elevenlabs.errors
import httpx
import httpx2
import openai
import pytest
import websockets
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.parse_error import ParsingError
from pydantic import BaseModel
from websockets.datastructures import Headers
from websockets.frames import Close
from websockets.http11 import Response

from avatar_service.engines.vendor import ELEVENLABS, OPENAI, Vendor
from avatar_service.engines.vendor_errors import (
    BY_CLOSE_CODE,
    BY_CODE,
    BY_EXCEPTION,
    BY_HUNDRED,
    BY_STATUS,
    retry_after_s,
    vendor_error,
    vendor_errors,
)
from avatar_service.errors import (
    EngineError,
    EngineRejected,
    EngineTimeout,
    EngineUnavailable,
    Fault,
    InvalidArgument,
)
from avatar_service.media.wire_audio import MalformedAudio
from tests.unit.engines import error_tables

KEY = "sk-secret-1"
WORDS = f"Incorrect API key provided: {KEY}; you said 'hello'"
"""What a vendor might say: none of it may be passed on."""


def raised(error: BaseException, stage: str = "think", vendor: Vendor = OPENAI) -> EngineError:
    """What becomes of an error of a library."""
    with pytest.raises(EngineError) as ours, vendor_errors(stage, vendor):
        raise error
    assert ours.value.__cause__ is error or ours.value is error
    assert (ours.value.stage, ours.value.engine) == (stage, vendor.engine)
    assert KEY not in f"{ours.value} {ours.value.advice} {ours.value.request_id}"
    assert "hello" not in f"{ours.value} {ours.value.advice}"
    return ours.value


@cache
def sdk() -> openai.AsyncOpenAI:
    """OpenAI's library, which takes a while to make."""
    return openai.AsyncOpenAI(api_key=KEY)


def of_openai(
    status: int, code: str | None = None, kind: str | None = None, headers: dict[str, str] | None = None
) -> openai.APIStatusError:
    """What OpenAI's library raises for an answer, made by the library itself."""
    response = httpx2.Response(
        status,
        headers=headers,
        json={"error": {"message": WORDS, "type": kind, "param": None, "code": code}},
        request=httpx2.Request("POST", "http://vendor/v1/chat/completions"),
    )
    return sdk()._make_status_error_from_response(response)


def of_elevenlabs(status: int | None, code: str | None = None, headers: dict[str, str] | None = None) -> ApiError:
    detail = {"status": code, "message": WORDS}
    return ApiError(status_code=status, headers=headers, body={"detail": detail} if code else WORDS)


@pytest.mark.parametrize(("code", "fault"), BY_CODE.items())
def test_a_code_tells_what_is_wrong_whichever_vendor_and_status_it_comes_with(code: str, fault: Fault) -> None:
    for error in (
        of_openai(400, code),
        of_openai(500, None, kind=code),
        of_elevenlabs(400, code),
        openai.APIError(WORDS, httpx2.Request("POST", "http://vendor"), body={"message": WORDS, "code": code}),
    ):
        assert raised(error).fault is fault
    assert raised(of_openai(400, code)).reason == f"status 400 ({code})"
    assert vendor_error("speak", ELEVENLABS, body={"message": WORDS, "error": code, "code": 1008}).fault is fault


@pytest.mark.parametrize("status", [*BY_STATUS, 200, 302, 400, 413, 422, 499, 500, 502, 503, 529])
def test_without_a_code_that_we_know_the_status_tells(status: int) -> None:
    fault = BY_STATUS.get(status) or BY_HUNDRED[status // 100]
    request = httpx.Request("GET", "http://vendor")
    errors: list[Exception] = [
        of_elevenlabs(status),
        of_elevenlabs(status, "a_code_of_next_year"),
        ParsingError(status_code=status, body=WORDS),
        httpx.HTTPStatusError(WORDS, request=request, response=httpx.Response(status, request=request)),
        websockets.InvalidStatus(Response(status, WORDS, Headers(), WORDS.encode())),
    ]
    if status >= 400:
        errors.append(of_openai(status, "a_code_of_next_year", "a_type"))
    for error in errors:
        ours = raised(error)
        assert (ours.fault, ours.reason) == (fault, f"status {status}")


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (401, "invalid_api_key", Fault.AUTHENTICATION),
        (403, "unsupported_country_region_territory", Fault.PERMISSION),
        (404, "model_not_found", Fault.NOT_FOUND),
        (429, "rate_limit_exceeded", Fault.RATE_LIMIT),
        (429, "insufficient_quota", Fault.QUOTA),
        (400, "content_filter", Fault.FILTERED),
        (400, "context_length_exceeded", Fault.BAD_REQUEST),
        (500, "server_error", Fault.OVERLOADED),
        (503, None, Fault.OVERLOADED),
    ],
)
def test_what_openai_answers(status: int, code: str | None, fault: Fault) -> None:
    assert raised(of_openai(status, code)).fault is fault


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (401, "invalid_api_key", Fault.AUTHENTICATION),
        (401, "quota_exceeded", Fault.QUOTA),
        (401, "missing_permissions", Fault.PERMISSION),
        (404, "voice_not_found", Fault.NOT_FOUND),
        (400, "voice_not_found", Fault.NOT_FOUND),
        (429, "too_many_concurrent_requests", Fault.RATE_LIMIT),
        (429, "system_busy", Fault.OVERLOADED),
        (400, "max_character_limit_exceeded", Fault.BAD_REQUEST),
        (422, None, Fault.BAD_REQUEST),
        (None, None, Fault.OVERLOADED),
    ],
)
def test_what_elevenlabs_answers(status: int | None, code: str | None, fault: Fault) -> None:
    assert raised(of_elevenlabs(status, code), "speak", ELEVENLABS).fault is fault


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"code": 404}, Fault.NOT_FOUND),
        ({"code": "429", "message": WORDS}, Fault.RATE_LIMIT),
        ({"code": 1008, "message": WORDS}, Fault.OVERLOADED),
        ({"message": WORDS}, Fault.OVERLOADED),
        ({"error": {"type": "insufficient_quota"}}, Fault.QUOTA),
        ({"detail": [{"type": "missing", "loc": ["body"], "msg": WORDS}]}, Fault.OVERLOADED),
        ({"detail": {"status": ["invalid_api_key"]}}, Fault.OVERLOADED),
        ({"message": "invalid_api_key"}, Fault.OVERLOADED),
        ([WORDS], Fault.OVERLOADED),
        (WORDS, Fault.OVERLOADED),
        (17, Fault.OVERLOADED),
        (None, Fault.OVERLOADED),
    ],
)
def test_an_error_event_within_a_stream_is_read_of_any_shape(body: Any, fault: Fault) -> None:
    assert vendor_error("think", OPENAI, body=body).fault is fault
    if body is not None:
        assert raised(openai.APIError(WORDS, httpx2.Request("POST", "http://vendor"), body=body)).fault is fault


@pytest.mark.parametrize("code", [*BY_CLOSE_CODE, 1000, 1001, 1006, 4999])
def test_the_code_that_closes_a_socket_tells_what_is_wrong(code: int) -> None:
    ours = raised(websockets.ConnectionClosedError(Close(code, WORDS), None), "speak", ELEVENLABS)
    assert ours.fault is BY_CLOSE_CODE.get(code, Fault.CONNECTION)
    assert ours.reason == f"closed with code {code}"


def _invalid() -> Exception:
    class Answer(BaseModel):
        text: str

    return _of(lambda: Answer.model_validate({"text": 1}))


def _of(fails: Callable[[], object]) -> Exception:
    """What really is raised there."""
    try:
        fails()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


REQUEST = httpx2.Request("POST", "http://vendor")
RAW: list[tuple[Exception, Fault]] = [
    (openai.APITimeoutError(REQUEST), Fault.TIMEOUT),
    (openai.APIConnectionError(message=WORDS, request=REQUEST), Fault.CONNECTION),
    (openai.APIResponseValidationError(httpx2.Response(200, request=REQUEST), WORDS), Fault.MALFORMED),
    (openai.APIError(WORDS, REQUEST, body=None), Fault.OVERLOADED),
    (openai.ContentFilterFinishReasonError(), Fault.FILTERED),
    (openai.OpenAIError(WORDS), Fault.MALFORMED),
    (ParsingError(body=WORDS), Fault.MALFORMED),
    (httpx.ConnectTimeout(WORDS), Fault.TIMEOUT),
    (httpx.ReadTimeout(WORDS), Fault.TIMEOUT),
    (httpx2.PoolTimeout(WORDS), Fault.TIMEOUT),
    (httpx.ConnectError(WORDS), Fault.CONNECTION),
    (httpx.RemoteProtocolError(WORDS), Fault.CONNECTION),
    (httpx2.ReadError(WORDS), Fault.CONNECTION),
    (httpx.StreamClosed(), Fault.CONNECTION),
    (httpx.DecodingError(WORDS), Fault.MALFORMED),
    (httpx2.DecodingError(WORDS), Fault.MALFORMED),
    (httpx.InvalidURL(WORDS), Fault.BAD_REQUEST),
    (websockets.InvalidURI("ws:", WORDS), Fault.BAD_REQUEST),
    (websockets.InvalidUpgrade("upgrade", None), Fault.MALFORMED),
    (websockets.ConnectionClosedError(None, None), Fault.CONNECTION),
    (websockets.ProtocolError(WORDS), Fault.CONNECTION),
    (TimeoutError(WORDS), Fault.TIMEOUT),
    (ConnectionResetError(104, WORDS), Fault.CONNECTION),
    (ssl.SSLCertVerificationError(1, WORDS), Fault.CONNECTION),
    (EOFError(WORDS), Fault.CONNECTION),
    (MalformedAudio("the stream is Ogg"), Fault.MALFORMED),
    (_of(lambda: json.loads("<html>hello")), Fault.MALFORMED),
    (_of(b"\xff\xfehello".decode), Fault.MALFORMED),
    (_of(lambda: json.loads("[" * 100_000)), Fault.MALFORMED),
    (_of(lambda: int(json.loads("Infinity"))), Fault.MALFORMED),
    (_of(lambda: {}["hello"]), Fault.MALFORMED),  # type: ignore[index]  # that is the error
    (_of(lambda: "hello".choices), Fault.MALFORMED),  # type: ignore[attr-defined]  # that is the error
    (_of(lambda: len(5)), Fault.MALFORMED),  # type: ignore[arg-type]  # that is the error
    (_invalid(), Fault.MALFORMED),
]


@pytest.mark.parametrize(("error", "fault"), RAW, ids=lambda value: getattr(type(value), "__name__", ""))
def test_without_code_and_status_the_type_of_the_exception_tells(error: Exception, fault: Fault) -> None:
    assert raised(error).fault is fault


def exceptions_of(*modules: ModuleType) -> Iterator[type[Exception]]:
    for module in modules:
        public = (getattr(module, name) for name in module.__all__)
        yield from (kind for kind in public if inspect.isclass(kind) and issubclass(kind, Exception))


OF_NO_REQUEST = {"CookieConflict"}
"""What only a program that reads cookies can raise."""


@pytest.mark.parametrize(
    "kind", [*exceptions_of(openai, elevenlabs.errors, httpx, httpx2, websockets.exceptions), ApiError, ParsingError]
)
def test_no_exception_of_the_libraries_is_missing(kind: type[Exception]) -> None:
    if kind.__name__ in OF_NO_REQUEST:
        return
    told_otherwise = (openai.APIStatusError, httpx.HTTPStatusError, httpx2.HTTPStatusError, ApiError, ParsingError)
    if issubclass(kind, told_otherwise):
        return
    assert any(issubclass(kind, known) for known, _ in BY_EXCEPTION), kind


def test_each_fault_has_the_class_that_its_callers_tell_apart() -> None:
    for kind, faults in (
        (EngineTimeout, {Fault.TIMEOUT}),
        (EngineUnavailable, {Fault.CONNECTION, Fault.OVERLOADED, Fault.RATE_LIMIT, Fault.MALFORMED}),
        (EngineRejected, {*BY_CODE.values(), *BY_STATUS.values()} - {*EngineTimeout.faults, *EngineUnavailable.faults}),
    ):
        assert faults == set(kind.faults)
        for fault in faults:
            assert type(vendor_error("think", OPENAI, otherwise=fault)) is kind


def test_errors_of_ours_pass() -> None:
    ours = EngineRejected("think", "openai", "no")
    with pytest.raises(EngineRejected) as passed, vendor_errors("think", OPENAI):
        raise ours
    assert passed.value is ours
    for error in (InvalidArgument("field", "no"), AssertionError(), NotImplementedError()):
        with pytest.raises(type(error)), vendor_errors("think", OPENAI):
            raise error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 02:41:00 GMT", "date": "Mon, 23 Nov 2026 02:40:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 02:40:00 GMT", "date": "Mon, 23 Nov 2026 02:40:30 GMT"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 2015 00:00:00 GMT"}, 0.0),
        ({"retry-after": "1e300"}, 1e8),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
    ],
)
def test_how_long_the_vendor_asks_to_be_left_alone(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds
    told = {name.title(): value for name, value in headers.items()}
    assert raised(of_openai(429, None, headers=told)).retry_after_s == seconds
    assert raised(of_elevenlabs(429, headers=told)).retry_after_s == seconds


def test_the_vendor_s_name_of_the_request_is_kept_if_it_is_one() -> None:
    assert raised(of_openai(500, headers={"x-request-id": "req_1-a"})).request_id == "req_1-a"
    assert raised(of_elevenlabs(500, headers={"Request-Id": "Zx9"})).request_id == "Zx9"
    for name in ("", f"{KEY} hello", "a" * 200):
        assert raised(of_openai(500, headers={"x-request-id": name})).request_id == ""


@pytest.mark.parametrize("name", error_tables.TABLES)
def test_the_page_about_errors_has_the_tables_of_the_code(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs/errors.md").read_text()
    assert "\n".join(error_tables.TABLES[name]) in page
