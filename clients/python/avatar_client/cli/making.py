"""`avatar-client create-avatar` and `delete-avatar`: avatars made of videos and pictures."""

import uuid
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from avatar_client.cli.access import client_of
from avatar_client.cli.options import Json, Server, errors, output, print_json, run
from avatar_client.client import ADDRESS
from avatar_client.facts import Avatar

CREATE_EXAMPLE = (
    "[bold]Example[/bold]\n\navatar-client create-avatar me.mp4 --id me --wait\n\n"
    'avatar-client talk --avatar me --text "Who are you?" --out answer.mp4'
)
DELETE_EXAMPLE = "[bold]Example[/bold]\n\navatar-client delete-avatar me"


def create_avatar(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="MP4, PNG or JPEG that shows a face.")],
    avatar_id: Annotated[str, typer.Option("--id", metavar="ID", help="Its id; without it, the server chooses.")] = "",
    name: Annotated[str, typer.Option(help="Its name for people; without it, the id.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Also where the server has a demonstration model, made for drawn faces.")
    ] = False,
    smooth: Annotated[bool, typer.Option("--smooth", help="Smooth the face's box over time.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it can be used.")] = False,
    server: Server = ADDRESS,
    as_json: Json = False,
) -> None:
    """Make an avatar of a video or a picture.

    Ends when the file is uploaded; the server prepares on, and `avatar-client avatars` tells how far it is. With
    --wait, Ctrl-C while it is prepared leaves it to the server.
    """
    avatar = run(_create(server, file, avatar_id, name, force=force, smooth=smooth, wait=wait))
    if as_json:
        print_json(avatar)
    elif avatar.state == "READY":
        output.print(f"{avatar.name} is ready: {avatar.width} x {avatar.height}, {avatar.tier}")
        report = avatar.preparation_report
        if report and report.dropped_frame_count:
            lost = f"{report.dropped_frame_count} of {report.source_frame_count}"
            output.print(f"no face was found in {lost} frames; they are left out")
    else:
        output.print(f"{avatar.name} is being prepared")


def delete_avatar(
    avatar: Annotated[str, typer.Argument(metavar="ID", help="The avatar to delete.")],
    missing_ok: Annotated[bool, typer.Option("--missing-ok", help="Succeed if there is none.")] = False,
    server: Server = ADDRESS,
) -> None:
    """Delete an avatar that was uploaded; one that is being prepared is cancelled. Sessions that use it go on."""
    run(_delete(server, avatar, missing_ok))
    output.print(f"deleted {avatar}")


async def _create(
    server: str, file: Path, avatar_id: str, name: str, *, force: bool, smooth: bool, wait: bool
) -> Avatar:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    async with client_of(server) as client:
        with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
            task = progress.add_task("uploading", total=None)
            avatar = await client.create_avatar(
                file,
                avatar_id=avatar_id,
                display_name=name,
                request_id=str(uuid.uuid4()),
                force=force,
                smooth_boxes=smooth,
            )
            if wait:
                async for state in client.preparation(avatar.name):
                    avatar = state
                    progress.update(task, description="preparing", total=100, completed=avatar.progress_percent)
            return avatar


async def _delete(server: str, avatar: str, missing_ok: bool) -> None:
    async with client_of(server) as client:
        await client.delete_avatar(avatar, allow_missing=missing_ok)
