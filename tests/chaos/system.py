"""The service as it runs, in this process: real gRPC, the real adapters with the vendors' own libraries, the sandbox in
their vendors' place, a scripted Triton. Limits are scaled down, so that what takes seconds takes tenths.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from avatar.v1 import AvatarServiceStub
from avatar_service import metrics
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.store import AvatarStore
from avatar_service.engines.base import VoiceActivityEngine
from avatar_service.engines.wiring import open_engines
from avatar_service.rpc.server import running_server
from avatar_service.sandbox.app import Sandbox
from avatar_service.sandbox.replay import Replay
from avatar_service.sandbox.settings import SandboxSettings
from avatar_service.settings import (
    ElevenLabsSettings,
    LimitSettings,
    OpenAISettings,
    PreparationSettings,
    SecondElevenLabsSettings,
    SecondOpenAISettings,
    ServerSettings,
    SessionSettings,
    Settings,
    TritonSettings,
)
from tests.fakes.triton_server import Triton, serving_triton
from tests.fakes.voice_activity import FakeVoiceActivity
from tests.service.calls import Call, write_avatars

KEY = "sandbox"
QUESTION = "How far away is the moon?"
REPLY = ("Oh", ".", " Ah", ".")
"""The reply to everything, token by token: two sentences, each of a fifth of a second."""
FIRST_SENTENCE, WHOLE_REPLY = "Oh.", "Oh. Ah."
APOLOGY = "Hm."
ATTEMPTS = 3
STAGE_S = 1.2
LIMITS: Mapping[str, Any] = {
    "connect_s": 0.4,
    "first_output_s": 0.5,
    "between_outputs_s": 0.5,
    "attempts": ATTEMPTS,
    "retry_wait_s": 0.05,
    "call_s": 1.5,
    "stage_s": STAGE_S,
    "breaker_failures": 20,
    "breaker_s": 0.3,
}
"""A tenth and less of the defaults; the ways through the policy are the same."""
TRITON_TIMEOUT_S = 0.4


class MuseTalkAlone(Triton):
    """A scripted Triton that has no model to prepare avatars with."""

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802  # Triton's name
        """The model's tensors, if it is loaded."""
        if request.name != "musetalk":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        return await super().ModelMetadata(request, context)


@dataclass
class System:
    """A running service and everything that it talks to."""

    sandbox: Sandbox
    sandbox_url: str
    triton: Triton
    address: str
    channel: grpc.aio.Channel
    http: aiohttp.ClientSession
    at_rest: set[asyncio.Task[Any]] = field(default_factory=set)

    def converse(self) -> Call:
        """Open a stream."""
        stub: Any = AvatarServiceStub(self.channel)
        return Call(stub.Converse())

    async def requests(self) -> list[dict[str, Any]]:
        """What the sandbox remembers of its last requests, oldest first."""
        async with self.http.get(f"{self.sandbox_url}/sandbox/requests") as answer:
            told: list[dict[str, Any]] = (await answer.json())["requests"]
            return told


@asynccontextmanager
async def running_system(
    folder: Path,
    *,
    triton: Triton | None = None,
    openai_at: str = "",
    elevenlabs_at: str = "",
    second_at: str = "",
    sandbox: Sandbox | None = None,
    voice_activity: VoiceActivityEngine | None = None,
    openai: Mapping[str, Any] | None = None,
    elevenlabs: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    sessions: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
) -> AsyncIterator[System]:
    """Run all of it with these settings beside those above; `openai_at` and `elevenlabs_at` are where the service
    finds the sandbox, `second_at` is where it finds second engines of all kinds."""
    async with AsyncExitStack() as stack:
        sandbox = sandbox or Sandbox(SandboxSettings(max_requests=1_000), script())
        url = await sandbox.start("127.0.0.1", 0)
        stack.push_async_callback(sandbox.aclose)
        await sandbox.loaded()
        triton = triton or MuseTalkAlone()
        triton_address = await stack.enter_async_context(serving_triton(triton))
        settings = _settings(folder, openai_at or url, elevenlabs_at or url, triton_address)
        settings = replace(
            settings,
            openai=settings.openai.model_copy(update=_checked(OpenAISettings, openai)),
            elevenlabs=settings.elevenlabs.model_copy(update=_checked(ElevenLabsSettings, elevenlabs)),
            limits=settings.limits.model_copy(update=_checked(LimitSettings, limits)),
            sessions=SessionSettings.model_validate({"apology": APOLOGY, **(sessions or {})}),
            server=settings.server.model_copy(update=_checked(ServerSettings, server)),
            second_openai=SecondOpenAISettings.model_validate(_account(second_at, "openai/v1")),
            second_elevenlabs=SecondElevenLabsSettings.model_validate(_account(second_at, "elevenlabs")),
        )
        catalogue = Catalogue.load(folder / "avatars", store=AvatarStore(settings.preparation))
        engines = await stack.enter_async_context(open_engines(settings, catalogue))
        engines = replace(engines, voice_activity=voice_activity or FakeVoiceActivity())
        address = await stack.enter_async_context(running_server(settings, engines, catalogue))
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(address, options=[("grpc.http2.bdp_probe", 0)])
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield System(sandbox, url, triton, address, channel, http)


def script() -> Replay:
    """What the sandbox hears and answers."""
    return Replay(QUESTION, REPLY, 0.0, 0.0, speech="tone")


def counted(name: str, **labels: str) -> float:
    """A metric's value; 0 if nothing was counted yet."""
    return metrics.REGISTRY.get_sample_value(f"avatar_{name}", labels) or 0.0


def _settings(folder: Path, openai_at: str, elevenlabs_at: str, triton_address: str) -> Settings:
    if not (folder / "avatars").exists():
        write_avatars(folder / "avatars", "ada")
    return replace(
        Settings.load(env_file=None),
        server=ServerSettings.model_validate(
            {
                "listen": "127.0.0.1:0",
                "metrics_listen": "",
                "stop_grace_s": 0.5,
                "avatars": folder / "avatars",
            }
        ),
        openai=OpenAISettings.model_validate({"api_key": KEY, "base_url": f"{openai_at}/openai/v1"}),
        elevenlabs=ElevenLabsSettings.model_validate({"api_key": KEY, "base_url": f"{elevenlabs_at}/elevenlabs"}),
        triton=TritonSettings.model_validate({"address": triton_address, "timeout_s": TRITON_TIMEOUT_S}),
        limits=LimitSettings.model_validate(dict(LIMITS)),
        preparation=PreparationSettings.model_validate({"store": str(folder / "made")}),
    )


def _account(url: str, path: str) -> dict[str, str]:
    """Key and address of a second engine; nothing where there is none."""
    return {"api_key": KEY, "base_url": f"{url}/{path}"} if url else {}


def _checked(section: type[Any], fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields as the section takes them."""
    checked = section.model_validate(dict(fields or {}))
    return {name: getattr(checked, name) for name in fields or {}}
