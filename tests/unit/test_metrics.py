"""What the process counts: named as Prometheus wants it, and all of it on the page for operators."""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from avatar_service import metrics

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"
LABELS = {
    "method",
    "code",
    "reason",
    "source",
    "outcome",
    "stage",
    "engine",
    "fault",
    "operation",
    "kind",
    "proof",
    "why",
}
"""Their values are words of the code; a session, a model or a tenant must never be among them."""
OURS = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, MetricWrapperBase)} | {
    f"LATENCIES[{name}]": metric for name, metric in metrics.LATENCIES.items()
}
KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def exposed(metric: MetricWrapperBase) -> str:
    """The name under which Prometheus sees it."""
    name = next(iter(metric.describe())).name
    return f"{name}_total" if isinstance(metric, Counter) else name


def rows() -> dict[str, list[str]]:
    """The table of metrics on the page: type and labels by name."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines()]
    return {row[0].strip("`"): row[1:3] for row in cells if len(row) == 4 and row[0].startswith("`avatar_")}


@pytest.mark.parametrize("metric", OURS.values(), ids=OURS)
def test_a_metric_is_named_with_its_unit_and_says_what_it_is(metric: MetricWrapperBase) -> None:
    name, documentation = exposed(metric), next(iter(metric.describe())).documentation
    assert re.fullmatch(r"avatar_[a-z_]+", name)
    assert documentation.endswith(".")
    assert not name.endswith(("_ms", "_count", "_sum"))
    if isinstance(metric, Histogram):
        assert name.endswith("_seconds")


@pytest.mark.parametrize("metric", OURS.values(), ids=OURS)
def test_labels_have_few_values(metric: MetricWrapperBase) -> None:
    assert set(metric._labelnames) <= LABELS


def test_the_page_for_operators_lists_every_metric_with_its_type_and_labels() -> None:
    ours = {
        exposed(metric): [KINDS[type(metric)], ", ".join(f"`{label}`" for label in metric._labelnames)]
        for metric in OURS.values()
    }
    assert rows() == ours | {"avatar_build_info": ["gauge", "`version`"]}


def test_the_exposition_holds_them_all() -> None:
    text = metrics.exposition()[0].decode()
    assert [name for name in map(exposed, OURS.values()) if f"# HELP {name} " not in text] == []
    assert 'avatar_build_info{version="' in text
