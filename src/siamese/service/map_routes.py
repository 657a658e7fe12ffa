"""Routes of the page's part "map"."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Response

from siamese.gallery.table import GalleryTable
from siamese.projection.map_file import FILE
from siamese.projection.maps import Map, computed_map, principal_map
from siamese.projection.points import KINDS
from siamese.projection.queries import GALLERY, OUTCOMES, QUERIES
from siamese.service.missing import or_missing
from siamese.service.settings import Settings
from siamese.service.shared import TheGallery, TheSettings

router = APIRouter()
Method = Literal["pca", "tsne"]
PLACES = 4  # after the decimal point, of a coordinate


@router.get("/map")
def map_of_gallery(gallery: TheGallery, settings: TheSettings, method: Method = "pca") -> Response:
    """Return the gallery and the test images in two dimensions.

    `x`, `y`, `kind`, `label`, `called` and `number` have one value a point. `kind` is a position in
    `kinds`, `label` one in `classes`, and so is `called`, what a test image was taken for; -1 for
    others. `number` is text, as numbers of enrolled rows are too large for JavaScript: a row of the
    gallery, or a sample. `superclass` is each class's position in `superclasses`, or -1. `missing`,
    alone, says why there is no such map.
    """
    files = [settings.workspace / name for name in (FILE, GALLERY, QUERIES, OUTCOMES)]
    stamps = tuple(_stamp(file) for file in [*files, settings.prepared / "classes.json"])
    content = _content(gallery.table, settings, method, (gallery.table.version, stamps))
    return Response(content, media_type="application/json")


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return what changes when a file does."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4)
def _content(table: GalleryTable, settings: Settings, method: Method, state: object) -> bytes:
    """Return the answer as JSON; what it is made from is known by its state."""
    place = principal_map if method == "pca" else computed_map
    content = or_missing(
        settings, lambda: _as_json(place(table, settings.workspace, settings.prepared))
    )
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _as_json(found: Map) -> dict[str, Any]:
    points = found.points
    classes = sorted({*points.labels, *filter(None, points.called)})
    superclasses = sorted(set(found.superclass_of.values()))
    position = {name: index for index, name in enumerate(classes)}
    x, y = np.round(found.places.astype(np.float64), PLACES).T.tolist()
    return {
        "classes": classes,
        "superclasses": superclasses,
        "superclass": [
            superclasses.index(found.superclass_of[name]) if name in found.superclass_of else -1
            for name in classes
        ],
        "kinds": KINDS,
        "explained": found.explained,
        "notes": found.notes,
        "x": x,
        "y": y,
        "kind": [KINDS.index(kind) for kind in points.kinds],
        "label": [position[name] for name in points.labels],
        "called": [-1 if name is None else position[name] for name in points.called],
        "number": [str(number) for number in points.numbers],
    }
