"""The command line of the client; one module a command, or a few that are alike."""

import typer

from avatar_client.cli import chat, lists, making, rendering, talk

app = typer.Typer(name="avatar-client", no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
app.command("talk", no_args_is_help=True, epilog=talk.EXAMPLE)(talk.talk)
app.command("chat", epilog=chat.EXAMPLE)(chat.chat)
app.command("speak", no_args_is_help=True, epilog=rendering.SPEAK_EXAMPLE)(rendering.speak)
app.command("animate", no_args_is_help=True, epilog=rendering.ANIMATE_EXAMPLE)(rendering.animate)
app.command("avatars", epilog=lists.AVATARS_EXAMPLE)(lists.avatars)
app.command("create-avatar", no_args_is_help=True, epilog=making.CREATE_EXAMPLE)(making.create_avatar)
app.command("delete-avatar", no_args_is_help=True, epilog=making.DELETE_EXAMPLE)(making.delete_avatar)
app.command("voices", epilog=lists.VOICES_EXAMPLE)(lists.voices)
app.command("info", epilog=lists.INFO_EXAMPLE)(lists.info)


@app.callback()
def avatar_client() -> None:
    """Talk to an avatar service."""


def main() -> None:
    """Run the command line."""
    app()
