"""The caller's trace goes along with a call, where the caller has one."""

import importlib
import sys

import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_span_id, format_trace_id, set_span_in_context

from avatar_client import trace_headers as module
from avatar_client.trace_headers import trace_headers


def test_a_call_within_a_span_goes_on_with_its_trace() -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("caller").start_span("asks", context=Context())
    token = attach(set_span_in_context(span, Context()))
    try:
        headers = dict(trace_headers())
    finally:
        detach(token)
    context = span.get_span_context()
    ids = f"{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}"
    assert headers.keys() == {"traceparent"}
    assert headers["traceparent"].startswith(f"00-{ids}-")


def test_outside_of_a_span_nothing_is_sent() -> None:
    assert trace_headers() == ()


def test_a_caller_without_opentelemetry_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "opentelemetry.trace.propagation.tracecontext", None)
        assert importlib.reload(module).trace_headers() == ()
    importlib.reload(module)
