"""`avatar-service prepare`: an avatar made of a video or a picture, without a running service."""

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.files import WorkFolder, remove_abandoned
from avatar_service.avatars.maker import DEMONSTRATION_TIER
from avatar_service.avatars.preparing import Made, Preparing, Wanted
from avatar_service.avatars.record import Record
from avatar_service.avatars.source import MEDIA_TYPES, Source, look_at, type_of
from avatar_service.avatars.store import BUNDLE, AvatarStore, exists, store_error
from avatar_service.avatars.workers import ThreadWorkers
from avatar_service.cli.running import run
from avatar_service.engines.base import Box
from avatar_service.engines.triton_preparation import MODEL, TritonFacePreparer
from avatar_service.errors import AvatarError, ClientError, StartupError
from avatar_service.local.triton import TritonServer, TritonServerSettings
from avatar_service.local.triton_models import PREPARE
from avatar_service.log import set_up
from avatar_service.settings import Settings

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""
WORK = ".avatar-prepare-"
"""How the folder is called in which a bundle for --out comes to be, beside its place."""
_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")


def prepare(
    file: Annotated[Path, typer.Argument(help="MP4, PNG or JPEG that shows a face.", exists=True, dir_okay=False)],
    avatar_id: Annotated[
        str, typer.Option("--id", help="Id of the avatar.", show_default="made of the file's name")
    ] = "",
    name: Annotated[str, typer.Option(help="Name for people.", show_default="the id")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write the bundle to, instead of the store.", show_default="AVATAR_STORE"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare a photograph with the demonstration model `nano` all the same.")
    ] = False,
    smooth: Annotated[bool, typer.Option("--smooth", help="Smooth the face's box over time.")] = False,
    box: Annotated[
        str, typer.Option(metavar="X,Y,W,H", help="Where the face is, in pixels; it is not looked for then.")
    ] = "",
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of model weights.", show_default="the bundled demonstration model", exists=True),
    ] = None,
) -> None:
    """Make an avatar of a video or a picture. A service with the same AVATAR_STORE has it at once.

    Starts a Triton of its own for it, or uses the one at AVATAR_TRITON_ADDRESS where that is set. Ctrl-C cancels, and
    leaves nothing behind.

    Example: avatar-service prepare me.mp4 --id me --force

    Then: avatar-client talk --avatar me --text "Who are you?" --out answer.mp4
    """
    wanted = Wanted(avatar_id or _id_of(file), name or avatar_id or _id_of(file), tuple(_boxes(box)), smooth)
    if not _ID.fullmatch(wanted.avatar_id):
        raise typer.BadParameter(
            "must be 1 to 63 lower-case letters, digits and hyphens, beginning with a letter", param_hint="--id"
        )
    if out and out.exists():
        raise typer.BadParameter(f"{out} exists; give a folder that does not", param_hint="--out")
    done = False

    async def work() -> None:
        nonlocal done
        try:
            await _prepare(file, wanted, out, weights, force=force)
        except ClientError as error:
            raise AvatarError(_in_words_of_the_command(str(error), file)) from error
        done = True

    run(work())
    if not done:
        print("stopped; nothing was written")
        raise typer.Exit(INTERRUPTED)


async def _prepare(file: Path, wanted: Wanted, out: Path | None, weights: Path | None, *, force: bool) -> None:
    settings = Settings.load()
    set_up("ERROR", "console")
    source = _source(file, settings)
    catalogue = Catalogue.of(settings.server, settings.preparation)
    if out is None:
        if catalogue.is_bundled(wanted.avatar_id):
            raise exists(wanted.avatar_id)
        AvatarStore(settings.preparation).require_room(wanted.avatar_id)  # before Triton is started for it
    async with AsyncExitStack() as stack:
        workers = stack.enter_context(ThreadWorkers(2, "avatars"))
        address = await stack.enter_async_context(_triton(settings, weights))
        triton = settings.triton.model_copy(update={"address": address})
        faces = await stack.enter_async_context(TritonFacePreparer(triton, settings.preparation, settings.limits))
        if not await faces.ready():
            raise StartupError(f"AVATAR_TRITON_ADDRESS: no Triton with model {MODEL!r} at {address}")
        tier = (await faces.weights()).tier
        if tier == DEMONSTRATION_TIER and not force:
            raise StartupError(
                "the weights are those of the demonstration model `nano`, which was made for drawn faces and does not "
                "do a photograph justice; give --force to prepare one all the same, or --weights for others"
            )
        tell = stack.enter_context(_progress(wanted.avatar_id))

        def make(folder: Path) -> Preparing:
            return Preparing(faces, settings.preparation, workers, folder, tell)

        if out is None:
            made = await _into_store(AvatarStore(settings.preparation), make, source, wanted, tier)
        else:
            made = await _into_folder(out, make, source, wanted)
        tell(100)
    _tell_of(made, source, wanted, tier)


async def _into_store(
    store: AvatarStore, make: Callable[[Path], Preparing], source: Source, wanted: Wanted, tier: str
) -> Made:
    """Prepare an avatar in the store, which lists it meanwhile; what goes wrong takes it off again."""
    store.open()
    store.require_room(wanted.avatar_id)
    work = store.begin()
    try:
        token = work.path.name.rpartition("-")[2]
        record = store.add(Record(token, wanted.avatar_id, wanted.display_name, time.time(), tier))
        try:
            made = await make(work.path / BUNDLE).run(source, wanted)
            if not store.publish(record, made.folder, made.sha256, made.report):
                raise StartupError("the avatar was deleted while it was being prepared")
        except BaseException:
            store.delete(record)
            raise
        return replace(made, folder=store.folder / made.sha256)
    except OSError as error:
        raise store_error(error) from error
    finally:
        work.remove()


async def _into_folder(out: Path, make: Callable[[Path], Preparing], source: Source, wanted: Wanted) -> Made:
    """Prepare a bundle at a place of its own."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(out.parent, WORK)
        work = WorkFolder.create(out.parent / f"{WORK}{secrets.token_hex(4)}")
        try:
            made = await make(work.path / BUNDLE).run(source, wanted)
            made.folder.rename(out)
        finally:
            work.remove()
    except OSError as error:
        raise StartupError(f"{out}: cannot be written ({error.strerror})") from error
    return replace(made, folder=out)


def _source(file: Path, settings: Settings) -> Source:
    try:
        media_type = type_of(file)
        if not media_type:
            raise StartupError(f"{file}: is none of {', '.join(MEDIA_TYPES.values())}")
        return look_at(file, media_type, settings.preparation)
    except OSError as error:
        raise StartupError(f"{file}: cannot be read ({error.strerror})") from error


@asynccontextmanager
async def _triton(settings: Settings, weights: Path | None) -> AsyncIterator[str]:
    """The gRPC address of the Triton that is set, or else of one of our own."""
    if "address" in settings.triton.model_fields_set and weights is None:
        yield settings.triton.address
        return
    Console(stderr=True).print("starting Triton ...")
    async with TritonServer(TritonServerSettings(models=(PREPARE,), model_dir=weights)) as triton:
        yield triton.grpc_address


@contextmanager
def _progress(avatar_id: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"preparing {avatar_id}", total=100)
        yield lambda percent: progress.update(task, completed=percent)


def _tell_of(made: Made, source: Source, wanted: Wanted, tier: str) -> None:
    report = made.report
    frames = report.source_frames - report.dropped_frames
    count = "1 frame" if frames == 1 else f"{frames} frames"
    print(f"avatars/{wanted.avatar_id}: {count} of {source.width} by {source.height}, {tier}")
    if report.interpolated_frames:
        print(
            f"the face was hidden in {report.interpolated_frames} frames for a moment; its place there is interpolated"
        )
    if report.dropped_frames:
        print(f"no face was found in {report.dropped_frames} of {report.source_frames} frames; they are left out")
    print(f"in {made.folder}")


def _id_of(file: Path) -> str:
    """An id made of the file's name."""
    words = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")
    return (words if words[:1].isalpha() else f"avatar-{words}".rstrip("-"))[:63].rstrip("-")


def _boxes(text: str) -> list[Box]:
    if not text:
        return []
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        left = top = width = height = -1
    if min(left, top) < 0 or min(width, height) <= 0:
        raise typer.BadParameter(f"must be X,Y,W,H in whole pixels, not {text!r}", param_hint="--box")
    return [(left, top, left + width, top + height)]


def _in_words_of_the_command(message: str, file: Path) -> str:
    """An error of the contract's fields, told of what was typed."""
    told = (("data:", f"{file}:"), ("config.face_boxes", "--box"), ("config.avatar_id", "--id"))
    for field, option in told:
        message = message.replace(field, option)
    return message
