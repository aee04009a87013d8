"""Training of the ``nano`` tier on drawn faces and synthesised speech. ``python -m inference.training --help``."""
