"""A model that onnxruntime computes is taken for the one that it was made of."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from siamese.base.dataset import load_dataset
from siamese.base.errors import InputError
from siamese.export.runtime import SHARE, with_onnx
from siamese.gallery.gallery import Gallery
from siamese.gallery.model_hash import model_hash
from siamese.model.folder import Model
from siamese.network.embedding import images_at_once
from tests.support.galleries import build_gallery, noise_images
from tests.support.workspace import Workspace


@pytest.fixture(scope="module")
def other(model: Model) -> Model:
    return with_onnx(model)


def test_it_embeds_any_number_of_images(model: Model, other: Model) -> None:
    many = images_at_once(model.network.image_size) // SHARE + 1
    for count in (0, 1, 2, many):
        images = noise_images(model, count)
        found = other.embed(images)
        assert found.dtype == np.float32
        assert found.shape == (count, model.network.embedding_dim)
        np.testing.assert_allclose(found, model.embed(images), rtol=0, atol=1e-5)


def test_batches_make_no_difference(other: Model) -> None:
    images = noise_images(other, 10)
    np.testing.assert_allclose(other.embed(images, 3), other.embed(images), rtol=0, atol=1e-6)


def test_pytorch_computes_nothing(other: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("PyTorch was asked")

    monkeypatch.setattr(type(other.network.encoder), "forward", refuse)
    assert len(other.embed(noise_images(other, 2))) == 2


@pytest.mark.parametrize(
    "images", [np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, 8, 8, 3)), np.zeros(8, np.uint8)]
)
def test_it_refuses_what_the_model_refuses(model: Model, other: Model, images: np.ndarray) -> None:
    messages = []
    for each in (model, other):
        with pytest.raises(InputError) as refused:
            each.embed(images)
        messages.append(str(refused.value))
    assert messages[0] == messages[1]


def test_a_gallery_takes_it_for_its_own_model(
    model: Model, other: Model, finished: Workspace, tmp_path: Path
) -> None:
    assert model_hash(other) == model_hash(model)
    build_gallery(finished, tmp_path / "gallery")
    shutil.copytree(tmp_path / "gallery", tmp_path / "same")
    dataset = load_dataset(finished.path / "data/prepared")
    images = np.asarray(dataset.images[dataset.rows("test")[:20]])
    by_torch, by_onnx = (
        Gallery.open(tmp_path / "gallery", each).classify(images) for each in (model, other)
    )
    for expected, found in zip(by_torch, by_onnx, strict=True):
        assert found.votes == expected.votes
        assert found.is_novel == expected.is_novel
        for one, two in zip(expected.neighbours, found.neighbours, strict=True):
            assert asdict(two) == asdict(one) | {"distance": pytest.approx(one.distance, abs=1e-5)}
    assert Gallery.open(tmp_path / "same", other).enroll(images[:1], "new").added == 1
