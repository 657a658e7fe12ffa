"""The newest version of the gallery, which answers until there is a newer one."""

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siamese.base.errors import InputError
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import load_model
from siamese.service.errors import Unavailable
from siamese.service.metrics import Figures
from siamese.service.settings import Settings

if TYPE_CHECKING:
    from siamese.model.folder import Model

log = logging.getLogger("siamese.service")

UNFIT = (
    "the gallery was made by another model than the one that is loaded, or is gone; the service"
    " goes on as soon as model and gallery fit: run `siamese gallery build`"
)


@dataclass(frozen=True)
class _State:
    """What answers now: a gallery with its model and version; None while they do not fit."""

    model: "Model"
    gallery: Gallery | None
    version: Any


class Newest:
    """The gallery as its last known version is.

    A new version is opened beside the old one, which answers in the meantime, and takes its place
    at once: an answer comes from one version, never from parts of two.
    """

    def __init__(self, settings: Settings, figures: Figures) -> None:
        self._settings = settings
        self._figures = figures
        self._lock = threading.Lock()
        model = _load(settings)
        table = GalleryTable.open(settings.gallery)
        self._state = _State(model, Gallery(table, model), _version(table))
        self._report()

    def gallery(self) -> Gallery:
        """Return the gallery, whose model is the one to ask with.

        Raises:
            Unavailable: another model has made the newest version, or there is none.
        """
        gallery = self._state.gallery
        if gallery is None:
            raise Unavailable(UNFIT)
        return gallery

    def renew(self) -> None:
        """See what was written since, in any process; call it in no thread that must not wait."""
        with self._lock:
            try:
                table = GalleryTable.open(self._settings.gallery)
                version = _version(table)
                if self._state.gallery is not None and version == self._state.version:
                    return
                model, gallery = self._fitting(table)
                self._state = _State(model, gallery, version)
            except InputError as error:
                if self._state.gallery is not None:
                    log.error("%s", error)
                self._state = _State(self._state.model, None, None)
            self._report()

    def _fitting(self, table: GalleryTable) -> "tuple[Model, Gallery]":
        """Open a version with the model that is loaded, or with the folder's if that has changed.

        Raises:
            InputError: neither has made it.
        """
        try:
            return self._state.model, Gallery(table, self._state.model)
        except InputError:
            model = _load(self._settings)
            return model, Gallery(table, model)

    def _report(self) -> None:
        gallery = self._state.gallery
        self._figures.rows.set(0 if gallery is None else len(gallery.table))
        self._figures.version.set(0 if gallery is None else gallery.table.version)


def _version(table: GalleryTable) -> Any:
    """Return what differs between two versions, a gallery deleted and made anew included."""
    return table.version, table.metadata, len(table)


def _load(settings: Settings) -> "Model":
    model = load_model(settings.model)
    if settings.runtime == "torch":
        return model
    try:
        from siamese.export.runtime import with_onnx
    except ImportError:
        raise InputError(
            "the runtime `onnx` is not installed; `pip install 'siamese[onnx]'` does that"
        ) from None
    return with_onnx(model)
