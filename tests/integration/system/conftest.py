"""One running system for the tests of this folder: `avatar-service up` as its users start it, every part real."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

SPEECH_RATE = 4.0
"""The sandbox drips speech at four times real time, as a vendor does, so that overlap can be seen."""
START_S = 120.0


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Addresses of the parts, as the command printed them, and its process."""

    pid: int
    service: str
    sandbox: str
    triton: str
    metrics: str

    def scraped(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample as Prometheus would scrape it, by name and labels."""
        with urllib.request.urlopen(self.metrics, timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    def render_requests(self) -> tuple[int, int]:
        """Render requests that Triton counted, and executions of the model behind them."""
        stats = _get(f"{self.triton}/v2/models/musetalk/stats")["model_stats"][0]
        return int(stats["inference_count"]), int(stats["execution_count"])

    def vendor_requests(self, route: str) -> list[dict[str, Any]]:
        """The sandbox's record of requests whose path holds `route`, oldest first."""
        return [entry for entry in _get(f"{self.sandbox}/sandbox/requests")["requests"] if route in entry["route"]]

    def speech(self, text: str, output_format: str = "pcm_16000") -> bytes:
        """`text` spoken by the sandbox's voice, as raw PCM."""
        request = urllib.request.Request(
            f"{self.sandbox}/elevenlabs/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM?output_format={output_format}",
            data=json.dumps({"text": text}).encode(),
            headers={"xi-api-key": "sandbox", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            pcm: bytes = answer.read()
        return pcm


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """`avatar-service up` on a free port, stopped with SIGINT at the end."""
    log = tmp_path_factory.mktemp("system") / "up.log"
    argv = [sys.executable, "-m", "avatar_service", "up", "--listen", "127.0.0.1:0", "--speech-rate", f"{SPEECH_RATE}"]
    with log.open("w") as output, subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield _wait_until_serving(process, log)
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text()


def _wait_until_serving(process: "subprocess.Popen[bytes]", log: Path) -> RunningSystem:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        lines = dict(line.split(maxsplit=2)[::2] for line in log.read_text().splitlines() if len(line.split()) > 2)
        if "serving" in lines:
            address = lines["serving"].split(";")[0]
            return RunningSystem(process.pid, address, lines["sandbox"], lines["Triton"], lines["metrics"])
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(f"not serving within {START_S} s:\n{log.read_text()}")
