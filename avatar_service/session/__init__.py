"""One stream: its turns, its history, its configuration."""
