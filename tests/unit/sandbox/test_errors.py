"""The error answers and key checks of the stand-in vendors."""

from collections.abc import Callable, Mapping

import pytest

from avatar_service.sandbox.auth import check_elevenlabs_key, check_openai_key
from avatar_service.sandbox.errors import VendorError, elevenlabs_error, elevenlabs_invalid, openai_error

KEY = "a-secret-key"


def raised(check: Callable[[Mapping[str, str], str], None], headers: Mapping[str, str]) -> VendorError:
    with pytest.raises(VendorError) as caught:
        check(headers, KEY)
    return caught.value


def test_openai_errors_have_message_type_param_and_code() -> None:
    error = openai_error(404, "model_not_found", "no such model", "model")
    assert error.status == 404
    assert error.body == {
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (429, "requests"), (500, "server_error"), (503, "server_error")],
)
def test_the_type_of_an_openai_error_follows_its_status(status: int, kind: str) -> None:
    assert openai_error(status, None, "x").body["error"]["type"] == kind


def test_elevenlabs_errors_have_a_detail_with_code_and_message() -> None:
    error = elevenlabs_error(400, "unsupported_model", "not with this model", "model_id")
    assert error.status == 400
    assert error.body == {
        "detail": {
            "type": "validation_error",
            "code": "unsupported_model",
            "message": "not with this model",
            "status": "unsupported_model",
            "param": "model_id",
        }
    }


def test_elevenlabs_validation_errors_list_where_the_fault_is() -> None:
    error = elevenlabs_invalid("not a number", "body", "seed")
    assert error.status == 422
    assert error.body["detail"][0]["loc"] == ["body", "seed"]
    assert error.body["detail"][0]["msg"] == "not a number"


def test_the_right_key_is_accepted() -> None:
    check_openai_key({"Authorization": f"Bearer {KEY}"}, KEY)
    check_openai_key({"Authorization": f"bearer {KEY}"}, KEY)
    check_elevenlabs_key({"xi-api-key": KEY}, KEY)


@pytest.mark.parametrize("header", ["Bearer wrong", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer k\u00e9y"])
def test_a_wrong_openai_key_is_refused_and_not_repeated(header: str) -> None:
    error = raised(check_openai_key, {"Authorization": header})
    assert (error.status, error.body["error"]["code"]) == (401, "invalid_api_key")
    assert header.split()[1] not in error.body["error"]["message"]
    assert KEY not in error.body["error"]["message"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": f"Basic {KEY}"}])
def test_a_missing_openai_key_is_refused(headers: Mapping[str, str]) -> None:
    assert raised(check_openai_key, headers).status == 401


@pytest.mark.parametrize(
    ("headers", "code"), [({}, "needs_authorization"), ({"xi-api-key": "wrong"}, "invalid_api_key")]
)
def test_a_missing_or_wrong_elevenlabs_key_is_refused(headers: Mapping[str, str], code: str) -> None:
    error = raised(check_elevenlabs_key, headers)
    assert (error.status, error.body["detail"]["status"]) == (401, code)
