"""Structured logs: one event a line, with the session and turn they belong to.

What a user said, keys and vendors' error bodies never go into a log.
"""

import logging
import sys

import structlog

get_logger = structlog.get_logger
bound_contextvars = structlog.contextvars.bound_contextvars


def set_up(level: str, log_format: str) -> None:
    """Send events of `level` and above to standard error, as text for people or as JSON lines."""
    # Plain tracebacks: the default shows local variables, and with them what users said.
    renderers: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
