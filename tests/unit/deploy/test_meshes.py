"""Manifests for Istio and Linkerd, which no cluster has seen: they name what the chart installs, limit no stream."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from avatar.v1.avatar_service_pb2 import DESCRIPTOR
from avatar_service.access.credentials import Arrived, Credentials
from avatar_service.access.refusals import CredentialRefused
from avatar_service.settings import Settings
from tests.unit.deploy.chart import NAMESPACE, RELEASE, ROOT, Manifest, Rendered, rendered, selects
from tests.unit.deploy.test_network import GATEWAY, NEIGHBOUR, PROMETHEUS, SERVICE, allowed

FOLDER = ROOT / "deploy/mesh"
VALUES = FOLDER / "istio/values.yaml"
MANIFESTS = sorted(path for path in FOLDER.rglob("*.yaml") if path != VALUES)
METHODS = DESCRIPTOR.services_by_name["AvatarService"].methods
STREAMS = {method.name for method in METHODS if method.server_streaming or method.client_streaming}
MESHES = ("istio", "linkerd")
SIDECAR = "ipv4:127.0.0.6:40000"
ISTIO = yaml.safe_load(VALUES.read_text())
PORTS = {"service": 50051, "triton": 8001, "redis": 6379}


def documents(mesh: str = "") -> list[Any]:
    """The manifests of a mesh, or of both."""
    paths = [path for path in MANIFESTS if mesh in path.parts or not mesh]
    return [each for path in paths for each in yaml.safe_load_all(path.read_text())]


def of(kind: str, mesh: str = "") -> list[Any]:
    return [each for each in documents(mesh) if each["kind"] == kind]


def values_of(node: Any, key: str) -> Iterator[Any]:
    """Everything that stands under a key, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from values_of(each, key)


def part_of(chart: Rendered, selector: Manifest) -> str:
    """Whose pods a selector finds."""
    (found,) = [part for part in PORTS if selects(selector, chart.pod(part)["metadata"]["labels"])]
    return found


@pytest.mark.parametrize("mesh", MESHES)
def test_manifests_lie_in_the_namespace_of_the_release_and_have_names_of_their_own(mesh: str) -> None:
    found = [(each["kind"], each["metadata"]["name"], each["metadata"]["namespace"]) for each in documents(mesh)]
    assert len(set(found)) == len(found) >= 5
    assert {namespace for _, _, namespace in found} == {NAMESPACE}
    assert all(name.startswith(f"{RELEASE}-avatar") for _, name, _ in found)


def test_hosts_and_accounts_are_those_of_the_chart() -> None:
    chart = rendered({"mesh": "istio"})
    services = {each["metadata"]["name"] for each in chart.of("Service")}
    accounts = {each["metadata"]["name"] for each in chart.of("ServiceAccount")}
    hosts = {host for each in documents("istio") for host in values_of(each, "host")}
    assert {host.removesuffix(f".{NAMESPACE}.svc.cluster.local") for host in hosts} <= services
    backends = {each["name"] for route in of("GRPCRoute") for refs in values_of(route, "backendRefs") for each in refs}
    assert backends <= services
    named = {
        each["name"]
        for policy in of("AuthorizationPolicy", "linkerd")
        for each in policy["spec"]["requiredAuthenticationRefs"]
    }
    principals = {
        each
        for policy in of("AuthorizationPolicy", "istio")
        for all_ in values_of(policy, "principals")
        for each in all_
    }
    named |= {each.rpartition("/")[2] for each in principals}
    assert named == {chart.pod("service")["spec"]["serviceAccountName"]} <= accounts


@pytest.mark.parametrize("mesh", MESHES)
def test_triton_and_redis_take_calls_from_the_service_alone(mesh: str) -> None:
    chart = rendered({"mesh": mesh})
    guarded = {}
    if mesh == "linkerd":
        for server in of("Server", mesh):
            guarded[part_of(chart, server["spec"]["podSelector"])] = server["spec"]["port"]
            assert server["spec"]["accessPolicy"] == "deny"
    else:
        for policy in of("AuthorizationPolicy", mesh):
            first = policy["spec"]["rules"][0]
            part = part_of(chart, policy["spec"]["selector"])
            guarded[part] = int(first["to"][0]["operation"]["ports"][0])
            assert "principals" in first["from"][0]["source"] or part == "service"
    assert {part: port for part, port in guarded.items() if part != "service"} == {"triton": 8001, "redis": 6379}
    assert guarded.get("service", 50051) == 50051


def istio_route(method: str) -> Any:
    """The first route that takes a method."""
    (routes,) = [each["spec"]["http"] for each in of("VirtualService") if each["metadata"]["name"] == "talk-avatar"]
    uri = f"/avatar.v1.AvatarService/{method}"
    for route in routes:
        matches = [each["uri"] for each in route.get("match", [])]
        if not matches or any(
            each.get("exact") == uri or re.fullmatch(each.get("regex", "$"), uri) for each in matches
        ):
            return route
    raise AssertionError(method)


@pytest.mark.parametrize("method", [each.name for each in METHODS])
def test_streams_have_no_time_limit_and_other_calls_have_one(method: str) -> None:
    assert istio_route(method)["timeout"] == ("0s" if method in STREAMS else "10s")
    (route,) = [
        each
        for each in of("GRPCRoute")
        if method in {m.get("method") for m in values_of(each, "method") if isinstance(m, dict)}
    ]
    limits = [name for name in route["metadata"].get("annotations", {}) if name.startswith("timeout.linkerd.io")]
    limited = method not in STREAMS and method != "DeleteAvatar"
    assert limits == (["timeout.linkerd.io/request"] if limited else [])


def test_what_may_have_been_done_is_not_done_twice() -> None:
    assert istio_route("CreateAvatar")["retries"] == {"attempts": 0}
    assert "unavailable" not in istio_route("DeleteAvatar")["retries"]["retryOn"]
    (once,) = [each for each in of("GRPCRoute") if "streams" in each["metadata"]["name"]]
    assert "annotations" not in once["metadata"]


def test_calls_are_spread_by_their_number_and_answers_are_no_faults() -> None:
    rules = of("DestinationRule")
    assert len(rules) == 2
    for rule in rules:
        policy = rule["spec"]["trafficPolicy"]
        assert policy["loadBalancer"] == {"simple": "LEAST_REQUEST"}
        assert policy["outlierDetection"]["consecutive5xxErrors"] == 0
        assert policy["outlierDetection"]["consecutiveGatewayErrors"] > 0
        assert policy["outlierDetection"]["maxEjectionPercent"] <= 50


def test_istios_values_fit_the_chart_and_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = rendered(ISTIO)
    for name, value in chart.env("service").items():
        monkeypatch.setenv(name, value)
    access = Settings.load(env_file=None).access
    assert access.asks_for_credentials
    assert not access.open_access


async def tenant_of(chart: Rendered, account: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tenant of a call without a token or key that the side-car hands on from this account."""
    for name, value in chart.env("service").items():
        monkeypatch.setenv(name, value)
    header = f"By=spiffe://cluster.local/ns/{NAMESPACE}/sa/talk-avatar;URI=spiffe://cluster.local/{account}"
    call = Arrived((("x-forwarded-client-cert", header),), SIDECAR)
    access = Settings.load(env_file=None).access
    access.require_whole()
    return (await Credentials(access).identify(call)).tenant


async def test_in_istio_a_callers_namespace_is_its_tenant_and_no_gateway_is_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chart = rendered(ISTIO)
    assert await tenant_of(chart, "ns/shop/sa/web", monkeypatch) == "shop"
    assert not allowed(chart, GATEWAY, SERVICE, PORTS["service"])
    (policy,) = [each for each in of("AuthorizationPolicy", "istio") if each["metadata"]["name"] == "talk-avatar"]
    assert list(values_of(policy, "namespaces")) == [[NAMESPACE]]


async def test_who_comes_through_istios_gateway_needs_a_credential_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    behind = yaml.safe_load(block)
    chart = rendered(ISTIO | behind)
    assert ISTIO["access"].keys() <= behind["access"].keys()  # as Helm merges them, nothing of the first is left
    assert allowed(chart, GATEWAY, SERVICE, PORTS["service"])
    with pytest.raises(CredentialRefused) as refused:
        await tenant_of(chart, "ns/istio-ingress/sa/istio-ingress", monkeypatch)
    assert refused.value.reason == "CREDENTIAL_MISSING"
    assert await tenant_of(chart, "ns/avatars/sa/web", monkeypatch) == "avatars", "who does not come through it"


def test_in_istio_a_prometheus_outside_of_the_mesh_reads_metrics_and_nothing_else() -> None:
    chart = rendered(ISTIO)
    plain = {}
    for policy in of("PeerAuthentication", "istio"):
        assert policy["spec"]["mtls"] == {"mode": "STRICT"}
        for port, mtls in policy["spec"].get("portLevelMtls", {}).items():
            assert mtls == {"mode": "PERMISSIVE"}
            plain[part_of(chart, policy["spec"]["selector"])] = port
    ports = {part: {each["name"]: each["containerPort"] for each in chart.container(part)["ports"]} for part in plain}
    assert plain == {"service": ports["service"]["metrics"], "triton": ports["triton"]["metrics"]}
    for policy in of("AuthorizationPolicy", "istio"):
        for rule in policy["spec"]["rules"]:
            asked = {int(port) for to in rule["to"] for port in to["operation"]["ports"]}
            assert ("from" not in rule) == (asked <= set(plain.values())), "who calls in plain text has no name"
    assert allowed(chart, PROMETHEUS, SERVICE, plain["service"])
    assert not allowed(chart, NEIGHBOUR, SERVICE, plain["service"])


def test_what_the_notes_have_applied_are_manifests() -> None:
    commands = re.findall(r"kubectl apply (.*)", (FOLDER / "README.md").read_text())
    targets = [ROOT / path for command in commands for path in re.findall(r"-f (\S+)", command)]
    files = [path for target in targets for path in (sorted(target.glob("*.yaml")) if target.is_dir() else [target])]
    assert sorted(files) == MANIFESTS
    assert [each for path in files for each in yaml.safe_load_all(path.read_text()) if "kind" not in each] == []


@pytest.mark.parametrize("mesh", MESHES)
def test_a_meshs_proxy_outlives_the_service(mesh: str) -> None:
    chart = rendered({"mesh": mesh})
    annotations = chart.pod("service")["metadata"]["annotations"]
    assert any("native" in name and value == "true" for name, value in annotations.items())
    (drain_s,) = re.findall(r"(\d+)s", " ".join(value for name, value in annotations.items() if "native" not in name))
    sleep_s = chart.container("service")["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace_s = float(chart.env("service")["AVATAR_STOP_GRACE_S"])
    assert sleep_s + grace_s < int(drain_s) <= chart.pod("service")["spec"]["terminationGracePeriodSeconds"]


def test_the_notes_point_to_files_that_exist() -> None:
    page = FOLDER / "README.md"
    links = [target.partition("#")[0] for target in re.findall(r"\]\(([^()\s]+)\)", page.read_text())]
    assert [target for target in links if not (page.parent / target).exists()] == []
    assert {Path(target).name for target in links} >= {path.name for path in MANIFESTS}
