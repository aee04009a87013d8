"""Measurements of the figures that the project promises. Each writes ``out/bench/NAME.json``."""
