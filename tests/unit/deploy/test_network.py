"""Who may talk to whom, as the chart's network policies say it: played by the rules of Kubernetes."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.unit.deploy.chart import NAMESPACE, VALUE_SETS, Manifest, Rendered, rendered, selects

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who sends or receives: a pod, or an address outside of the cluster."""

    namespace: str = NAMESPACE
    component: str = ""
    address: str = ""

    @property
    def labels(self) -> Mapping[str, str]:
        """As the chart gives them to its pods; another pod has one of its own."""
        if not self.component:
            return {"app": "other"}
        return {
            "app.kubernetes.io/name": "avatar",
            "app.kubernetes.io/instance": "talk",
            "app.kubernetes.io/component": self.component,
        }


SERVICE, TRITON, REDIS = (Peer(component=component) for component in ("service", "triton", "redis"))
NEIGHBOUR, STRANGER = Peer(), Peer(namespace="elsewhere")
PROMETHEUS, GATEWAY = Peer(namespace="monitoring"), Peer(namespace="istio-ingress")
VENDOR, PRIVATE, METADATA = (Peer(address=address) for address in ("104.18.7.192", "10.9.8.7", "169.254.169.254"))


def allowed(chart: Rendered, sender: Peer, receiver: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether both ends let this pass: a pod that no policy selects lets everything pass."""
    return all(
        _lets(chart, own, other, direction, port, protocol)
        for own, other, direction in ((sender, receiver, "egress"), (receiver, sender, "ingress"))
        if not own.address
    )


def _lets(chart: Rendered, own: Peer, other: Peer, direction: str, port: int, protocol: str) -> bool:
    policies = [
        each["spec"]
        for each in chart.of("NetworkPolicy")
        if own.namespace == NAMESPACE
        and selects(each["spec"]["podSelector"], own.labels)
        and direction.capitalize() in each["spec"]["policyTypes"]
    ]
    rules = [rule for policy in policies for rule in policy.get(direction, [])]
    side = "to" if direction == "egress" else "from"
    return not policies or any(_matches(rule, rule.get(side), other, port, protocol) for rule in rules)


def _matches(rule: Manifest, peers: list[Any] | None, other: Peer, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports and not any((each["port"], each["protocol"]) == (port, protocol) for each in ports):
        return False
    return not peers or any(_is(peer, other) for peer in peers)


def _is(peer: Manifest, other: Peer) -> bool:
    if "ipBlock" in peer:
        if not other.address:
            return False
        block, address = peer["ipBlock"], ip_address(other.address)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(each) for each in block.get("except", [])
        )
    if other.address:
        return False
    spaces = peer.get("namespaceSelector")
    inside = selects(spaces, {NAMESPACE_LABEL: other.namespace}) if spaces is not None else other.namespace == NAMESPACE
    return inside and selects(peer.get("podSelector", {}), other.labels)


@pytest.mark.parametrize(
    ("sender", "receiver", "port", "passes"),
    [
        (NEIGHBOUR, SERVICE, 50051, True),
        (STRANGER, SERVICE, 50051, False),
        (GATEWAY, SERVICE, 50051, False),
        (PROMETHEUS, SERVICE, 9464, True),
        (NEIGHBOUR, SERVICE, 9464, False),
        (NEIGHBOUR, SERVICE, 50052, False),
        (SERVICE, TRITON, 8001, True),
        (SERVICE, TRITON, 8000, False),
        (NEIGHBOUR, TRITON, 8001, False),
        (REDIS, TRITON, 8001, False),
        (PROMETHEUS, TRITON, 8002, True),
        (PROMETHEUS, TRITON, 8001, False),
        (SERVICE, REDIS, 6379, True),
        (NEIGHBOUR, REDIS, 6379, False),
        (PROMETHEUS, REDIS, 6379, False),
        (SERVICE, VENDOR, 443, True),
        (SERVICE, VENDOR, 25, False),
        (SERVICE, PRIVATE, 443, False),
        (SERVICE, METADATA, 443, False),
        (SERVICE, NEIGHBOUR, 443, False),
        (TRITON, VENDOR, 443, False),
        (TRITON, SERVICE, 50051, False),
        (REDIS, VENDOR, 443, False),
    ],
)
def test_by_default_only_what_must_talk_does(sender: Peer, receiver: Peer, port: int, passes: bool) -> None:
    assert allowed(rendered(), sender, receiver, port) is passes


def test_names_are_resolved_over_both_protocols() -> None:
    dns = Peer(namespace="kube-system")
    chart = rendered()
    assert all(allowed(chart, SERVICE, dns, 53, protocol) for protocol in ("UDP", "TCP"))
    assert not allowed(chart, TRITON, dns, 53, "UDP")


def test_a_gateway_is_let_in_where_it_is_named() -> None:
    clients = [{"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: "istio-ingress"}}}]
    chart = rendered({"networkPolicy": {"clients": clients}})
    assert allowed(chart, GATEWAY, SERVICE, 50051)
    assert not allowed(chart, NEIGHBOUR, SERVICE, 50051)


@pytest.mark.parametrize(
    ("mesh", "inbound", "control", "ports"),
    [("istio", 15008, "istio-system", [15012]), ("linkerd", 4143, "linkerd", [8080, 8086, 8090])],
)
def test_a_meshs_proxies_reach_each_other_and_their_control_plane(
    mesh: str, inbound: int, control: str, ports: list[int]
) -> None:
    chart = rendered({"mesh": mesh})
    for sender, receiver in ((NEIGHBOUR, SERVICE), (SERVICE, TRITON), (SERVICE, REDIS)):
        assert allowed(chart, sender, receiver, inbound)
    for pod in (SERVICE, TRITON, REDIS):
        assert all(allowed(chart, pod, Peer(namespace=control), port) for port in ports)
    assert not allowed(chart, NEIGHBOUR, TRITON, inbound)
    assert not allowed(rendered(), NEIGHBOUR, SERVICE, inbound)


def test_what_lies_outside_of_the_chart_can_be_reached_where_it_is() -> None:
    chart = rendered(VALUE_SETS["external"])
    inside, outside = Peer(address="10.1.2.3"), Peer(address="10.2.2.3")
    assert [allowed(chart, SERVICE, inside, port) for port in (8001, 6379, 22)] == [True, True, False]
    assert [allowed(chart, SERVICE, outside, port) for port in (8001, 6379)] == [False, False]


def test_spans_go_to_their_collector() -> None:
    chart = rendered({"tracing": {"endpoint": "http://collector.monitoring:4317"}})
    assert allowed(chart, SERVICE, PROMETHEUS, 4317)
    assert not allowed(rendered(), SERVICE, PROMETHEUS, 4317)
