"""Routes that ask the gallery: classify, search, verify, embed."""

from dataclasses import asdict
from io import BytesIO
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, File, Form, UploadFile
from PIL import Image

from siamese.images.fit import fit_image
from siamese.service.shared import TheGallery

router = APIRouter()
Images = Annotated[list[UploadFile], File()]


async def _pixels(images: list[UploadFile], gallery: Any) -> np.ndarray:
    model = gallery.model
    size = model.network.image_size
    return np.stack(
        [fit_image(Image.open(BytesIO(await one.read())), size, model.fit) for one in images]
    )


@router.post("/classify")
async def classify(
    images: Images, gallery: TheGallery, k: Annotated[int | None, Form()] = None
) -> list[dict[str, Any]]:
    """Name the class of each image."""
    answers = gallery.classify(await _pixels(images, gallery), k)
    return [
        {"file": image.filename, **asdict(answer)}
        for image, answer in zip(images, answers, strict=True)
    ]


@router.post("/search")
async def search(
    images: Images, gallery: TheGallery, k: Annotated[int | None, Form()] = None
) -> list[dict[str, Any]]:
    """Find what resembles each image."""
    answers = gallery.search(await _pixels(images, gallery), k)
    return [
        {"file": image.filename, "neighbours": [asdict(one) for one in found]}
        for image, found in zip(images, answers, strict=True)
    ]


@router.post("/verify")
async def verify(
    images: Images, gallery: TheGallery, far: Annotated[float | None, Form()] = None
) -> dict[str, Any]:
    """Tell whether two images show the same class."""
    left, right = await _pixels(images, gallery)
    [verdict] = gallery.verify(left[None], right[None], far)
    return asdict(verdict)
