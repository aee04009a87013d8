"""The caller's trace, passed on, so that the service's spans lie below the caller's own.

It needs OpenTelemetry, which this client does not bring: where the caller has it, the span is taken that is current
when a call begins, or begins again to resume a conversation.
"""

try:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    _PROPAGATORS: tuple["TraceContextTextMapPropagator", ...] = ()
else:
    # W3C's own headers alone: baggage, which the caller's propagator may carry too, is not the service's business.
    _PROPAGATORS = (TraceContextTextMapPropagator(),)


def trace_headers() -> tuple[tuple[str, str], ...]:
    """`traceparent`, and `tracestate` where there is one, as metadata of a call; none outside of a span."""
    carrier: dict[str, str] = {}
    for propagator in _PROPAGATORS:
        propagator.inject(carrier)
    return tuple(carrier.items())
