"""Triton on this machine: the server of the ``nvidia-pytriton`` wheel with our models, as our child process.

Owns the process group, a folder of symlinks, and every shared memory region whose name begins with its prefix. A run
that was killed leaves the last two; the next start removes them.
"""

import contextlib
import json
import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from avatar_service.errors import StartupError
from avatar_service.local.child_process import ChildCommand, ChildFailed, ChildProcess
from avatar_service.local.leftovers import PREFIX, remove, remove_leftovers
from avatar_service.local.stubs import has_ended
from avatar_service.local.triton_files import find_wheel, inference_root, libpython_folder, link_backend, search_path
from avatar_service.local.triton_models import MODEL, PREPARE, State, TritonModels

PROJECT = Path(__file__).resolve().parents[2]
START_SHARED_MEMORY_BYTES = 16 << 20  # of a model instance; a batch of 64 frames needs about 4 MiB, it grows if needed
PROBE_TIMEOUT_S = 5.0
_NOT_LOADED = re.compile(r"^error: .*is at UNAVAILABLE state: Internal: (?:\w+: )?(?P<reason>.+)$")
"""Triton's last line about a model whose `initialize` raised: the error's type and message, in one line."""


@dataclass(frozen=True, slots=True)
class TritonServerSettings:
    """How to start Triton. A port of 0 is chosen freely."""

    model_repository: Path = PROJECT / "model_repository"
    models: tuple[str, ...] = (MODEL, PREPARE)  # to load, of those that the repository has
    model_dir: Path | None = None  # weights; None: those of the installed inference package
    avatars_dirs: tuple[Path, ...] = ()  # empty: the bundled avatars
    host: str = "127.0.0.1"
    grpc_port: int = 0
    http_port: int = 0
    metrics_port: int = 0
    ready_timeout_s: float = 120.0  # the model imports torch and diffusers: 6 s alone, a minute on a busy machine
    stop_timeout_s: float = 5.0
    probe: Callable[[str], Awaitable[bool]] | None = None  # takes the gRPC address; None: a small render over HTTP


class TritonServer:
    """A running Triton: ``async with TritonServer(settings) as triton``. Its addresses are known once it is entered.

    Entering raises StartupError: something is not installed, the model does not load, or it is not ready in time.
    """

    def __init__(self, settings: TritonServerSettings = TritonServerSettings()) -> None:
        self.grpc_address = self.http_address = self.metrics_address = ""
        self._settings = settings
        self._name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = Path(tempfile.gettempdir()) / self._name
        self._process: ChildProcess | None = None
        self.models = tuple(name for name in settings.models if (settings.model_repository / name).is_dir())

    async def __aenter__(self) -> Self:
        remove_leftovers()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Process id of the server; its process group has the same."""
        return self._process.pid if self._process else 0

    @property
    def log(self) -> list[str]:
        """The last lines of the server's output."""
        return self._process.log if self._process else []

    def asked_over(self, http: aiohttp.ClientSession) -> TritonModels:
        """The models of the server, which `http` is used to ask."""
        return TritonModels(http, self.http_address, self._avatar())

    @property
    def has_exited(self) -> bool:
        """Whether the server has ended."""
        return self._process is None or self._process.returncode is not None or has_ended(self.pid)

    async def wait_exit(self) -> int:
        """Wait until the server ends by itself; returns its exit code."""
        return await self._process.wait_exit() if self._process else 0

    async def stop(self) -> None:
        """Stop the server and remove what it leaves: processes, shared memory, symlinks. Safe to repeat."""
        try:
            if self._process is not None:
                await self._process.stop()
        finally:
            remove(self._name)

    async def _start(self) -> None:
        wheel = find_wheel()
        backends = link_backend(wheel, self._folder)
        ports = _free_ports(self._settings)
        self.grpc_address, self.http_address, self.metrics_address = (f"{self._settings.host}:{port}" for port in ports)
        command = ChildCommand(
            name="Triton",
            argv=(str(wheel / "bin" / "tritonserver"), *self._arguments(backends, ports)),
            env=self._environment(),
            ready_timeout_s=self._settings.ready_timeout_s,
            stop_timeout_s=self._settings.stop_timeout_s,
        )
        self._process = ChildProcess(command)
        await self._process.start()
        try:
            await self._wait_ready(self._process)
        except ChildFailed as error:
            if reason := _reason(self._process.log):
                raise StartupError(f"Triton ended while starting: {reason}") from error
            raise

    async def _wait_ready(self, process: ChildProcess) -> None:
        probe = self._settings.probe
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)) as http:
            models = self.asked_over(http)
            await process.wait_ready((lambda: probe(self.grpc_address)) if probe else (lambda: self._ready(models)))

    async def _ready(self, models: TritonModels) -> bool:
        """Whether every model is loaded, and the one that renders does so."""
        if PREPARE in self.models and not await models.is_loaded(PREPARE):
            return False
        return MODEL not in self.models or await models.renders() is State.ANSWERS

    def _arguments(self, backends: Path, ports: tuple[int, int, int]) -> list[str]:
        grpc, http, metrics = ports
        return [
            f"--model-repository={self._settings.model_repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",  # a model whose process has died is mended by loading it again
            *(f"--load-model={name}" for name in self.models),
            "--disable-auto-complete-config",  # else Triton starts the model twice, first to ask for its configuration
            f"--backend-config=python,shm-region-prefix-name={self._name}",
            f"--backend-config=python,shm-default-byte-size={START_SHARED_MEMORY_BYTES}",
            f"--exit-timeout-secs={max(1, int(self._settings.stop_timeout_s))}",
            "--allow-gpu-metrics=false",
            f"--grpc-address={self._settings.host}",
            f"--http-address={self._settings.host}",
            f"--metrics-address={self._settings.host}",
            f"--grpc-port={grpc}",
            f"--http-port={http}",
            f"--metrics-port={metrics}",
        ]

    def _environment(self) -> dict[str, str]:
        """Variables beside our own: where the model's Python finds its library, its packages, its weights."""
        environment = {
            # The stub is an embedded Python: it takes its packages from the first python3 on PATH.
            "PATH": search_path(str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)),
            "PYTHONPATH": search_path(inference_root(), os.environ.get("PYTHONPATH")),
            "LD_LIBRARY_PATH": search_path(libpython_folder(), os.environ.get("LD_LIBRARY_PATH")),
        }
        if self._settings.model_dir:
            environment["MUSETALK_MODEL_DIR"] = str(self._settings.model_dir)
        if self._settings.avatars_dirs:
            environment["MUSETALK_AVATARS_DIR"] = ":".join(map(str, self._settings.avatars_dirs))
        return environment

    def _avatar(self) -> str:
        """Any avatar of the store, as ``id@sha256``; empty if there is none."""
        for folder in self._settings.avatars_dirs or (Path(inference_root()) / "inference" / "assets" / "avatars",):
            for path in sorted(folder.glob("*/avatar.json")):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    info = json.loads(path.read_text())
                    return f"{info['id']}@{info['sha256']}"
        return ""


def _reason(log: list[str]) -> str:
    """The model's own reason for not loading, out of Triton's last lines; empty if there is none."""
    for line in reversed(log):
        if match := _NOT_LOADED.search(line):
            return match["reason"].strip(" ;|")
    return ""


def _free_ports(settings: TritonServerSettings) -> tuple[int, int, int]:
    """The three ports, those of 0 replaced by free ones. Another program may take one before Triton does."""
    with contextlib.ExitStack() as stack:
        ports = []
        for port in (settings.grpc_port, settings.http_port, settings.metrics_port):
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((settings.host, port))
            except OSError as error:
                raise StartupError(f"Triton cannot listen on {settings.host}:{port} ({error.strerror})") from error
            ports.append(listener.getsockname()[1])
    return ports[0], ports[1], ports[2]
