"""The whole system on this machine: sandbox and Triton as children, the service in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.engines.wiring import open_engines
from avatar_service.errors import StartupError
from avatar_service.local.child_process import ChildFailed
from avatar_service.local.sandbox import SandboxAddress, running_sandbox
from avatar_service.local.supervisor import supervised_triton
from avatar_service.local.triton import TritonServerSettings
from avatar_service.local.triton_files import require_installed
from avatar_service.rpc.exporting import exported
from avatar_service.rpc.health_port import health_served
from avatar_service.rpc.monitoring import Readiness, monitored
from avatar_service.rpc.server import require_free, running_server
from avatar_service.settings import Settings

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class System:
    """Addresses of the running parts; `sandbox` is None with real vendors, `monitoring` empty without metrics."""

    service: str
    monitoring: str
    triton_http: str
    sandbox: SandboxAddress | None


@asynccontextmanager
async def running_system(
    settings: Settings, tell: Tell, *, sandbox: bool = True, speech_rate: float | None = None
) -> AsyncIterator[System]:
    """Start everything, say so part by part, and stop all of it at the end. Raises StartupError."""
    catalogue = Catalogue.of(settings.server, settings.preparation)
    readiness = Readiness()
    require_free(settings.server.listen)
    require_installed()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(exported(settings.tracing))
        monitoring = await stack.enter_async_context(monitored(settings.server.metrics_listen, readiness))
        await stack.enter_async_context(health_served(settings.server.health_listen, readiness))
        try:
            vendors = None
            if sandbox:
                tell("starting the sandbox: speech to text, chat and speech on this machine")
                vendors = await stack.enter_async_context(running_sandbox(*_options(speech_rate)))
                settings = _with_sandbox(settings, vendors)
            else:
                settings.require_vendors()
            tell("starting Triton: lip-sync")
            launch = TritonServerSettings(avatars_dirs=(settings.server.avatars, settings.preparation.folder))
            triton = (await stack.enter_async_context(supervised_triton(launch))).server
        except ChildFailed as error:
            raise StartupError(str(error)) from error
        address = settings.triton.model_copy(update={"address": triton.grpc_address})
        settings = replace(settings, triton=address)
        engines = await stack.enter_async_context(open_engines(settings, catalogue))
        service = await stack.enter_async_context(running_server(settings, engines, catalogue, readiness))
        yield System(service, monitoring, triton.http_address, vendors)


def _options(speech_rate: float | None) -> tuple[str, ...]:
    return ("--speech-rate", f"{speech_rate:g}") if speech_rate else ()


def _with_sandbox(settings: Settings, sandbox: SandboxAddress) -> Settings:
    """Vendors' keys and addresses replaced by the sandbox's; their models keep their names, which it knows."""
    key = SecretStr(sandbox.key)
    return replace(
        settings.without_second_engines(),
        openai=settings.openai.model_copy(
            update={"api_key": key, "base_url": sandbox.openai_base_url, "temperature": 0.0}
        ),
        elevenlabs=settings.elevenlabs.model_copy(update={"api_key": key, "base_url": sandbox.elevenlabs_base_url}),
    )
