"""Triton: reachable, serving the model, and really rendering."""

from collections.abc import Sequence

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.doctor.report import Finding, failed, ok, warning
from avatar_service.engines.triton_lipsync import TritonLipSync
from avatar_service.engines.triton_preparation import MODEL, TritonFacePreparer
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, StartupError
from avatar_service.settings import Settings

START = "start one with `avatar-service triton`, or set AVATAR_TRITON_ADDRESS"
SLOW_S = 0.5
"""A frame of silence that takes longer is too slow for talking in real time."""


async def triton(settings: Settings, deadline_s: float) -> Sequence[Finding]:
    """Triton renders a frame of the default avatar, and of one that was uploaded if there is any."""
    address, model = settings.triton.address, settings.triton.model
    hurried = settings.triton.model_copy(update={"timeout_s": min(settings.triton.timeout_s, deadline_s)})
    async with TritonLipSync(hurried) as lip_sync:
        try:
            if not await lip_sync.ready():
                return [failed("triton", f"no Triton with model {model!r} answers at {address}", START)]
            preparing = await _preparing(settings)
        except StartupError as error:
            return [failed("triton", str(error), "serve model_repository of this release")]
        found = [ok("triton", f"serves {model!r} at {address}"), preparing]
        try:
            avatars = Catalogue.of(settings.server, settings.preparation).ready()
        except StartupError:
            return [*found, warning("rendering", "not tried: there is no avatar", "mend the avatars first")]
        tried = avatars[:1] + [avatar for avatar in avatars[1:] if not avatar.public][:1]
        return [*found, *[await _render(lip_sync, avatar.key) for avatar in tried]]


async def _preparing(settings: Settings) -> Finding:
    """Whether avatars can be made; a service without that is sound all the same."""
    async with TritonFacePreparer(settings.triton, settings.preparation, settings.limits) as faces:
        if await faces.ready():
            return ok("preparing", f"avatars can be made; they are kept in {settings.preparation.folder}")
    mend = f"load model {MODEL!r} of model_repository in that Triton, if avatars are to be made"
    return warning("preparing", f"Triton does not serve {MODEL!r}: CreateAvatar is refused", mend)


async def _render(lip_sync: TritonLipSync, key: str) -> Finding:
    name = key.partition("@")[0]
    try:
        took_s = await lip_sync.probe(key)
        took_s = min(took_s, await lip_sync.probe(key))  # the first one may have loaded the avatar
    except EngineTimeout:
        return failed("rendering", f"no frame of {name!r} in time", "restart Triton; see its log")
    except EngineRejected as error:
        mend = (
            "give Triton the same avatars (MUSETALK_AVATARS_DIR, joined by `:`) as AVATAR_AVATARS and AVATAR_STORE, or "
            "prepare the avatar again"
        )
        return failed("rendering", f"Triton cannot render {name!r}: {error.reason}", mend)
    except EngineError:
        return failed("rendering", f"Triton fails on a frame of {name!r}", "restart Triton; see its log")
    detail = f"a frame of {name!r} took {took_s * 1000:.0f} ms"
    return warning("rendering", detail, "use a GPU or more cores") if took_s > SLOW_S else ok("rendering", detail)
