"""What the service answers about images is what `Gallery` answers."""

from dataclasses import asdict
from io import BytesIO

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from siamese.base.dataset import load_dataset
from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from siamese.service.settings import Settings


def test_classify_answers_as_the_gallery_does(client: TestClient, settings: Settings) -> None:
    dataset = load_dataset(settings.prepared)
    pixels = np.asarray(dataset.images[dataset.rows("test")[:3]])
    files = [("images", (f"{row}.png", _png(image))) for row, image in enumerate(pixels)]
    answer = client.post("/classify", files=files, data={"k": 5})
    assert answer.status_code == 200
    expected = Gallery.open(settings.gallery, load_model(settings.model)).classify(pixels, k=5)
    for row, (found, wanted) in enumerate(zip(answer.json(), expected, strict=True)):
        assert found.pop("file") == f"{row}.png"
        assert found["label"] == wanted.label
        assert found["votes"] == [asdict(vote) for vote in wanted.votes]


def _png(image: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
