"""A load's figures: percentiles, the report, the limits on it, the picture."""

import json
import math
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from avatar_client.load.distribution import Distribution
from avatar_client.load.measuring import Book, Point
from avatar_client.load.picture import MOST_DOTS, draw
from avatar_client.load.plan import BadPlan, Plan
from avatar_client.load.report import NAMES, Driver, FailIf, LoadReport
from avatar_client.load.table import table


def distribution(*values: float) -> Distribution:
    made = Distribution()
    for value in values:
        made.add(value)
    return made


def report(lag_ms: float = 1.0, **counts: int) -> LoadReport:
    book = Book(began_at=0.0)
    book.counts.update(counts)
    for latency_ms in range(100, 1_100, 10):
        book.first_audio_ms.add(latency_ms)
        book.first_frame_ms.add(latency_ms + 20)
        book.points.append(Point(latency_ms / 100, latency_ms, latency_ms + 20))
    return LoadReport(Plan(sessions=2), book, 12.0, Driver(distribution(lag_ms), 0.25))


def test_percentiles_are_values_that_were_measured_up_to_three_digits() -> None:
    values = distribution(*range(1, 101))
    assert [values.percentile(percent) for percent in (50, 90, 95, 99, 100)] == [50, 90, 95, 99, 100]
    assert distribution(7.0).figures("x") == {"x_p50": 7.0, "x_p90": 7.0, "x_p95": 7.0, "x_p99": 7.0, "x_max": 7.0}


def test_nothing_measured_is_told_as_nothing() -> None:
    assert set(Distribution().figures("x").values()) == {None}


def test_percentiles_are_right_to_half_a_percent_and_memory_does_not_grow_with_the_values() -> None:
    chance, made = random.Random(1), Distribution()
    values = sorted(chance.lognormvariate(4, 1.5) for _ in range(50_000))
    for value in values:
        made.add(value)
    for percent in (50, 90, 95, 99):
        exact = values[math.ceil(len(values) * percent / 100) - 1]
        assert made.percentile(percent) == pytest.approx(exact, rel=0.005)
    assert made.figures("x")["x_max"] == round(values[-1], 3)
    assert len(made._counts) < 6_000


def test_a_report_has_every_figure_whether_it_was_measured_or_not() -> None:
    told = report(frames=10).to_json()
    assert set(told) == {"plan", "figures", "errors", "notices", "degraded", "driver_too_slow"}
    figures = told["figures"]
    assert set(figures) == NAMES
    assert (figures["frames"], figures["errors"], figures["seconds"], figures["driver_cpu"]) == (10, 0, 12.0, 0.25)
    assert figures["first_frame_ms_p50"] == 610
    assert figures["barge_in_ms_p50"] is None
    json.dumps(told)


@pytest.mark.parametrize(("lag_ms", "too_slow"), [(19.0, False), (21.0, True)])
def test_a_driver_that_was_late_itself_says_so(lag_ms: float, too_slow: bool) -> None:
    made = report(lag_ms)
    assert made.to_json()["driver_too_slow"] is too_slow
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table(made))
    assert ("driver itself was more than 20 ms late" in captured.get()) == too_slow
    assert "first frame after the question" in captured.get()


@pytest.mark.parametrize(
    ("limit", "crossed"),
    [
        ("first_frame_ms_p95>800", "first_frame_ms_p95 is 1060, above 800"),
        ("first_frame_ms_p95 > 2000", ""),
        ("frames<11", "frames is 10, below 11"),
        ("errors>0", ""),
        ("barge_in_ms_p50>1", "barge_in_ms_p50 was not measured"),
    ],
)
def test_a_limit_is_crossed_or_not_and_one_on_nothing_is(limit: str, crossed: str) -> None:
    assert FailIf.of(limit).crossed(report(frames=10).figures()) == crossed


@pytest.mark.parametrize("text", ["", "errors", "errors=0", "errors>", "errors>1.2.3", "Errors!>1"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(BadPlan):
        FailIf.of(text)


def test_a_limit_on_what_is_no_figure_is_refused_before_the_load_begins() -> None:
    with pytest.raises(BadPlan, match="first_frame_ms_p95"):
        FailIf.of("first_frame_p95>800")


def dots(path: Path) -> list[Any]:
    return ElementTree.parse(path).getroot().findall("{http://www.w3.org/2000/svg}circle")


def test_the_picture_has_two_dots_for_each_answer_and_two_in_its_legend(tmp_path: Path) -> None:
    draw(report(), tmp_path / "load.svg")
    assert len(dots(tmp_path / "load.svg")) == 2 * 100 + 2


def test_the_picture_of_a_long_load_stays_small_and_one_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    long = report()
    long.book.points.extend(Point(second / 10, 500.0, None) for second in range(15_000))
    draw(long, tmp_path / "long.svg")
    assert len(dots(tmp_path / "long.svg")) <= 2 * MOST_DOTS + 2
    empty = LoadReport(Plan(), Book(began_at=0.0), 0.0, Driver(Distribution(), 0.0))
    draw(empty, tmp_path / "empty.svg")
    assert len(dots(tmp_path / "empty.svg")) == 2
