"""Siamese networks for image similarity, as a reproducible DVC pipeline."""

__version__ = "0.1.0"
