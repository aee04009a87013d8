"""The command line of the client; one module a command."""

import typer

from avatar_client.cli.talk import EXAMPLE, talk

app = typer.Typer(name="avatar-client", no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
app.command("talk", no_args_is_help=True, epilog=EXAMPLE)(talk)


@app.callback()
def avatar_client() -> None:
    """Talk to an avatar service."""


def main() -> None:
    """Run the command line."""
    app()
