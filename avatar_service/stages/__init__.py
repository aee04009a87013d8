"""The steps of a turn: each takes from a channel, works, and sends to a channel."""
