"""Siamese networks for image similarity, as a reproducible DVC pipeline.

    from siamese import Gallery, load_model

Every module of this package imports this one, so it imports nothing heavy: a name is imported from
its module when it is first used. Stages import what they need from the modules themselves.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Gallery", "load_model"]
__version__ = "0.1.0"

_MODULES = {"Gallery": "siamese.gallery.gallery", "load_model": "siamese.model.folder"}

if TYPE_CHECKING:
    from siamese.gallery.gallery import Gallery
    from siamese.model.folder import load_model
else:  # hidden from type checkers, which would take any name for one of this module's

    def __getattr__(name: str) -> Any:
        """Import a public name from its module."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)
