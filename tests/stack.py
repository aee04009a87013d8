"""Real processes of the service with everything around them, for tests and benchmarks.

async with running_stack(services=2, redis=True) as stack:
    async with AsyncAvatarClient(stack.services[0].address) as client: ...
    stack.services[0].terminate()
    await stack.services[0].start()  # again, at the same addresses

Processes are `avatar-service serve` as it stands. Their vendors are one replaying sandbox, which says the same to
everybody and speaks in tones, and a replaying Triton, which answers with ready pictures: what is measured or broken is
the service. Silero listens as ever. Nothing stays behind: every process group is killed at the end, however that comes.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self

from avatar_service.sandbox.replay import Replay
from tests.fakes.replaying_triton import BYTES
from tests.programs import Program
from tests.redis_server import RedisServer

SERVE = str(Path(sys.executable).with_name("avatar-service"))
HOST = "127.0.0.1"
SANDBOX = ("--speech-rate", "4", "--speech-delay", "0.1")
"""Vendors speak about so fast, and begin after about so long."""
STORY = (
    "The moon is nearer than any star. It turns once while it goes around us, so that one face is all we ever see. "
    "Men walked there for three days, and left their steps in the dust. No wind will ever sweep them away."
)
"""About thirteen seconds of speech: restarts come while it is said."""


def replay_of(text: str, *, transcript: str = "Tell me about the moon.", last_token_s: float = 1.0) -> Replay:
    """A replay whose reply is this text, a word a token, and whose voice is a tone of 1/16 s for each character."""
    first, *others = text.split(" ")
    return Replay(transcript, (first, *(f" {word}" for word in others)), min(0.2, last_token_s), last_token_s, "tone")


class ServiceProcess:
    """One process of the service. Its addresses stay what they were at its first start."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str], options: Sequence[str]) -> None:
        self.address = ""
        self.metrics_url = ""
        """Base URL of `/metrics`, `/healthz` and `/readyz`; empty where AVATAR_METRICS_LISTEN is."""
        self.program = Program(name, (SERVE, "serve", *options), folder, env)
        self._env = env
        self._folder = folder
        self._options = options

    async def start(self) -> None:
        """Start it, for the first time or again, and wait until it serves."""
        listen = {"AVATAR_LISTEN": self.address} if self.address else {}
        metrics = {"AVATAR_METRICS_LISTEN": self.metrics_url.removeprefix("http://")} if self.metrics_url else {}
        env = {**self._env, **listen, **metrics}
        self.program = Program(self.program.name, (SERVE, "serve", *self._options), self._folder, env)
        self.program.start()
        self.address = (await self.program.said(r"^serving on (\S+)$"))[1]
        if env["AVATAR_METRICS_LISTEN"]:
            self.metrics_url = (await self.program.said(r"^metrics at (\S+)/metrics$"))[1]

    def terminate(self) -> None:
        """Ask it to end (SIGTERM): it drains."""
        self.program.terminate()

    def kill(self) -> None:
        """Kill it (SIGKILL). Safe to repeat."""
        self.program.kill()

    def stop(self) -> None:
        """Let it hang (SIGSTOP)."""
        self.program.stop()

    def cont(self) -> None:
        """Let it go on (SIGCONT)."""
        self.program.cont()


class Stack:
    """The processes of one stack. As a context manager they are started and killed; no loop owns them, so that one
    stack can serve all tests of a module: `asyncio.run(stack.start())` and `stack.close()` in a fixture."""

    def __init__(
        self,
        *,
        services: int = 1,
        redis: bool = False,
        env: Mapping[str, str] | None = None,
        serve_options: Sequence[str] = (),
        replay: Replay | None = None,
        sandbox_options: Sequence[str] = SANDBOX,
        frame_bytes: int = BYTES,
        render_s: float = 0.02,
    ) -> None:
        """So many service processes; `env` holds settings of theirs, which come before those that connect them, and
        `serve_options` further arguments. A render request takes `render_s`, and each frame has `frame_bytes`."""
        self.services: list[ServiceProcess] = []
        self.redis = RedisServer() if redis else None
        self.sandbox_url = ""
        self.triton_address = ""
        self._wanted = services
        self._env = env or {}
        self._serve_options = serve_options
        self._replay = replay or replay_of(STORY)
        self._sandbox_options = sandbox_options
        self._triton_options = ("--bytes", f"{frame_bytes}", "--delay", f"{render_s}")
        self._running = ExitStack()
        self.folder = Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix="avatar-stack-")))
        """Logs of the programs, `<name>.log`."""

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
        """Kill every process. Safe to repeat."""
        self._running.close()

    async def start_service(self, env: Mapping[str, str] | None = None) -> ServiceProcess:
        """Start one more process; settings in `env` come before the stack's."""
        (service,) = self._added(1, env or {})
        await service.start()
        return service

    def run(self, program: Program) -> Program:
        """Start a program of the caller's; it is killed with the others."""
        self._running.callback(program.kill)
        program.start()
        return program

    async def start(self) -> None:
        """Start everything and wait until every service serves."""
        if self.redis:
            self._running.enter_context(self.redis)
        replay = self.folder / "replay.json"
        replay.write_text(json.dumps(asdict(self._replay)))
        options = ("--listen", f"{HOST}:0", "--replay", str(replay), *self._sandbox_options)
        sandbox = self._python("sandbox", "avatar_service.cli.sandbox", *options)
        triton = self._python("triton", "tests.fakes.replaying_triton", *self._triton_options)
        self.sandbox_url = (await sandbox.said(r"^sandbox listening on (\S+)$"))[1]
        self.triton_address = (await triton.said(r"^listening on (\S+)$"))[1]
        services = self._added(self._wanted, {})
        async with asyncio.TaskGroup() as tasks:
            for service in services:
                tasks.create_task(service.start())

    def _python(self, name: str, module: str, *arguments: str) -> Program:
        return self.run(Program(name, (sys.executable, "-m", module, *arguments), self.folder))

    def _added(self, count: int, env: Mapping[str, str]) -> list[ServiceProcess]:
        """Service processes that are killed with the others; none is started yet."""
        settings = {
            "OPENAI_API_KEY": "sandbox",
            "OPENAI_BASE_URL": f"{self.sandbox_url}/openai/v1",
            "ELEVENLABS_API_KEY": "sandbox",
            "ELEVENLABS_BASE_URL": f"{self.sandbox_url}/elevenlabs",
            "AVATAR_TRITON_ADDRESS": self.triton_address,
            "AVATAR_LISTEN": f"{HOST}:0",
            "AVATAR_METRICS_LISTEN": f"{HOST}:0",
            "AVATAR_REDIS_URL": self.redis.url if self.redis else "",
            **self._env,
            **env,
        }
        added = []
        for _ in range(count):
            name = f"service-{len(self.services)}"
            service = ServiceProcess(name, self.folder, settings, self._serve_options)
            self._running.callback(service.kill)
            self.services.append(service)
            added.append(service)
        return added


running_stack = Stack
"""Reads better where it is used: `async with running_stack(...) as stack`."""
