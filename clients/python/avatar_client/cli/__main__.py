"""Lets `python -m avatar_client.cli` run the command line."""

from avatar_client.cli import main

main()
