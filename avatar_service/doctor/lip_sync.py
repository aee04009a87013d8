"""Triton: reachable, serving the model, and really rendering."""

from collections.abc import Sequence

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.doctor.report import Finding, failed, ok, warning
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, StartupError
from avatar_service.settings import ServerSettings, TritonSettings

START = "start one with `avatar-service triton`, or set AVATAR_TRITON_ADDRESS"
SLOW_S = 0.5
"""A frame of silence that takes longer is too slow for talking in real time."""


async def triton(settings: TritonSettings, server: ServerSettings, deadline_s: float) -> Sequence[Finding]:
    """Triton renders a frame of the default avatar."""
    hurried = settings.model_copy(update={"timeout_s": min(settings.timeout_s, deadline_s)})
    async with TritonLipSync(hurried) as lip_sync:
        try:
            if not await lip_sync.ready():
                return [
                    failed("triton", f"no Triton with model {settings.model!r} answers at {settings.address}", START)
                ]
        except StartupError as error:
            return [failed("triton", str(error), "serve model_repository of this release")]
        found = ok("triton", f"serves {settings.model!r} at {settings.address}")
        try:
            key = Catalogue.load(server.avatars, server.default_avatar).get("").key
        except StartupError:
            return [found, warning("rendering", "not tried: there is no avatar", "mend the avatars first")]
        return [found, await _render(lip_sync, key)]


async def _render(lip_sync: TritonLipSync, key: str) -> Finding:
    name = key.partition("@")[0]
    try:
        took_s = await lip_sync.probe(key)
        took_s = min(took_s, await lip_sync.probe(key))  # the first one may have loaded the avatar
    except EngineTimeout:
        return failed("rendering", f"no frame of {name!r} in time", "restart Triton; see its log")
    except EngineRejected as error:
        mend = "give Triton the same avatars (MUSETALK_AVATARS_DIR) as AVATAR_AVATARS, or prepare the avatar again"
        return failed("rendering", f"Triton cannot render {name!r}: {error.reason}", mend)
    except EngineError:
        return failed("rendering", f"Triton fails on a frame of {name!r}", "restart Triton; see its log")
    detail = f"a frame of {name!r} took {took_s * 1000:.0f} ms"
    return warning("rendering", detail, "use a GPU or more cores") if took_s > SLOW_S else ok("rendering", detail)
