"""Dashboard and rules: what they ask for exists, and every alert fires when it must and only then."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from avatar_service import metrics
from tests.unit.deploy.chart import EVERYTHING, ROOT, rendered

FOLDER = ROOT / "deploy/observability"
ALERTS, RECORDING, TESTS = (FOLDER / name for name in ("alerts.yaml", "recording.yaml", "alerts_test.yaml"))
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PAGE = ROOT / "docs/alerts.md"
PROMTOOL_S = 60.0
"""Longest that promtool may take; the slowest run takes 1.5 s."""
SCRAPED = {"namespace", "job", "instance", "pod"}
"""Labels that Prometheus adds by itself."""
ADDED = {
    "alertname",
    "alertstate",
}
TRITON = {
    "nv_inference_request_success": {"model"},
    "nv_inference_request_failure": {"model", "reason"},
    "nv_inference_count": {"model"},
    "nv_inference_exec_count": {"model"},
    "nv_inference_queue_duration_us": {"model"},
    "nv_inference_compute_infer_duration_us": {"model"},
    "nv_inference_pending_request_count": {"model"},
    "nv_gpu_utilization": {"gpu_uuid"},
    "nv_gpu_memory_used_bytes": {"gpu_uuid"},
    "nv_gpu_memory_total_bytes": {"gpu_uuid"},
}
"""Of Triton's own: those of inference were seen in a running 24.10, those of the GPU stand in its documentation."""
PROCESS = {"process_open_fds", "process_max_fds", "process_cpu_seconds_total", "process_resident_memory_bytes", "up"}

_USE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\{(?P<labels>[^}]*)\}|(?P<bare>(?:avatar|nv|process|job|instance)_?[a-z_]*[:_][a-zA-Z0-9_:]+|job_stage_engine:[a-z0-9_:]+)"
)
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_BY = re.compile(r"\bby \(([^)]*)\)")


def promtool(*arguments: str) -> str:
    """Run promtool in the folder; returns what it prints."""
    try:
        run = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=PROMTOOL_S)
    except FileNotFoundError:
        pytest.fail("promtool is missing: apt-get install prometheus")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def rules(path: Path, kind: str) -> dict[str, Any]:
    """Rules of a file by their names; `kind` is `alert` or `record`."""
    groups = yaml.safe_load(path.read_text())["groups"]
    return {rule[kind]: rule for group in groups for rule in group["rules"]}


def known() -> dict[str, set[str]]:
    """Every series that can be asked for, with its labels."""
    series = dict(TRITON) | {name: set() for name in PROCESS} | {"ALERTS": ADDED}
    ours = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    for metric in [*ours, *metrics.LATENCIES.values()]:
        name, names = next(iter(metric.describe())).name, set(metric._labelnames)
        if isinstance(metric, Counter):
            series[f"{name}_total"] = names
        elif isinstance(metric, Histogram):
            series |= {f"{name}_bucket": names | {"le"}, f"{name}_sum": names, f"{name}_count": names}
        else:
            series[name] = names
    for name, rule in rules(RECORDING, "record").items():
        series[name] = {label.strip() for by in _BY.findall(rule["expr"]) for label in by.split(",")} - {"le"}
    return series


def expressions() -> Iterator[tuple[str, str]]:
    """Every question of rules and dashboard, and where it stands."""
    for path, kind in ((ALERTS, "alert"), (RECORDING, "record")):
        for name, rule in rules(path, kind).items():
            yield name, rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def unknown(expression: str, series: dict[str, set[str]]) -> list[str]:
    """What an expression names that does not exist."""
    faults, labels = [], set[str]()
    for use in _USE.finditer(expression):
        name = use["name"] or use["bare"]
        if name not in series:
            faults.append(name)
            continue
        labels |= series[name]
        faults += [
            f"{name}{{{label}}}" for label in _LABEL.findall(use["labels"] or "") if label not in series[name] | SCRAPED
        ]
    asked = {label.strip() for by in _BY.findall(expression) for label in by.split(",")}
    return faults + [f"by ({label})" for label in sorted(asked - labels - SCRAPED)]


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", "recording.yaml", "alerts.yaml")
    promtool("check", "config", "scrape.yaml")


def test_every_alert_fires_when_it_must_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yaml")
    cases = yaml.safe_load(TESTS.read_text())["tests"]
    asked = [each for case in cases for each in case["promql_expr_test"] if "ALERTS" in each["expr"]]
    fired = {
        name
        for each in asked
        for sample in each["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == set(rules(ALERTS, "alert"))
    for case in cases:
        silent = [each for each in case["promql_expr_test"] if "ALERTS" in each["expr"] and not each["exp_samples"]]
        assert silent, f"{case['name']}: nothing shows that no alert fires while all is well"


def test_an_alert_that_does_not_fire_is_found(tmp_path: Path) -> None:
    for path in (RECORDING, TESTS):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / ALERTS.name).write_text(ALERTS.read_text().replace("> 0.05", "> 0.5"))
    run = subprocess.run(
        ["promtool", "test", "rules", TESTS.name], cwd=tmp_path, capture_output=True, timeout=PROMTOOL_S
    )
    assert run.returncode != 0


def test_rules_and_dashboard_ask_for_what_there_is() -> None:
    series = known()
    faults = {where: found for where, expression in expressions() if (found := unknown(expression, series))}
    assert faults == {}


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(rate(avatar_turns_totals[5m]))", "avatar_turns_totals"),
        ('avatar_turns_total{result="failed"}', "avatar_turns_total{result}"),
        ("sum by (tenant) (avatar_sessions_active)", "by (tenant)"),
        ("job:avatar_turns_failed:ratio1m > 0", "job:avatar_turns_failed:ratio1m"),
        ("avatar_time_to_first_frame_seconds > 1", "avatar_time_to_first_frame_seconds"),
    ],
)
def test_what_there_is_not_is_found(expression: str, fault: str) -> None:
    assert unknown(expression, known()) == [fault]


def test_every_metric_is_on_the_dashboard() -> None:
    asked = " ".join(expression for _, expression in expressions())
    ours = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    names = [next(iter(metric.describe())).name for metric in [*ours, *metrics.LATENCIES.values()]]
    assert [name for name in names if name not in asked] == []


def test_every_alert_says_what_it_means_and_points_to_its_entry() -> None:
    headings = re.findall(r"^## (\w+)$", PAGE.read_text(), re.MULTILINE)
    alerts = rules(ALERTS, "alert")
    assert [name for name in headings if name.startswith("Avatar")] == list(alerts)
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"


def test_the_entry_of_an_alert_tells_what_to_look_at_and_what_to_do() -> None:
    entries = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    for entry in (each for each in entries if each.startswith("Avatar")):
        assert [word for word in ("**Means**", "**Look at**", "**Do**") if word not in entry] == [], entry[:40]


def test_the_dashboard_shows_exemplars_of_latencies() -> None:
    shown = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", []) if target.get("exemplar")]
    assert len(shown) > 10
    assert [each["expr"] for each in shown if "_bucket" not in each["expr"]] == []  # nothing else keeps any


def test_every_question_of_the_dashboard_is_one_that_prometheus_understands(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    plain = [
        each.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$instance", ".*") for each in asked
    ]
    named = [{"record": f"panel:{index}", "expr": expression} for index, expression in enumerate(plain)]
    questions = tmp_path / "questions.yaml"
    questions.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}))  # JSON is YAML
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(questions))


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert len(rows) == 8
    places = [(p["gridPos"]["y"], p["gridPos"]["x"]) for p in panels]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(panels))) - {"__rate_interval"}
    assert used == variables


def test_the_chart_installs_the_same_rules_and_dashboard() -> None:
    chart = rendered(EVERYTHING)
    groups = chart.only("PrometheusRule")["spec"]["groups"]
    files = [group for path in (RECORDING, ALERTS) for group in yaml.safe_load(path.read_text())["groups"]]
    assert groups == files
    assert json.loads(chart.only("ConfigMap")["data"]["avatar.json"]) == DASHBOARD
    jobs = {each["spec"]["endpoints"][0]["relabelings"][0]["replacement"] for each in chart.of("ServiceMonitor")}
    scraped = yaml.safe_load((FOLDER / "scrape.yaml").read_text())["scrape_configs"]
    assert jobs == {each["job_name"] for each in scraped}


def test_runbooks_lie_where_the_operator_says() -> None:
    base = "https://wiki.example/alerts"
    monitoring = {"prometheusRule": True, "runbookBase": base}
    rule = rendered({"monitoring": monitoring}).only("PrometheusRule")
    urls = re.findall(r"runbook_url': '([^']+)'", str(rule))
    assert len(urls) == len(rules(ALERTS, "alert"))
    assert {url.partition("#")[0] for url in urls} == {base}


def test_the_adapter_gives_the_scaler_its_metric() -> None:
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    (metric,) = rendered(EVERYTHING).only("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    assert rule["seriesQuery"].startswith("avatar_sessions_active{")
