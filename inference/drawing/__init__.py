"""Drawn talking faces: SVG written by Python, rasterised with resvg.

Used for training and for making bundles, never while serving.
"""
