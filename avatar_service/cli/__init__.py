"""The command `avatar-service`, one file a subcommand; `main.py` joins them."""
