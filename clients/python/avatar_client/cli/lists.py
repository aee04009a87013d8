"""`avatar-client avatars`, `voices` and `info`: what a server has."""

from rich import box
from rich.table import Table

from avatar_client.cli.access import client_of
from avatar_client.cli.options import Json, Server, output, print_json, run
from avatar_client.client import ADDRESS
from avatar_client.facts import Avatar, ServerInfo, Voice

AVATARS_EXAMPLE = "[bold]Example[/bold]\n\navatar-client avatars --json | jq -r .name"
VOICES_EXAMPLE = "[bold]Example[/bold]\n\navatar-client voices --server 127.0.0.1:50051"
INFO_EXAMPLE = "[bold]Example[/bold]\n\navatar-client info --json | jq .limits"


def avatars(server: Server = ADDRESS, as_json: Json = False) -> None:
    """List the avatars that can be talked to."""
    found = run(_avatars(server))
    if as_json:
        for avatar in found:
            print_json(avatar)
        return
    table = _table("avatar", "name", "state", "size", "frames/s", "model", "")
    for avatar in found:
        size = f"{avatar.width} x {avatar.height}" if avatar.width else ""
        rate = f"{float(avatar.frame_rate):g}" if avatar.frame_rate else ""
        notes = "demonstration" if avatar.demonstration else ""
        state = avatar.state.lower() if avatar.state != "PREPARING" else f"preparing, {avatar.progress_percent} %"
        table.add_row(_id(avatar.name), avatar.display_name, state, size, rate, avatar.tier, notes)
    output.print(table)


def voices(server: Server = ADDRESS, as_json: Json = False) -> None:
    """List the voices that an avatar may have."""
    found = run(_voices(server))
    if as_json:
        for voice in found:
            print_json(voice)
        return
    table = _table("voice", "name", "languages", "description", "")
    for voice in found:
        notes = "demonstration" if voice.demonstration else ""
        table.add_row(_id(voice.name), voice.display_name, ", ".join(voice.language_codes), voice.description, notes)
    output.print(table)


def info(server: Server = ADDRESS, as_json: Json = False) -> None:
    """Tell what the server offers: formats, models, limits."""
    found = run(_info(server))
    if as_json:
        print_json(found)
        return
    output.print(_facts(found))
    table = _table("stage", "model", "vendor", "version", "")
    for model in found.models:
        notes = "demonstration" if model.demonstration else ""
        table.add_row(model.stage.lower(), model.name, model.vendor, model.version, notes)
    output.print(table)


def _facts(found: ServerInfo) -> Table:
    limits = found.limits
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("version", f"{found.version} ({found.api_version})")
    facts.add_row("default avatar, voice", f"{_id(found.default_avatar)}, {_id(found.default_voice)}")
    facts.add_row("takes audio as", ", ".join(found.input_audio_encodings))
    facts.add_row("gives audio as", ", ".join(found.output_audio_encodings))
    facts.add_row("gives frames as", ", ".join(found.frame_encodings))
    facts.add_row("frames a second", ", ".join(f"{float(rate):g}" for rate in found.frame_rates))
    facts.add_row("longest text", f"{limits.max_text_characters:,} characters" if limits.max_text_characters else "any")
    facts.add_row("longest utterance", f"{limits.max_utterance_s:g} s" if limits.max_utterance_s else "any")
    facts.add_row("features", ", ".join(found.features) or "none")
    return facts


async def _avatars(server: str) -> list[Avatar]:
    async with client_of(server) as client:
        return [avatar async for avatar in client.list_avatars()]


async def _voices(server: str) -> list[Voice]:
    async with client_of(server) as client:
        return [voice async for voice in client.list_voices()]


async def _info(server: str) -> ServerInfo:
    async with client_of(server) as client:
        return await client.get_server_info()


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(headings[0], no_wrap=True)  # a name that is typed again
    for heading in headings[1:]:
        table.add_column(heading, overflow="fold")
    return table


def _id(name: str) -> str:
    """What `--avatar` and `--voice` take: the name without its collection."""
    return name.rpartition("/")[2]
