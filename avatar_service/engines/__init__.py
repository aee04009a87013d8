"""Protocols of what a turn needs from outside, and one adapter a file."""
