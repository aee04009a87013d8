"""The spans that are made in a block, as a tree.

with recorded_spans() as spans:
    ...
assert spans.tree() == ["turn", "  think", "    think fake"]
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from avatar_service import tracing


class Spans:
    """Every span that has ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        """In the order of their beginnings."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name."""
        return [span for span in self.all if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        """The one of a name."""
        (span,) = self.named(name)
        return span

    def facts(self, name: str, *attributes: str) -> list[tuple[Any, ...]]:
        """These attributes of each span of a name; None where one has none."""
        return [tuple((span.attributes or {}).get(attribute) for attribute in attributes) for span in self.named(name)]

    def children(self, parent: ReadableSpan | None) -> list[ReadableSpan]:
        """The spans just below one, or below none that was recorded."""
        ids = {span.context.span_id for span in self.all}
        wanted = parent.context.span_id if parent else None
        return [
            span
            for span in self.all
            if (span.parent.span_id if span.parent and span.parent.span_id in ids else None) == wanted
        ]

    def tree(self, parent: ReadableSpan | None = None) -> list[str]:
        """A line for each span, those below it indented; of equal ones that follow each other the first alone."""
        branches = [[span.name, *(f"  {line}" for line in self.tree(span))] for span in self.children(parent)]
        return [line for branch, _ in groupby(branches) for line in branch]


def events(span: ReadableSpan) -> list[str]:
    """What happened in a span."""
    return [event.name for event in span.events]


@contextmanager
def recorded_spans() -> Iterator[Spans]:
    """Record the spans of the block."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.recorded(provider):
        yield Spans(exporter)
