"""What the logs look like, and what never stands in them."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from opentelemetry.trace import format_span_id, format_trace_id

from avatar_service import log, tracing
from avatar_service.errors import EngineRejected
from tests.spans import recorded_spans

SECRET = "sk-proj-4711"


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    with log.restored():
        yield


def captured(level: str = "INFO", log_format: str = "json") -> io.StringIO:
    stream = io.StringIO()
    log.set_up(level, log_format, stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class VendorError(Exception):
    """Quotes what it was given, as vendors' errors do."""


def test_a_json_line_holds_moment_level_logger_event_and_fields() -> None:
    stream = captured()
    log.get_logger("avatar_service.turn").warning("engine_failed", stage="speak")
    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "logger", "event", "stage"]
    assert list(line.values())[1:] == ["warning", "avatar_service.turn", "engine_failed", "speak"]
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_a_line_belongs_to_the_session_and_the_turn_around_it() -> None:
    stream = captured()
    logger = log.get_logger("avatar_service.turn")
    with log.bound_contextvars(session_id="s-1"):
        logger.info("session_started")
        with log.bound_contextvars(turn_id=2):
            logger.info("stage_finished")
    logger.info("stopped")
    assert [(line.get("session_id"), line.get("turn_id")) for line in lines(stream)] == [
        ("s-1", None),
        ("s-1", 2),
        (None, None),
    ]


def test_a_line_within_a_span_names_it_and_its_trace() -> None:
    stream = captured()
    logger = log.get_logger("avatar_service.turn")
    with recorded_spans() as spans, tracing.call("avatar.v1.AvatarService/Converse", (), lambda: "OK"):
        logger.info("turn_completed")
        logging.getLogger("grpc").warning("retrying")
    logger.info("stopped")
    context = spans.all[0].context
    assert context is not None
    names = (format_trace_id(context.trace_id), format_span_id(context.span_id))
    assert [(line.get("trace_id"), line.get("span_id")) for line in lines(stream)] == [names, names, (None, None)]


def test_a_console_line_is_for_people() -> None:
    stream = captured(log_format="console")
    log.get_logger("avatar_service.turn").info("turn_completed", outcome="completed")
    (line,) = stream.getvalue().splitlines()
    assert "turn_completed" in line
    assert "outcome=completed" in line
    assert "avatar_service.turn" in line
    assert "\x1b" not in line  # no colours where nobody looks


@pytest.mark.parametrize(("level", "logged"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_less_severe_events_than_asked_for_are_not_logged(level: str, logged: int) -> None:
    stream = captured(level)
    logger = log.get_logger("avatar_service.turn")
    logger.debug("one")
    logger.info("two")
    logger.warning("three")
    assert len(lines(stream)) == logged


@pytest.mark.parametrize("library", ["grpc", "openai", "httpx", "httpx2", "elevenlabs", "aiohttp.access", "asyncio"])
def test_libraries_go_through_the_same_renderer_from_warning_on(library: str) -> None:
    stream = captured("DEBUG")
    logger = logging.getLogger(library)
    logger.info("request %s", "body")
    logger.warning("retrying in %d s", 3)
    (line,) = lines(stream)
    assert (line["level"], line["logger"], line["event"]) == ("warning", library, "retrying in 3 s")


def test_a_library_that_turns_its_own_logger_up_is_not_heard_below_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = captured("DEBUG")
    library = logging.getLogger("openai")
    monkeypatch.setattr(library, "level", logging.DEBUG)  # as OPENAI_LOG=debug does
    library.debug("Request options: %s", {"json_data": "what the user said"})
    assert stream.getvalue() == ""


def test_an_exception_is_one_field_of_its_line() -> None:
    stream = captured()
    try:
        raise KeyError("voice")
    except KeyError:
        log.get_logger("avatar_service.rpc").error("internal_error", exc_info=True)
    (line,) = lines(stream)
    assert line["exception"].endswith("KeyError: 'voice'")
    assert 'raise KeyError("voice")' in line["exception"]


def test_a_librarys_exception_is_rendered_alike() -> None:
    stream = captured()
    try:
        raise VendorError(SECRET)
    except VendorError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    (line,) = lines(stream)
    assert line["exception"].endswith("test_log.VendorError")
    assert SECRET not in line["exception"]


def raised() -> ExceptionGroup[Exception]:
    """A vendor's error that became ours, in the group of a task."""
    try:
        try:
            raise VendorError(f"Incorrect API key provided: {SECRET}")
        except VendorError as error:
            raise EngineRejected("think", "openai", "status 401") from error
    except EngineRejected as error:
        return ExceptionGroup("unhandled errors in a TaskGroup", [error])


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_vendors_own_words_stay_out_and_ours_stay_in(log_format: str) -> None:
    stream = captured(log_format=log_format)
    log.get_logger("avatar_service.rpc").error("internal_error", exc_info=raised())
    text = stream.getvalue()
    assert SECRET not in text
    assert "VendorError" in text
    assert "EngineRejected: think (openai): status 401" in text
    assert "which led to:" in text


def test_an_exception_that_is_its_own_cause_ends() -> None:
    stream = captured()
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    log.get_logger("avatar_service.rpc").error("internal_error", exc_info=first)
    assert lines(stream)[0]["exception"].count("ValueError") == 2


def test_logging_is_as_before_after_the_block() -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with log.restored():
        captured("DEBUG")
        assert root.handlers != before[1]
    assert (root.level, root.handlers) == before
