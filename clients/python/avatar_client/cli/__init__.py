"""The command line of the client; one module a command, or a few that are alike."""

import typer

from avatar_client.cli import chat, lists, load, making, rendering, talk
from avatar_client.cli.access import with_access

app = typer.Typer(name="avatar-client", no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
app.command("talk", no_args_is_help=True, epilog=talk.EXAMPLE)(with_access(talk.talk))
app.command("chat", epilog=chat.EXAMPLE)(with_access(chat.chat))
app.command("speak", no_args_is_help=True, epilog=rendering.SPEAK_EXAMPLE)(with_access(rendering.speak))
app.command("animate", no_args_is_help=True, epilog=rendering.ANIMATE_EXAMPLE)(with_access(rendering.animate))
app.command("load", no_args_is_help=True, epilog=load.EXAMPLE)(with_access(load.load))
app.command("avatars", epilog=lists.AVATARS_EXAMPLE)(with_access(lists.avatars))
app.command("create-avatar", no_args_is_help=True, epilog=making.CREATE_EXAMPLE)(with_access(making.create_avatar))
app.command("delete-avatar", no_args_is_help=True, epilog=making.DELETE_EXAMPLE)(with_access(making.delete_avatar))
app.command("voices", epilog=lists.VOICES_EXAMPLE)(with_access(lists.voices))
app.command("info", epilog=lists.INFO_EXAMPLE)(with_access(lists.info))


@app.callback()
def avatar_client() -> None:
    """Talk to an avatar service."""


def main() -> None:
    """Run the command line."""
    app()
