"""The subcommands of `avatar-service`, joined."""

import sys

import typer

from avatar_service.cli.demo import demo
from avatar_service.cli.doctor import doctor
from avatar_service.cli.key import key
from avatar_service.cli.prepare import prepare
from avatar_service.cli.sandbox import sandbox
from avatar_service.cli.serve import serve
from avatar_service.cli.triton import triton
from avatar_service.cli.up import up

app = typer.Typer(
    help="A talking avatar behind one gRPC stream.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
for command in (up, serve, triton, sandbox, demo, prepare, key, doctor):
    app.command()(command)


def main() -> None:
    """Run the command line; Ctrl-C before a command has begun ends it without a word."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
