"""`python -m avatar_service`: the command line without an installed script."""

from avatar_service.cli.main import main

main()
