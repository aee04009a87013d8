"""Structured logs: one event a line on standard error, as text for people or as JSON for machines.

A line holds its moment in UTC, level, logger, event, the session and turn it belongs to, the event's own fields, and
within a span of OpenTelemetry its trace and span.
What libraries log goes through the same renderer, from WARNING on, whatever level is asked for.

What users say, media, keys and vendors' error bodies never go into a log. Errors of libraries often quote what they
were given, so only Python's own exceptions and ours keep their message in a traceback.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO, cast

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

bind_contextvars = structlog.contextvars.bind_contextvars
bound_contextvars = structlog.contextvars.bound_contextvars

OURS = "avatar_service"
"""The logger above all of ours; every other one is a library's."""
FIRST = ("timestamp", "level", "logger", "event", "session_id", "turn_id")
"""Fields that every JSON line begins with, as far as it has them."""
MESSAGE_LENGTH = 300
"""Longest message of an exception that is logged, in characters."""


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module; call it with `__name__`."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def set_up(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Log events of `level` and above to `stream`, as `console` or `json`; None is standard error."""
    stream = stream or sys.stderr
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _trace_and_span,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=_renderers(log_format, stream))
    )
    handler.addFilter(_from_warning_on)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


@contextmanager
def restored() -> Iterator[None]:
    """Leave logging after the block as it was before; for tests and for programs that embed the service."""
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before, handlers = structlog.get_config(), root.handlers
    levels = root.level, ours.level
    try:
        yield
    finally:
        structlog.configure(**before)
        logging.captureWarnings(False)
        root.handlers = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


def _renderers(log_format: str, stream: TextIO) -> list[Processor]:
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _exception_in_one_field,
        _first_fields,
        renderer,
    ]


def _from_warning_on(record: logging.LogRecord) -> bool:
    """Whether a library's record is severe enough; some set their own logger's level from the environment."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] == OURS


def _trace_and_span(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The names of the span in which something is logged, as OpenTelemetry writes them."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"], event["span_id"] = trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id)
    return event


def _first_fields(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {**{name: event[name] for name in FIRST if name in event}, **event}


def _exception_in_one_field(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """`exc_info`, however it was given, as the text of a traceback in `exception`."""
    given = event.pop("exc_info", None)
    if isinstance(given, BaseException):
        error: BaseException | None = given
    else:
        error = (given if isinstance(given, tuple) else sys.exc_info())[1] if given else None
    if error is not None:
        event["exception"] = "\n".join(_traceback(error))
    return event


def _traceback(error: BaseException, indent: str = "", told: frozenset[int] = frozenset()) -> Iterator[str]:
    """The lines of a traceback, causes first, without values of variables; `told` are exceptions above this one."""
    told |= {id(error)}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in told:
        yield from _traceback(cause, indent, told)
        yield f"{indent}which led to:"
    yield from _frames(error.__traceback__, indent)
    yield f"{indent}{_named(error)}"
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions, 1):
            yield f"{indent}  {number} of {len(error.exceptions)}:"
            yield from _traceback(inner, f"{indent}  ", told)


def _frames(trace: TracebackType | None, indent: str) -> Iterator[str]:
    for frame in traceback.extract_tb(trace):
        yield f'{indent}File "{frame.filename}", line {frame.lineno}, in {frame.name}: {frame.line}'


def _named(error: BaseException) -> str:
    """An exception's type, and its message where it cannot quote a vendor or a user."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return f"{kind.__name__}: {error}"[:MESSAGE_LENGTH]
    if kind.__module__.partition(".")[0] == OURS:
        return f"{kind.__module__}.{kind.__name__}: {error}"[:MESSAGE_LENGTH]
    return f"{kind.__module__}.{kind.__name__}"
