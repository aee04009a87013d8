"""The avatars, as far as the service needs to know them: what clients may ask for.

Those of the operator lie in a read-only folder and are read at start; those that users make come and go in the store.
A tenant has its own, and sees beside them what belongs to nobody: the operator's, and what was made without a tenant.
Another tenant's is not there for it.
The pictures, latents and masks of a bundle are the renderer's to read.
"""

import json
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from avatar_service.avatars.bundle import INFO
from avatar_service.avatars.record import Failure, Record, RecordState, Report
from avatar_service.avatars.store import AvatarStore
from avatar_service.engines.base import Weights
from avatar_service.errors import FailedPrecondition, NotFound, PermissionDenied, StartupError, StoreError
from avatar_service.log import get_logger
from avatar_service.settings import PreparationSettings, ServerSettings

log = get_logger(__name__)

NAMED_IN_ERRORS = 20
"""Avatars that an error lists at most."""
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

OTHER_WEIGHTS = Failure(
    "FAILED_PRECONDITION",
    "PREPARATION_FAILED",
    "it was prepared with other weights than this server has; delete it and make it again",
)
"""Why an avatar cannot be used that its user made before the operator changed the weights."""

SLOWEST, FASTEST = Fraction(10), Fraction(60)
"""Frame rates of an avatar. With fewer frames, the sound of a render request could exceed what one may hold."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """One avatar that can be used. `key` is `id@sha256`, which pins the very bundle that a session began with."""

    avatar_id: str
    display_name: str
    sha256: str
    width: int
    height: int
    fps: Fraction
    loop_length: int
    """Pictures until the loop begins again; forth and back shows the turning ones once."""
    tier: str
    public: bool = True
    """Whether it is the operator's, and so everybody's."""
    created_s: float | None = None
    """When a user made it, in seconds since 1970."""
    report: Report | None = None
    """What became of the frames that a user uploaded."""
    vae_sha256: str = ""
    """The autoencoder that it was prepared with: no other one can render it."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"avatars/{self.avatar_id}"

    @property
    def key(self) -> str:
        """How render requests name it."""
        return f"{self.avatar_id}@{self.sha256}"


@dataclass(frozen=True, slots=True)
class Unready:
    """One avatar that cannot be used: it is being prepared, or that failed."""

    avatar_id: str
    display_name: str
    tier: str
    created_s: float
    progress_percent: int = 0
    failure: Failure | None = None

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"avatars/{self.avatar_id}"


class Catalogue:
    """The operator's avatars, and those of the store. Which are in the store is looked up at every call."""

    def __init__(self, bundled: dict[str, Avatar], default_id: str, store: AvatarStore | None) -> None:
        self._bundled = bundled
        self._default_id = self._chosen_id = default_id
        self._weights: Weights | None = None
        self._store = store
        self._ready: dict[str, Avatar] = {}
        self.progress: dict[str, int] = {}
        """Percent done of what this process prepares, by the token of its record."""

    @classmethod
    def load(cls, directory: Path, default_id: str = "", store: AvatarStore | None = None) -> "Catalogue":
        """Read every bundle's description. Raises StartupError naming what is wrong."""
        if not directory.is_dir():
            raise StartupError(f"AVATAR_AVATARS: no directory {directory}")
        bundled = {path.parent.name: _read(path) for path in sorted(directory.glob(f"*/{INFO}"))}
        catalogue = cls(bundled, default_id, store)
        try:
            ready = [avatar.avatar_id for avatar in catalogue.ready()]
        except StoreError as error:
            raise StartupError(f"AVATAR_STORE: {error}") from error
        if not ready:
            raise StartupError(f"AVATAR_AVATARS: no avatar bundle in {directory}")
        if default_id and default_id not in ready:
            raise StartupError(f"AVATAR_DEFAULT_AVATAR: no avatar {default_id!r}; there are {', '.join(ready)}")
        catalogue._default_id = default_id or ready[0]
        return catalogue

    @classmethod
    def of(cls, server: ServerSettings, preparation: PreparationSettings) -> "Catalogue":
        """The catalogue that these settings tell of. Raises StartupError."""
        return cls.load(server.avatars, server.default_avatar, AvatarStore(preparation))

    def keep_fitting(self, weights: Weights) -> None:
        """Offer only avatars that were prepared with these weights, which the renderer has: it refuses all others.

        Raises StartupError if none is left, or if the default that was set is none of them.
        """
        self._weights = weights
        fitting = {name: avatar for name, avatar in self._bundled.items() if avatar.vae_sha256 == weights.vae_sha256}
        if left_out := sorted(self._bundled.keys() - fitting.keys()):
            log.warning("avatars_left_out", avatars=left_out, reason="prepared with other weights", tier=weights.tier)
        self._bundled = fitting
        ids = [avatar.avatar_id for avatar in self.ready()]
        if not ids:
            raise StartupError(
                f"AVATAR_AVATARS: no avatar was prepared with the weights {weights.tier!r} that Triton serves; "
                "`avatar-service prepare` makes one"
            )
        if self._chosen_id and self._chosen_id not in ids:
            raise StartupError(
                f"AVATAR_DEFAULT_AVATAR: {self._chosen_id!r} was prepared with other weights than {weights.tier!r}, "
                f"which Triton serves; there are {', '.join(ids[:NAMED_IN_ERRORS])}"
            )
        self._default_id = self._default_id if self._default_id in ids else ids[0]

    def get(self, name: str, field: str = "avatar", tenant: str = "") -> Avatar:
        """The avatar to use of a resource name `avatars/{id}` or bare id; empty is the default.

        Raises NotFound, or FailedPrecondition where it cannot be used, naming the field that asked for it.
        """
        avatar = self.find(name, field, tenant)
        if isinstance(avatar, Avatar):
            return avatar
        if avatar.failure:
            words = f"could not be prepared: {avatar.failure.message}"
        else:
            words = f"is being prepared ({avatar.progress_percent} %); ask GetAvatar until its state is READY"
        raise FailedPrecondition(field, f"{avatar.name} {words}", reason="AVATAR_NOT_READY")

    def find(self, name: str, field: str = "avatar", tenant: str = "") -> Avatar | Unready:
        """The avatar of a name in whichever state. Raises NotFound, naming the field."""
        avatar_id = name.removeprefix("avatars/") if name else self._default_id
        if avatar_id in self._bundled:
            return self._bundled[avatar_id]
        if (record := self._record(avatar_id, tenant)) and (avatar := self._of_record(record, tenant)):
            return avatar
        # The same words whether it is another tenant's or not there at all.
        ids = [avatar.avatar_id for avatar in self.all(tenant)]
        there_are = ", ".join(ids[:NAMED_IN_ERRORS]) + (" and more" if len(ids) > NAMED_IN_ERRORS else "")
        raise NotFound(
            field,
            f"no avatar {name[:80]!r}; there are {there_are}",
            reason="AVATAR_NOT_FOUND",
            why=self._why_not_found(avatar_id),
        )

    def all(self, tenant: str = "") -> list[Avatar | Unready]:
        """Every avatar that a tenant sees, the operator's by id, then the store's by age."""
        made = (self._of_record(record, tenant) for record in self._seen(tenant))
        return [*self._bundled.values(), *(avatar for avatar in made if avatar)]

    def ready(self, tenant: str = "") -> list[Avatar]:
        """Every avatar that a tenant can use, the default first."""
        avatars = [avatar for avatar in self.all(tenant) if isinstance(avatar, Avatar)]
        return sorted(avatars, key=lambda avatar: avatar.avatar_id != self._default_id)

    def is_bundled(self, avatar_id: str) -> bool:
        """Whether it is the operator's."""
        return avatar_id in self._bundled

    def deletable(self, name: str, tenant: str = "") -> Record:
        """The record of an avatar that a tenant may delete. Raises NotFound or PermissionDenied."""
        avatar_id = name.removeprefix("avatars/")
        record = None if avatar_id in self._bundled else self._record(avatar_id, tenant)
        is_own = record is not None and record.owner == tenant
        is_default = avatar_id == self._default_id and not (is_own and tenant)
        if avatar_id in self._bundled or is_default or (record and not is_own):
            message = f"{name[:80]!r} is its operator's; only avatars that were uploaded can go"
            raise PermissionDenied("name", message, why="operators")
        if record is None:
            raise NotFound(
                "name",
                f"no avatar {name[:80]!r} that was uploaded",
                reason="AVATAR_NOT_FOUND",
                why=self._why_not_found(avatar_id),
            )
        return record

    def of_record(self, record: Record) -> Avatar | Unready:
        """An avatar of the store, for its owner. Raises NotFound if its bundle is gone."""
        if avatar := self._of_record(record, record.owner):
            return avatar
        raise NotFound("name", f"avatar {record.avatar_id!r} has lost its files", reason="AVATAR_NOT_FOUND")

    def _record(self, avatar_id: str, tenant: str) -> Record | None:
        if not _ID.fullmatch(avatar_id):
            return None
        return next((record for record in self._seen(tenant) if record.avatar_id == avatar_id), None)

    def _seen(self, tenant: str) -> list[Record]:
        """What a tenant sees of the store: its own, and what is nobody's under an id that it has not itself."""
        records = [record for record in self._records() if record.avatar_id not in self._bundled]
        own = {record.avatar_id for record in records if record.owner == tenant}
        return [r for r in records if r.owner == tenant or (not r.owner and r.avatar_id not in own)]

    def _why_not_found(self, avatar_id: str) -> str:
        """For the audit log alone: whether another tenant has an avatar of that id."""
        return "foreign" if any(record.avatar_id == avatar_id for record in self._records()) else ""

    def _records(self) -> list[Record]:
        return self._store.records() if self._store else []

    def _of_record(self, record: Record, tenant: str) -> Avatar | Unready | None:
        """The avatar as a tenant sees it; None if its bundle cannot be read."""
        if record.state is not RecordState.READY:
            return Unready(
                avatar_id=record.avatar_id,
                display_name=record.display_name,
                tier=record.tier,
                created_s=record.created_s,
                progress_percent=self.progress.get(record.token, 0),
                failure=record.failure,
            )
        if record.token not in self._ready:
            assert self._store is not None  # it has the record
            try:
                read = _read_bundle(self._store.bundle(record) / INFO)
            except StartupError as error:
                log.warning("bundle_missing", avatar=record.avatar_id, error=str(error))
                return None
            self._ready[record.token] = replace(read, public=False, created_s=record.created_s, report=record.report)
        avatar = replace(self._ready[record.token], public=record.owner != tenant)
        if self._weights is None or avatar.vae_sha256 == self._weights.vae_sha256:
            return avatar
        return Unready(
            avatar_id=avatar.avatar_id,
            display_name=avatar.display_name,
            tier=avatar.tier,
            created_s=record.created_s,
            failure=OTHER_WEIGHTS,
        )


def _read(path: Path) -> Avatar:
    avatar = _read_bundle(path)
    if avatar.avatar_id != path.parent.name:
        raise StartupError(f"{path}: its id is not its folder's name; prepare it again")
    return avatar


def _read_bundle(path: Path) -> Avatar:
    try:
        described = json.loads(path.read_text())
        frames = len(described["boxes"])
        avatar = Avatar(
            avatar_id=described["id"],
            display_name=described["display_name"],
            sha256=described["sha256"],
            width=int(described["width"]),
            height=int(described["height"]),
            # A number such as 29.97002997 stands for 30000/1001, the largest denominator in use.
            fps=Fraction(str(described["fps"])).limit_denominator(1001),
            loop_length=max(1, 2 * frames - 2) if described["loop"] == "ping-pong" else frames,
            tier=described["tier"],
            vae_sha256=described["vae_sha256"],
        )
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise StartupError(f"{path}: not an avatar bundle ({error!r}); prepare it again") from error
    for wrong, what in (
        (not frames, "it has no pictures"),
        (not SLOWEST <= avatar.fps <= FASTEST, f"its frame rate is not {SLOWEST} to {FASTEST}"),
    ):
        if wrong:
            raise StartupError(f"{path}: {what}; prepare it again")
    return avatar
