"""Spans of OpenTelemetry: one trace a stream, from the client's call to each request to an engine.

    avatar.v1.AvatarService/Converse                  the call; goes on with the caller's trace
      early                                           what is understood before an utterance's end is sure
        transcribe openai                             an attempt: one request to an engine
      turn                                            linked to the `early` that it takes up
        transcribe, think, speak, animate             its stages, with an event for each first output
          think openai
          animate triton
            inference.GRPCInferenceService/ModelInfer

All names stand here; those that begin with `avatar.` are ours, the others are OpenTelemetry's semantic conventions.
A span holds names, numbers and words of the code: nothing that was said, no media, no key, no vendor's text.

Nothing is made below no call, so that probes leave no traces, and nothing at all unless spans are `recorded`. The
provider is the service's own, not the process's: a library that traces what it is given finds none.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

P = ParamSpec("P")
T = TypeVar("T")

NAME = "avatar_service"
"""Of the instrumentation."""
TURN = "turn"
EARLY = "early"
TRITON = "inference.GRPCInferenceService/ModelInfer"

# What every span may have.
OUTCOME = "avatar.outcome"
"""`ok`, `failed` or `cancelled`; an attempt tells more by the words of its metric."""
ERROR = "error.type"
"""What was wrong: the fault of an engine, or the type of an exception."""
SESSION = "session.id"
# Calls.
SYSTEM = "rpc.system.name"
METHOD = "rpc.method"
CODE = "rpc.response.status_code"
# Turns.
TURN_ID = "avatar.turn.id"
TURN_OUTCOME = "avatar.turn.outcome"
"""As in the contract, or `abandoned` where the stream broke."""
SOURCE = "avatar.turn.source"
DEGRADED_BY = "avatar.turn.degraded_by"
RETRIES = "avatar.turn.retries"
LATENCY = "avatar.turn.{}_ms"
"""By the latency's name in the contract."""
# Stages and attempts.
STAGE = "avatar.stage"
ENGINE = "avatar.engine"
ATTEMPT = "avatar.attempt"
ATTEMPTS = "avatar.attempts"
OUTPUTS = "avatar.outputs"
BYTES = "avatar.bytes"
FIRST_OUTPUT = "first_output"
"""An event: the first output has come."""
REQUEST_ID = "avatar.vendor_request_id"
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
HTTP_STATUS = "http.response.status_code"
SERVER = "server.address"
PORT = "server.port"
TRITON_MODEL = "avatar.triton.model"

Attributes = Mapping[str, AttributeValue]

_FAULTS_OF_OURS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Statuses with which a call has failed on the server's side, as the conventions have it."""
_HEADERS = ("traceparent", "tracestate")
_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(slots=True)
class _Recording:
    tracer: trace.Tracer | None = None


_recording = _Recording()


@contextmanager
def recorded(provider: TracerProvider) -> Iterator[None]:
    """Give the spans of this process to `provider` during the block."""
    before, _recording.tracer = _recording.tracer, provider.get_tracer(NAME)
    try:
        yield
    finally:
        _recording.tracer = before


@contextmanager
def call(method: str, metadata: Iterable[tuple[str, str | bytes]], code: Callable[[], str]) -> Iterator[None]:
    """The span of a client's gRPC call, below the client's own if its metadata names one; `code` says how it ended."""
    if _recording.tracer is None:
        yield
        return
    headers = {key: value for key, value in metadata if key in _HEADERS and isinstance(value, str)}
    parent = _PROPAGATOR.extract(headers, context=Context())
    attributes = {SYSTEM: "grpc", METHOD: method}
    span = _recording.tracer.start_span(method, parent, SpanKind.SERVER, attributes)
    ended_as = "CANCELLED"
    try:
        with current(span):
            yield
        ended_as = code()
    except Exception:
        told = code()
        ended_as = "INTERNAL" if told == "OK" else told  # nobody has set a status: it is a fault of ours
        raise
    finally:
        span.set_attribute(CODE, ended_as)
        if ended_as in _FAULTS_OF_OURS:
            failed(span, ended_as)
        span.end()


@contextmanager
def below(
    name: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL, *, link: Span = INVALID_SPAN
) -> Iterator[Span]:
    """A span around the block, below the current one; `link` is another one that has to do with it."""
    span = started(name, attributes, kind, link=link)
    error: BaseException | None = None
    try:
        with current(span):
            yield span
    except BaseException as raised:
        error = raised
        raise
    finally:
        ended(span, error)


def staged(stage: str) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Decorates a coroutine function that is a stage of a turn: what it does is a span."""

    def decorate(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(work)
        async def traced(*args: P.args, **kwargs: P.kwargs) -> T:
            with below(stage, {STAGE: stage}):
                return await work(*args, **kwargs)

        return traced

    return decorate


def started(
    name: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL, *, link: Span = INVALID_SPAN
) -> Span:
    """A span below the current one, to be `ended`. It is current itself in blocks of `current` alone: a generator must
    not leave one behind in the task that reads it."""
    tracer = _recording.tracer
    if tracer is None or not trace.get_current_span().get_span_context().is_valid:
        return INVALID_SPAN
    linked = link.get_span_context()
    return tracer.start_span(name, kind=kind, attributes=attributes, links=[Link(linked)] if linked.is_valid else None)


def ended(span: Span, error: BaseException | None, outcome: str = "") -> None:
    """End a span with what left its block, and with a word for that if there is a better one."""
    if span.is_recording():
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        span.set_attribute(OUTCOME, outcome or ("cancelled" if cancelled else "failed" if error else "ok"))
        if error and not cancelled:
            failed(span, str(getattr(error, "fault", type(error).__name__)))
    span.end()


def failed(span: Span, kind: str) -> None:
    """Mark a span as failed: by a word of the code, never by an exception's own text, which may quote a vendor."""
    span.set_attribute(ERROR, kind)
    span.set_status(StatusCode.ERROR, kind)


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Let what is done in the block, tasks begun in it included, lie below a span."""
    if not span.get_span_context().is_valid:
        yield
        return
    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
        yield


def event(name: str, ago_s: float = 0.0) -> None:
    """Note in the current span that something has happened, or had so many seconds ago."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(name, timestamp=time.time_ns() - int(1e9 * ago_s))


def describe(attributes: Attributes) -> None:
    """Tell more of the current span."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(attributes)


def server(address: str) -> dict[str, AttributeValue]:
    """Where a request goes: attributes of a URL, or of HOST:PORT."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or {"http": 80, "ws": 80}.get(parts.scheme, 443)
    return {SERVER: parts.hostname, PORT: port} if parts.hostname else {}


def headers() -> dict[str, str]:
    """The headers by which another server goes on with the current span's trace; none if there is none."""
    carrier: dict[str, str] = {}
    if _recording.tracer is not None:
        _PROPAGATOR.inject(carrier)
    return carrier
