"""Tests with many sessions, many messages or much time, at service processes of their own."""
