"""Routes that describe the gallery: its classes, rows and pictures, the model, test images."""

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response

from siamese.base.image_size import written
from siamese.gallery.png import encode_png
from siamese.service.errors import Refused
from siamese.service.listing import listing
from siamese.service.samples import samples_of
from siamese.service.shared import TheGallery, TheSettings

router = APIRouter(tags=["gallery"])

Offset = Annotated[int, Query(ge=0, lt=2**63)]
Limit = Annotated[int, Query(ge=0, le=1000)]
ROW = ("number", "label", "superclass", "file", "source")
# A number may get another image: by a rebuild for other data, seldom. A page asks again for many.
SHORT_LIVED = {"Cache-Control": "private, max-age=300"}


@router.get("/gallery")
def info(gallery: TheGallery, settings: TheSettings) -> dict[str, Any]:
    """Return what the gallery holds, its classes, the network that made it."""
    model, found = gallery.model, listing(gallery)
    return {
        **asdict(found.info),
        "address": settings.gallery,  # as it was given: not where it is on this machine
        "classes": [asdict(one) for one in found.classes],
        "network": {
            **model.params.model_dump(),
            "image_size": written(model.network.image_size),
            "fit": model.fit,
            "origin": model.origin and asdict(model.origin),  # of the weights it started from
        },
        "writable": settings.token is not None,
    }


@router.get("/gallery/rows")
def rows(
    gallery: TheGallery, label: str | None = None, offset: Offset = 0, limit: Limit = 60
) -> dict[str, Any]:
    """Return a part of the rows of one class, or of all: class by class, by ascending number."""
    numbers = listing(gallery).numbers_of(label)
    chosen = numbers[offset : offset + limit]
    found = {row["number"]: row for row in gallery.table.lookup(chosen, ROW).to_pylist()}
    # A row may have been removed since the version was listed.
    return {
        "total": len(numbers),
        "rows": [found[number] for number in chosen.tolist() if number in found],
    }


@router.get("/gallery/images/{number}.png")
def row_image(gallery: TheGallery, number: int) -> Response:
    """Return the image of a row, as the network sees it.

    Raises:
        Refused: there is no such row, or it has no image.
    """
    known = [number] if 0 <= number < 2**63 else []
    stored = gallery.table.lookup(np.array(known, dtype=np.int64), ["image"])["image"].to_pylist()
    if not stored or stored[0] is None:
        raise Refused(404, f"the gallery has no image of the number {number}")
    return _png(stored[0])


@router.get("/thresholds")
def thresholds(gallery: TheGallery) -> dict[str, Any]:
    """Return the model's thresholds: for two images, with error rates at others, and for claims."""
    calibration = gallery.model.calibration.to_json()
    claims = calibration.get("claims")  # of older models, none
    return {**calibration["thresholds"], "curve": calibration["curve"], "claims": claims}


@router.get("/samples")
def samples(
    settings: TheSettings, label: str | None = None, offset: Offset = 0, limit: Limit = 60
) -> dict[str, Any]:
    """Return a part of the test images of one class, or of all, the classes mixed."""
    found = samples_of(settings.prepared)
    if found is None:
        return {"total": 0, "samples": []}
    positions = found.positions_of(label)
    return {
        "total": len(positions),
        "samples": [
            {
                "sample": int(found.numbers[at]),
                "label": found.name(found.labels[at]),
                "file": found.files[at],
            }
            for at in positions[offset : offset + limit].tolist()
        ],
    }


@router.get("/samples/labels")
def sample_labels(settings: TheSettings) -> list[dict[str, Any]]:
    """Return the classes of the test images, by name, and how many each has."""
    found = samples_of(settings.prepared)
    if found is None:
        return []
    labels, counts = np.unique(found.labels, return_counts=True)
    named = zip(map(found.name, labels.tolist()), counts.tolist(), strict=True)
    return [{"label": name, "samples": count} for name, count in sorted(named)]


@router.get("/samples/{sample}.png")
def sample_image(settings: TheSettings, sample: int) -> Response:
    """Return one test image.

    Raises:
        Refused: there is none of that number.
    """
    found = samples_of(settings.prepared)
    if found is None or sample not in found.numbers:
        raise Refused(404, f"there is no test image of the number {sample}")
    return _png(encode_png(found.dataset.images[sample]))


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers=SHORT_LIVED)
