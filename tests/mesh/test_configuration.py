"""The deployed configuration of Envoy, held against Envoy itself, the contract and the service's own limits."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from avatar.v1.avatar_service_pb2 import DESCRIPTOR
from avatar_client.client import UPLOAD_TIMEOUT_S
from avatar_service.rpc.connections import CLIENT_PINGS_S
from avatar_service.settings import Settings
from tests.envoy import BINARY, DEPLOYED, cluster_of, configured

SERVICE = DESCRIPTOR.services_by_name["AvatarService"]
CONFIG: dict[str, Any] = yaml.safe_load((DEPLOYED / "envoy.yaml").read_text())
VALIDATE_S = 60


def http_of(listener: str) -> Any:
    """What a listener does with HTTP."""
    (found,) = [one for one in CONFIG["static_resources"]["listeners"] if one["name"] == listener]
    return found["filter_chains"][0]["filters"][0]["typed_config"]


def routes() -> dict[str, Any]:
    """The routes of methods by name."""
    (host,) = http_of("plain")["route_config"]["virtual_hosts"]
    paths = {route["match"].get("path"): route["route"] for route in host["routes"] if "route" in route}
    return {path.rpartition("/")[2]: route for path, route in paths.items() if path}


def filter_of(name: str) -> Any:
    (found,) = [one["typed_config"] for one in http_of("plain")["http_filters"] if one["name"].endswith(f".{name}")]
    return found


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def test_envoy_takes_the_configuration_and_nothing_in_it_is_deprecated(tmp_path: Path) -> None:
    path = configured(tmp_path, ["127.0.0.1:50051", "127.0.0.1:50052"])
    told = subprocess.run(
        [BINARY, "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=VALIDATE_S, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "eprecated" not in told.stderr


def test_both_listeners_do_the_same() -> None:
    assert http_of("plain") == http_of("mtls")


def test_every_stream_has_a_route_of_its_own_that_outlives_what_the_service_allows() -> None:
    settings = Settings.load(env_file=None)
    streams = {method.name for method in SERVICE.methods if method.client_streaming or method.server_streaming}
    assert streams == {"Converse", "Animate", "Speak", "CreateAvatar"} <= set(routes())
    for name in streams:
        route = routes()[name]
        longest_s = seconds(route["max_stream_duration"]["max_stream_duration"])
        assert seconds(route["timeout"]) == 0, f"{name} has a time limit"
        assert longest_s > (UPLOAD_TIMEOUT_S if name == "CreateAvatar" else settings.sessions.age_s)
    for name in ("Converse", "Animate"):
        assert seconds(routes()[name]["idle_timeout"]) == 0, f"{name} is cut while its user thinks"


def test_no_request_that_never_becomes_whole_is_waited_for() -> None:
    """Envoy counts `timeout` from the end of a request, so that it does not end one whose end never comes."""
    (host,) = http_of("plain")["route_config"]["virtual_hosts"]
    for route in [route["route"] for route in host["routes"] if "route" in route]:
        if seconds(route["timeout"]):
            assert 0 < seconds(route["idle_timeout"]) <= seconds(route["timeout"])
        else:
            assert "idle_timeout" in route


def test_a_full_envoy_still_answers_prometheus_and_the_kubelet() -> None:
    beyond = {one["name"] for one in CONFIG["static_resources"]["listeners"] if one.get("ignore_global_conn_limit")}
    assert beyond == {"metrics"}


def test_what_is_named_is_in_the_contract() -> None:
    methods = {method.name for method in SERVICE.methods}
    (counted,) = filter_of("grpc_stats")["individual_method_stats_allowlist"]["services"]
    (check,) = cluster_of(CONFIG, "avatar")["health_checks"]
    assert set(counted["method_names"]) == methods
    assert set(routes()) <= methods
    assert filter_of("grpc_json_transcoder")["services"] == [SERVICE.full_name] == [counted["name"]]
    assert check["grpc_health_check"]["service_name"] == SERVICE.full_name


def test_envoy_asks_for_signs_of_life_no_more_often_than_the_service_allows() -> None:
    options = cluster_of(CONFIG, "avatar")["typed_extension_protocol_options"]
    (http,) = options.values()
    keepalive = http["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
    jitter = 0.15  # Envoy's default: so much sooner
    assert seconds(keepalive["interval"]) * (1 - jitter) > CLIENT_PINGS_S


def test_no_figure_of_envoy_is_below_what_a_full_service_needs() -> None:
    (breakers,) = cluster_of(CONFIG, "avatar")["circuit_breakers"]["thresholds"]
    assert breakers["max_requests"] >= 10 * Settings.load(env_file=None).server.max_sessions
    assert breakers["max_pending_requests"] >= 256  # fewer refuse a burst on a connection that is being made
