"""Whether Triton really renders; its own readiness stays true when the model's process is dead."""

import asyncio

from avatar_service import clock
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import EngineError, EngineRejected, StartupError
from avatar_service.log import get_logger
from avatar_service.settings import TritonSettings

log = get_logger(__name__)

PROBE_S = 10.0
"""Time without an answer of Triton after which it is probed: a frame in ten seconds costs less than 1 % of a core."""


async def require_rendering(lip_sync: TritonLipSync, settings: TritonSettings, avatar_key: str) -> None:
    """Raise StartupError unless Triton serves the model and renders a frame of this avatar."""
    if not await lip_sync.ready():
        raise StartupError(
            f"AVATAR_TRITON_ADDRESS: no Triton with model {settings.model!r} at {settings.address}; "
            "`avatar-service triton` starts one"
        )
    avatar_id = avatar_key.partition("@")[0]
    try:
        took_s = await lip_sync.probe(avatar_key)
    except EngineRejected as error:
        raise StartupError(
            f"AVATAR_AVATARS: Triton at {settings.address} cannot render avatar {avatar_id!r} ({error.reason}); give "
            "both the same directory, or prepare the avatar again"
        ) from error
    except EngineError as error:
        raise StartupError(
            f"AVATAR_TRITON_ADDRESS: Triton at {settings.address} does not render ({type(error).__name__}); restart it"
        ) from error
    log.info("triton_renders", address=settings.address, duration_ms=round(1000 * took_s))


async def watch(lip_sync: TritonLipSync, avatar_key: str) -> None:
    """Probe Triton whenever it has answered nothing for a while; the metric `avatar_triton_ready` follows."""
    lost = False
    while True:
        await asyncio.sleep(PROBE_S)
        if clock.now() - lip_sync.answered_at_s < PROBE_S:
            lost = False
            continue
        try:
            await lip_sync.probe(avatar_key)
        except EngineError as error:
            if not lost:
                log.warning("triton_lost", error=type(error).__name__)
            lost = True
        else:
            if lost:
                log.info("triton_back")
            lost = False
