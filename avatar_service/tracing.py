"""Spans of OpenTelemetry, from a client's stream to each request to an engine.

Without an exporter they cost next to nothing: the API's own spans that record nothing.
"""

from opentelemetry import trace

tracer = trace.get_tracer("avatar_service")
"""`with tracer.start_as_current_span(name)`; what runs in the block, tasks begun in it included, lies below it."""
