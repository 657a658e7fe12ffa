"""Routes that describe the gallery: its classes, rows and pictures, the model, test images."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from siamese.service.shared import TheGallery

router = APIRouter()


@router.get("/gallery")
async def info(gallery: TheGallery) -> dict[str, Any]:
    """Return what the gallery holds, and its classes."""
    return {**asdict(gallery.info()), "classes": [asdict(count) for count in gallery.labels()]}
