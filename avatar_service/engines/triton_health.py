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
LOST_PROBE_S = 1.0
"""Time between probes of a Triton that fails, or is not there yet."""


async def wait_for_model(lip_sync: TritonLipSync, settings: TritonSettings) -> bool:
    """Whether Triton serves the model, as soon as it does or when a start has waited long enough.

    Raises StartupError if the model takes other tensors.
    """
    until_s = clock.now() + settings.start_s
    is_first = True
    while not (ready := await lip_sync.ready()) and clock.now() < until_s:
        if is_first:
            log.info("triton_awaited", address=settings.address, model=settings.model, longest_s=settings.start_s)
        is_first = False
        await asyncio.sleep(LOST_PROBE_S)
    return ready


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
    """Probe Triton whenever it has answered nothing for a while, and soon again where it fails, whoever saw that; the
    metric `avatar_triton_ready` follows."""
    lost = False
    while True:
        await asyncio.sleep(LOST_PROBE_S)
        if not lip_sync.fails and clock.now() - lip_sync.answered_at_s < PROBE_S:
            lost = _told(lost, None)
            continue
        try:
            await lip_sync.probe(avatar_key)
        except EngineError as error:
            lost = _told(lost, error)
        else:
            lost = _told(lost, None)


def _told(lost: bool, error: EngineError | None) -> bool:
    """Log what has changed since Triton was `lost` or not; returns whether it is."""
    if error and not lost:
        log.warning("triton_lost", **error.facts)
    if lost and not error:
        log.info("triton_answers")
    return error is not None
