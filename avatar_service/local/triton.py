"""Triton on this machine: the server of the ``nvidia-pytriton`` wheel with our models, as our child process.

Owns the process group, a folder of symlinks, and every shared memory region whose name begins with its prefix. A run
that was killed leaves the last two; the next start removes them.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import secrets
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from avatar_service.errors import StartupError
from avatar_service.local.child_process import ChildCommand, ChildFailed, ChildProcess

MODEL, PREPARE = "musetalk", "prepare"
PROJECT = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")
PREFIX = "avatar-triton-"
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
        self._models = [name for name in settings.models if (settings.model_repository / name).is_dir()]

    async def __aenter__(self) -> Self:
        _remove_leftovers()
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

    async def wait_exit(self) -> int:
        """Wait until the server ends by itself; returns its exit code."""
        return await self._process.wait_exit() if self._process else 0

    async def stop(self) -> None:
        """Stop the server and remove what it leaves: processes, shared memory, symlinks. Safe to repeat."""
        try:
            if self._process is not None:
                await self._process.stop()
        finally:
            _remove(self._name)

    async def _start(self) -> None:
        wheel = _find_wheel()
        backends = _link_backend(wheel, self._folder)
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
            await process.wait_ready((lambda: probe(self.grpc_address)) if probe else (lambda: self._ready(http)))

    async def _ready(self, http: aiohttp.ClientSession) -> bool:
        """Whether every model is loaded, and the one that renders does so."""
        if PREPARE in self._models and not await _is_loaded(http, self.http_address, PREPARE):
            return False
        return MODEL not in self._models or await _answers(http, self.http_address, self._avatar())

    def _arguments(self, backends: Path, ports: tuple[int, int, int]) -> list[str]:
        grpc, http, metrics = ports
        return [
            f"--model-repository={self._settings.model_repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",  # a model whose process has died is mended by loading it again
            *(f"--load-model={name}" for name in self._models),
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
            "PATH": _joined(str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)),
            "PYTHONPATH": _joined(_inference_root(), os.environ.get("PYTHONPATH")),
            "LD_LIBRARY_PATH": _joined(_libpython_folder(), os.environ.get("LD_LIBRARY_PATH")),
        }
        if self._settings.model_dir:
            environment["MUSETALK_MODEL_DIR"] = str(self._settings.model_dir)
        if self._settings.avatars_dirs:
            environment["MUSETALK_AVATARS_DIR"] = ":".join(map(str, self._settings.avatars_dirs))
        return environment

    def _avatar(self) -> str:
        """Any avatar of the store, as ``id@sha256``; empty if there is none."""
        for folder in self._settings.avatars_dirs or (Path(_inference_root()) / "inference" / "assets" / "avatars",):
            for path in sorted(folder.glob("*/avatar.json")):
                with contextlib.suppress(OSError, ValueError, KeyError):
                    info = json.loads(path.read_text())
                    return f"{info['id']}@{info['sha256']}"
        return ""


def require_installed() -> None:
    """Raise StartupError unless Triton and the model can be started with this Python."""
    _find_wheel()
    _libpython_folder()
    _inference_root()


def _reason(log: list[str]) -> str:
    """The model's own reason for not loading, out of Triton's last lines; empty if there is none."""
    for line in reversed(log):
        if match := _NOT_LOADED.search(line):
            return match["reason"].strip(" ;|")
    return ""


async def _is_loaded(http: aiohttp.ClientSession, address: str, model: str) -> bool:
    """Whether Triton says that a model is ready; right after its start, that is so."""
    try:
        async with http.get(f"http://{address}/v2/models/{model}/ready") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _answers(http: aiohttp.ClientSession, address: str, avatar: str) -> bool:
    """Whether the model renders one frame of this avatar; without one, whether it refuses a request by itself.

    Triton's own readiness stays true when the model's process is dead. Raises StartupError if the model cannot use the
    avatar.
    """
    span = 16_000 + 640 + 3_840
    inputs: dict[str, tuple[str, list[int] | list[float] | list[str]]] = {
        "AUDIO": ("INT16", [0] * span),
        "AUDIO_START": ("INT64", [0]),
        "AVATAR": ("BYTES", [avatar]),
        "FRAME_INDEX": ("INT32", [0]),
        "FRAME_START": ("INT32", [16_000]),
        "MOUTH_WEIGHT": ("FP32", [1.0]),
        "MEL_MAX": ("FP32", [0.5]),
    }
    body = {
        "inputs": [
            {"name": name, "datatype": kind, "shape": [1, len(data)], "data": data}
            for name, (kind, data) in inputs.items()
        ],
        "outputs": [{"name": "RENDERED"}],
    }
    try:
        async with http.post(f"http://{address}/v2/models/{MODEL}/infer", json=body) as response:
            if response.status == 200:
                return True
            # Triton names no type for its errors, and aiohttp would refuse to read them.
            error = str((await response.json(content_type=None)).get("error", ""))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
    if avatar and "AVATAR:" in error:
        raise StartupError(
            f"Triton's model runs but cannot render {avatar.partition('@')[0]!r}: {error}; AVATAR_AVATARS names the "
            "folder of avatars, `avatar-service prepare FILE --weights FOLDER --out AVATARS/ID` puts one there"
        )
    return "AVATAR:" in error


def _find_wheel() -> Path:
    """The ``tritonserver`` folder of the nvidia-pytriton wheel, found without importing it."""
    spec = importlib.util.find_spec("pytriton")
    folder = Path(spec.origin).parent / "tritonserver" if spec and spec.origin else None
    if folder is None or not (folder / "bin" / "tritonserver").is_file():
        raise StartupError("Triton's server is not installed; run: pip install 'avatar-service[inference]'")
    return folder


def _link_backend(wheel: Path, folder: Path) -> Path:
    """A backend directory for this Python, of symlinks: the wheel keeps each version's stub in a folder of its own."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise StartupError(f"Triton has no Python backend for Python {version}; use 3.11 or 3.12")
    backend = folder / "python"
    backend.mkdir(parents=True, mode=0o700)
    for source in (stub, *(wheel / "backends" / "python").glob("*triton_python*")):
        (backend / source.name).symlink_to(source)
    return folder


def _libpython_folder() -> str:
    """Where this Python's shared library lies, which the stub needs; empty if the loader finds it by itself."""
    name = (
        sysconfig.get_config_var("INSTSONAME") or f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    )
    for folder in (sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"):
        if folder and (Path(folder) / name).is_file():
            return str(folder)
    try:
        ctypes.CDLL(name)
    except OSError:
        package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        raise StartupError(
            f"{name} is missing, Triton's Python backend needs it; run: apt-get install {package}"
        ) from None
    return ""


def _inference_root() -> str:
    """The folder to import ``inference`` from; the service itself never does."""
    spec = importlib.util.find_spec("inference")
    if spec is None or spec.origin is None:
        raise StartupError("the package inference is not installed; run: pip install 'avatar-service[inference]'")
    return str(Path(spec.origin).parents[1])


def _joined(*paths: str | None) -> str:
    """A search path of those that are not empty; an empty entry would mean the working directory."""
    return os.pathsep.join(path for path in paths if path)


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


def _remove_leftovers() -> None:
    """Remove what runs of processes that are gone have left."""
    names = {path.name for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())) for path in folder.glob(f"{PREFIX}*")}
    for name in names:
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            _remove(f"{PREFIX}{pid}-")


def _remove(prefix: str) -> None:
    """Remove our shared memory regions and symlink folders whose names begin so."""
    for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        for path in folder.glob(f"{prefix}*"):
            with contextlib.suppress(OSError):  # another user's, or gone meanwhile
                shutil.rmtree(path) if path.is_dir() else path.unlink()
