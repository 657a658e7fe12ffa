"""The gallery that answers, in its newest version, and the model that made it."""

import logging
import threading
from typing import TYPE_CHECKING

from siamese.base.errors import InputError
from siamese.gallery.failures import Unreadable
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import load_model
from siamese.service.errors import Unavailable
from siamese.service.metrics import Figures
from siamese.service.settings import Settings

if TYPE_CHECKING:
    from siamese.model.folder import Model

log = logging.getLogger("siamese.service")

# Of the time that a request has, the share that a change waits for other writers.
PATIENCE = 0.8
UNFIT = (
    "the gallery was made by another model than the one that is loaded, or is gone; the service"
    " goes on as soon as model and gallery fit: run `siamese gallery build`"
)


class Newest:
    """The gallery, held in memory; a new version answers once it is read, the old one until then.

    If another model has made the new version, the model folder is loaded anew. If that is not the
    one either, nothing answers until it is.
    """

    def __init__(self, settings: Settings, figures: Figures) -> None:
        self._settings = settings
        self._figures = figures
        self._lock = threading.Lock()
        self._gallery = _open(settings)
        self._fits = True
        self._report()

    def gallery(self) -> Gallery:
        """Return the gallery, whose model is the one to ask with.

        Raises:
            Unavailable: another model has made the newest version, or there is none.
        """
        if not self._fits:
            raise Unavailable(UNFIT)
        return self._gallery

    def renew(self) -> None:
        """See what was written since, in any process; call it in no thread that must not wait."""
        with self._lock:
            try:
                if self._fits and not self._gallery.is_outdated():
                    return
                if self._is_of_another_model():  # opened beside the one that answers
                    self._open_again()
                else:
                    self._gallery.refresh()
                    self._fits = True
            except Unreadable as error:  # of a store that is away: what is held answers on
                log.error("%s", error)
                return
            except InputError:
                self._open_again()
            self._report()

    def _is_of_another_model(self) -> bool:
        made_by = GalleryTable.open(self._settings.gallery).metadata.get("model")
        return made_by != self._gallery.table.metadata.get("model")

    def _open_again(self) -> None:
        try:
            self._gallery = _open(self._settings)
            self._fits = True
        except InputError as error:
            if self._fits:  # once
                log.error("%s", error)
            self._fits = False

    def _report(self) -> None:
        self._figures.rows.set(len(self._gallery.table) if self._fits else 0)
        self._figures.version.set(self._gallery.table.version if self._fits else 0)


def _open(settings: Settings) -> Gallery:
    """Load model and gallery.

    Raises:
        InputError: one of them cannot be read, or they do not belong together.
    """
    model = _load(settings)
    gallery = Gallery.open(settings.gallery, model)
    if settings.runtime == "onnx":
        # Only now: the export takes seconds, and while model and gallery do not fit, this is tried
        # again and again.
        from siamese.export.runtime import with_onnx

        gallery = Gallery.open(settings.gallery, with_onnx(model))
    # A change that others hold up ends before its request does.
    gallery.patience = PATIENCE * settings.timeout
    gallery.hold(settings.hold_bytes, next(model.network.parameters()).device)
    return gallery


def _load(settings: Settings) -> "Model":
    if settings.runtime == "onnx" and settings.device != "cpu":
        raise InputError("the runtime `onnx` computes on the CPU alone; leave out `--device`")
    try:
        return load_model(settings.model, settings.device)
    except InputError:
        raise
    except (RuntimeError, AssertionError) as error:  # PyTorch's, where there is no such device
        reason = str(error).splitlines()[0]
        raise InputError(f"the device `{settings.device}` cannot be used ({reason})") from None
