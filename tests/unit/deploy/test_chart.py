"""The chart: rendered by Helm, valid for Kubernetes, and what it sets is what the service takes."""

import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from avatar_service.rpc.health_port import LIVENESS
from avatar_service.rpc.server import SERVICE
from avatar_service.settings import Settings, setting_names
from tests.unit.deploy.chart import (
    CHART,
    EVERYTHING,
    ROOT,
    VALUE_SETS,
    WITHOUT_SCHEMA,
    Manifest,
    Rendered,
    Values,
    helm,
    rendered,
    selects,
)

KUBERNETES = ("1.30", "1.37")
"""The oldest that the chart says it installs on, and the newest whose schemas there are."""
VARIABLES = ("AVATAR_", "OPENAI_", "ELEVENLABS_")


@pytest.fixture(scope="module", params=list(VALUE_SETS.values()), ids=list(VALUE_SETS))
def chart(request: pytest.FixtureRequest) -> Rendered:
    """The chart with each of several sets of values."""
    return rendered(request.param)


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
def test_helm_finds_no_fault(values: Values) -> None:
    run = helm("lint", "--strict", str(CHART), values=values)
    assert (run.returncode, "0 chart(s) failed" in run.stdout) == (0, True), run.stdout


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_manifest(chart: Rendered, version: str) -> None:
    assert len(chart.manifests) >= 6
    for manifest in chart.manifests:
        if manifest["apiVersion"] != WITHOUT_SCHEMA:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_that_kubernetes_would_refuse_is_found() -> None:
    broken: Any = deepcopy(rendered().only("Deployment", "talk-avatar"))
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["grpc"]["path"] = "/"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES[-1], strict=True)


def test_names_are_unique_and_belong_to_the_release(chart: Rendered) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in chart.manifests]
    assert len(set(names)) == len(names)
    assert {name for _, name in names if not name.startswith("talk-avatar")} == set()


def test_the_service_takes_every_variable_that_it_is_given(chart: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    env = chart.env("service")
    env |= {"OPENAI_API_KEY": "k", "ELEVENLABS_API_KEY": "k"}
    assert {name for name in env if name.startswith(VARIABLES)} - setting_names() == set()
    for name, value in env.items():
        monkeypatch.setenv(name, "redis://cache:6379/0" if value == "(source)" and "REDIS" in name else value)
    settings = Settings.load(env_file=None)
    settings.require_vendors()
    settings.access.require_closed(settings.server.listen)
    assert settings.server.listen == "0.0.0.0:50051"
    assert settings.server.metrics_listen == "0.0.0.0:9464"
    assert settings.server.log_format == "json"


def test_everything_that_may_be_set_arrives() -> None:
    env = rendered(EVERYTHING).env("service")
    assert env["AVATAR_SESSIONS_PER_TENANT"] == "5"
    assert env["AVATAR_RESUME_S"] == "300"
    assert env["AVATAR_UPLOAD_BYTES"] == "400000000"
    assert env["AVATAR_OPENAI_TEMPERATURE"] == "0.25"
    assert env["AVATAR_REFLECTION"] == "false"
    assert env["AVATAR_AVATARS"] == "/srv/avatars"
    assert env["AVATAR_DEFAULT_AVATAR"] == "ada"
    assert env["AVATAR_STORE"] == "/srv/uploads"
    assert env["AVATAR_TRUSTED_PROXIES"] == "spiffe://mesh.local/gateway,10.0.0.1"
    assert env["AVATAR_TLS_CLIENT_CA"] == "/etc/avatar/tls/ca.crt"
    assert env["AVATAR_JWKS"] == "https://id.example/keys"
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.monitoring:4317"
    triton = rendered(EVERYTHING).env("triton")
    assert triton["MUSETALK_MODEL_DIR"] == "/srv/weights"
    assert triton["MUSETALK_AVATARS_DIR"] == "/srv/avatars:/srv/uploads"


def test_secrets_come_from_secrets_alone(chart: Rendered) -> None:
    service = chart.container("service")
    assert service["envFrom"] == [{"secretRef": {"name": "avatar-vendors"}}]
    words = ("API_KEY", "PASSWORD", "TOKEN", "HEADERS")
    assert [name for name in chart.env("service") if name.endswith(words)] == []
    assert chart.of("Secret") == []


@pytest.mark.parametrize("component", ["service", "triton", "redis"])
def test_no_container_can_do_more_than_it_must(component: str) -> None:
    chart = rendered(EVERYTHING)
    pod, container = chart.pod(component)["spec"], chart.container(component)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"]["memory"]
    assert container["resources"]["limits"]["memory"]
    accounts = {each["metadata"]["name"] for each in chart.of("ServiceAccount")}
    assert pod["serviceAccountName"] in accounts
    assert {chart.pod(each)["spec"]["serviceAccountName"] for each in ("service", "triton", "redis")} == accounts


def test_the_kubelet_asks_the_plain_port_for_the_names_that_it_serves(chart: Rendered) -> None:
    service = chart.container("service")
    port = int(chart.env("service")["AVATAR_HEALTH_LISTEN"].rpartition(":")[2])
    probes = {name: service[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} == {port}
    names = {name: probe["service"] for name, probe in probes.items()}
    assert names == {"startup": SERVICE, "readiness": SERVICE, "liveness": LIVENESS}
    assert port in [each["containerPort"] for each in service["ports"]]
    startup = service["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300


@pytest.mark.parametrize("values", [{}, {"service": {"preStopS": 30, "stopGraceS": 600}}])
def test_a_pod_is_given_the_time_that_its_stop_takes(values: Values) -> None:
    chart = rendered(values)
    sleep_s = chart.container("service")["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace_s = float(chart.env("service")["AVATAR_STOP_GRACE_S"])
    assert chart.pod("service")["spec"]["terminationGracePeriodSeconds"] >= sleep_s + grace_s + 5
    triton = chart.container("triton")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert chart.pod("triton")["spec"]["terminationGracePeriodSeconds"] > triton + 30


def test_a_rollout_keeps_every_pod_and_is_not_given_up_while_triton_starts() -> None:
    chart = rendered({"triton": {"startS": 1_200}})
    spec = chart.only("Deployment", "talk-avatar")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": "10%", "maxUnavailable": 0}
    probe = chart.container("service")["startupProbe"]
    start_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert spec["progressDeadlineSeconds"] > start_s > float(chart.env("service")["AVATAR_TRITON_START_S"]) == 1_200
    many = rendered({"service": {"maxSurge": 4}}).only("Deployment", "talk-avatar")["spec"]
    assert many["strategy"]["rollingUpdate"]["maxSurge"] == 4


def test_redis_answers_other_pods_without_a_password_whatever_its_image_says() -> None:
    args = rendered().container("redis")["args"]
    assert args[args.index("--protected-mode") + 1] == "no"


def test_every_selector_finds_pods_and_every_named_port_is_theirs(chart: Rendered) -> None:
    pods = [each["spec"]["template"] for each in chart.of("Deployment")]
    for service in chart.of("Service"):
        found = [pod for pod in pods if selects({"matchLabels": service["spec"]["selector"]}, labels(pod))]
        assert len(found) == 1, service["metadata"]["name"]
        ports = {each["name"] for each in found[0]["spec"]["containers"][0]["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for each in chart.of(kind):
            assert sum(selects(each["spec"][path], labels(pod)) for pod in pods) == 1
    for deployment in chart.of("Deployment"):
        assert selects(deployment["spec"]["selector"], labels(deployment["spec"]["template"]))


def labels(pod: Manifest) -> dict[str, str]:
    return pod["metadata"]["labels"]  # type: ignore[no-any-return]  # a manifest is as YAML has it


def test_every_volume_is_mounted_and_every_mount_is_a_volume(chart: Rendered) -> None:
    for deployment in chart.of("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        mounts = [each["name"] for each in pod["containers"][0]["volumeMounts"]]
        assert sorted(mounts) == sorted(each["name"] for each in pod["volumes"])


def test_tritons_metrics_can_be_read_from_outside_of_its_pod_and_its_http_port_cannot() -> None:
    triton = rendered().container("triton")
    given = dict(arg.removeprefix("--").split("=", 1) for arg in triton["args"] if "=" in arg)
    assert given["http-address"] == "127.0.0.1"
    assert given["metrics-address"] == "0.0.0.0"  # Triton's default is the address of HTTP
    ports = {each["name"]: str(each["containerPort"]) for each in triton["ports"]}
    assert ports == {"grpc": given["grpc-port"], "metrics": given["metrics-port"]}


def test_uploads_need_a_volume_that_both_share_and_are_off_without() -> None:
    off, on = rendered(), rendered({"uploads": {"enabled": True}})
    assert "--load-model=prepare" not in off.container("triton")["args"]
    assert "--load-model=prepare" in on.container("triton")["args"]
    claim = on.only("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    mounts: dict[str, Any] = {}
    for component in ("service", "triton"):
        volumes = {each["name"]: each for each in on.pod(component)["spec"]["volumes"]}
        assert volumes["uploads"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        mounts |= {component: {each["name"]: each for each in on.container(component)["volumeMounts"]}["uploads"]}
    assert mounts["service"]["mountPath"] == mounts["triton"]["mountPath"] == on.env("service")["AVATAR_STORE"]
    assert (mounts["service"]["readOnly"], mounts["triton"]["readOnly"]) == (False, True)


def test_pods_are_scaled_by_their_sessions() -> None:
    chart = rendered(EVERYTHING)
    scaler = chart.only("HorizontalPodAutoscaler")["spec"]
    (metric,) = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == "avatar_sessions_active"
    assert int(metric["pods"]["target"]["averageValue"]) < int(chart.env("service")["AVATAR_MAX_SESSIONS"])
    deployment = chart.only("Deployment", scaler["scaleTargetRef"]["name"])
    assert "replicas" not in deployment["spec"]  # it would undo what the scaler has set, with each upgrade
    assert "replicas" in rendered().only("Deployment", "talk-avatar")["spec"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"service": {"maxsessions": 3}}, "maxsessions"),
        ({"service": {"maxSessions": 0}}, "/service/maxSessions"),
        ({"service": {"settings": {"OPENAI_API_KEY": "sk-1"}}}, "OPENAI_API_KEY"),
        ({"service": {"settings": {"REDIS": "x"}}}, "REDIS"),
        ({"mesh": "consul"}, "/mesh"),
        ({"redis": {"mode": "external"}}, "redis.external.existingSecret"),
        ({"triton": {"enabled": False}}, "triton.address"),
        ({"access": {"apiKeys": {"existingSecret": ""}}}, "access.open"),
        ({"access": {"jwt": {"jwks": "https://a/b"}}}, "issuer and audience"),
        ({"access": {"trustedProxies": ["spiffe://a/b"]}}, "access.trustedProxies: spiffe://a/b is a name"),
        ({"tls": {"clientCA": "ca.crt"}}, "tls.existingSecret"),
        ({"service": {"settings": {"AVATAR_LISTEN": "0.0.0.0:1"}}}, "AVATAR_LISTEN is set twice"),
        ({"service": {"env": [{"name": "AVATAR_STOP_GRACE_S", "value": "1"}]}}, "AVATAR_STOP_GRACE_S is set twice"),
        ({"service": {"maxSurge": 0}}, "/service/maxSurge"),
        ({"autoscaling": {"enabled": True, "sessionsPerPod": 100}}, "autoscaling.sessionsPerPod"),
        ({"autoscaling": {"enabled": True, "minReplicas": 30}}, "autoscaling.minReplicas"),
    ],
)
def test_values_that_cannot_work_are_refused_by_their_name(values: Values, told: str) -> None:
    run = helm("template", "talk", str(CHART), values=values)
    assert run.returncode != 0
    assert told in run.stderr


def test_an_installation_tells_which_secrets_it_waits_for() -> None:
    run = helm("install", "talk", str(CHART), "--dry-run=client", "--namespace", "avatars")
    _, _, notes = run.stdout.partition("NOTES:")
    for secret in ("avatar-vendors", "avatar-api-keys"):
        assert f"kubectl -n avatars create secret generic {secret}" in notes
    assert "WARNING" not in notes
    assert '--text "Hello" --api-key' in notes  # without one the call is refused
    secured = helm("install", "talk", str(CHART), "--dry-run=client", values=EVERYTHING).stdout.partition("NOTES:")[2]
    assert "--from-file=tls.crt --from-file=tls.key --from-file=ca.crt" in secured
    assert "--ca ca.crt --cert client.crt --key client.key" in secured
    opened = helm("install", "talk", str(CHART), "--dry-run=client", values=VALUE_SETS["small"])
    assert opened.stdout.partition("NOTES:")[2].count("WARNING") == 2  # anybody may call; sessions end with their pod


def test_the_chart_is_of_this_release_and_its_documentation_names_real_values() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    image = rendered().container("service")["image"]
    assert image == f"avatar-service:{version}"
    assert not image.endswith(":latest")
    assert (CHART / "files/alerts.yaml").resolve() == ROOT / "deploy/observability/alerts.yaml"
    assert Path(CHART / "files/dashboard.json").resolve().is_file()
