"""What the sandbox remembers of requests, and the limits of its settings."""

import time

import pytest

from avatar_service.sandbox.record import RequestLog
from avatar_service.sandbox.settings import SandboxSettings, check_speech_rate


def test_only_the_last_requests_are_kept() -> None:
    requests = RequestLog(kept=3)
    for _ in range(5):
        requests.open("openai", "GET", "/models", "sdk")
    listed = requests.to_json()
    assert listed["total"] == 5
    assert [entry["number"] for entry in listed["requests"]] == [3, 4, 5]


class Transport:
    """Stands for a connection."""


def test_connections_are_numbered_as_they_come() -> None:
    requests = RequestLog(kept=1)
    first, second = Transport(), Transport()

    numbers = [requests.connection_of(transport) for transport in (first, second, first, None)]

    assert numbers == [1, 2, 1, 0]
    del first
    assert requests.connection_of(Transport()) == 3


def test_first_and_last_byte_are_told_on_both_clocks() -> None:
    requests = RequestLog(kept=1)
    record = requests.open("elevenlabs", "POST", "/speech", "sdk")
    before = requests.to_json()["requests"][0]
    assert before["first_byte_s"] is None
    assert before["first_byte_epoch_s"] is None
    record.sent(10)
    record.sent(20)
    after = requests.to_json()["requests"][0]
    assert after["response_bytes"] == 30
    assert after["started_s"] <= after["first_byte_s"] <= after["last_byte_s"] <= time.monotonic()
    for name in ("started", "first_byte", "last_byte"):
        offset_s = after[f"{name}_epoch_s"] - after[f"{name}_s"]
        assert offset_s == pytest.approx(time.time() - time.monotonic(), abs=1.0)


@pytest.mark.parametrize("rate", [0.0, -1.0, 0.05, 1001.0, float("nan"), float("inf")])
def test_a_speech_rate_that_cannot_be_kept_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"between 0\.1 and 1000"):
        check_speech_rate(rate)
    with pytest.raises(ValueError, match="speech rate"):
        SandboxSettings(speech_rate=rate)


@pytest.mark.parametrize("field", ["transcription_delay_s", "chat_delay_s", "speech_delay_s"])
@pytest.mark.parametrize("delay_s", [-0.1, 31.0, float("nan")])
def test_a_delay_outside_its_range_is_refused_by_name(field: str, delay_s: float) -> None:
    with pytest.raises(ValueError, match=field):
        SandboxSettings(**{field: delay_s})  # type: ignore[arg-type]  # the field's name is a parameter of the test


@pytest.mark.parametrize("key", ["", "k\u00e9y", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        SandboxSettings(key=key)
