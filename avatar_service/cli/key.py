"""`avatar-service key`: a new API key."""

import sys
from typing import Annotated

import typer

from avatar_service.access.keys import line_of, new_key
from avatar_service.errors import StartupError


def key(
    tenant: Annotated[str, typer.Option(metavar="TENANT", help="Whose key it is; avatars and sessions belong to it.")],
    key_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="How the audit log names the key; one of its own for each key.")
    ],
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="When it ends, such as 2027-01-01T00:00:00Z.", show_default="never")
    ] = "",
) -> None:
    """Make an API key: the key on standard error, and on standard output the line for the file of AVATAR_API_KEYS.

    The key is shown this once and kept nowhere: the line has its SHA-256 alone. A running service reads the file again
    within a second of a change; to take a key back, put "revoked": true into its line, or remove the line.

    Example: avatar-service key --tenant shop --id shop-1 >> keys.jsonl

    Then: AVATAR_API_KEYS=keys.jsonl avatar-service serve
    """
    made = new_key()
    try:
        line = line_of(key_id, tenant, made, expires)
    except StartupError as error:
        sys.exit(f"error: {str(error).partition('the line ')[2] or error}")
    print(f"key: {made}", file=sys.stderr)
    print(line)
