"""What the service answers about images is what `Gallery` answers."""

import asyncio
import gc
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from siamese.base.dataset import load_dataset
from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from siamese.service.app import create_app
from siamese.service.settings import Settings
from tests.support.galleries import noise_images, save_claims
from tests.support.service import alike, as_files, plain, png


@pytest.fixture(scope="module")
def gallery(read_only: Settings) -> Gallery:
    return Gallery.open(read_only.gallery, load_model(read_only.model))


@pytest.fixture(scope="module")
def pixels(read_only: Settings, gallery: Gallery) -> np.ndarray:
    """Three test images, and two of noise, which are unlike anything."""
    dataset = load_dataset(read_only.prepared)
    known = dataset.images[dataset.rows("test")[:3]]
    return np.concatenate([known, noise_images(gallery.model, 2)])


@pytest.mark.parametrize(("form", "k"), [({}, None), ({"k": 1}, 1), ({"k": 7, "exact": "1"}, 7)])
def test_images_are_classified_as_by_the_gallery(
    reader: TestClient, gallery: Gallery, pixels: np.ndarray, form: dict[str, Any], k: int | None
) -> None:
    answers = reader.post("/classify", files=as_files(pixels), data=form).json()
    expected = gallery.classify(pixels, k=k)
    assert any(one.is_novel for one in expected)
    assert not all(one.is_novel for one in expected)
    assert alike(answers, [{"file": f"{n}.png", **plain(e)} for n, e in enumerate(expected)])


@pytest.mark.parametrize("k", [None, 1, 30])
def test_images_are_found_as_by_the_gallery(
    reader: TestClient, gallery: Gallery, pixels: np.ndarray, k: int | None
) -> None:
    form = {} if k is None else {"k": k}
    answers = reader.post("/search", files=as_files(pixels), data=form).json()
    expected = gallery.search(pixels, k=k)
    wanted = [{"file": f"{n}.png", "neighbours": plain(e)} for n, e in enumerate(expected)]
    assert alike(answers, wanted)


def test_images_are_embedded_as_by_the_model(
    reader: TestClient, gallery: Gallery, pixels: np.ndarray
) -> None:
    answers = reader.post("/embed", files=as_files(pixels)).json()
    assert [answer["file"] for answer in answers] == [f"{n}.png" for n in range(len(pixels))]
    found = np.array([answer["embedding"] for answer in answers], dtype=np.float32)
    assert np.allclose(found, gallery.model.embed(pixels), atol=1e-6)


@pytest.mark.parametrize("far", [None, 0.05])
def test_two_images_are_verified_as_by_the_gallery(
    reader: TestClient, gallery: Gallery, pixels: np.ndarray, far: float | None
) -> None:
    form = {} if far is None else {"far": far}
    answer = reader.post("/verify", files=as_files(pixels[:2]), data=form).json()
    [verdict] = gallery.verify(pixels[:1], pixels[1:2], far)
    assert alike(answer, plain(verdict))


def test_images_are_verified_as_a_label_as_by_the_gallery(
    reader: TestClient, gallery: Gallery, pixels: np.ndarray
) -> None:
    for label in ("3", "7"):
        answers = reader.post("/verify", files=as_files(pixels), data={"label": label}).json()
        expected = gallery.verify_claim(pixels, label)
        assert alike(answers, [{"file": f"{n}.png", **plain(e)} for n, e in enumerate(expected)])


@pytest.mark.parametrize(
    ("form", "n_images", "status", "sentence"),
    [
        ({"label": "33"}, 1, 422, "no image of the gallery has the label '33'; did you mean `3`?"),
        ({"label": "3", "far": 0.1}, 1, 422, "far: claims have one threshold for each number of "),
        ({"label": "3"}, 101, 413, "expected at most 100 images in a request"),
        ({"label": "3"}, 0, 422, "images: expected 1 image file or more, found 0"),
        ({}, 1, 422, "images: expected exactly 2 image files, or the field `label`; found 1"),
        ({}, 3, 413, "images: expected exactly 2 image files, or the field `label`; found 3"),
    ],
)
def test_what_is_no_pair_and_no_claim_is_refused(
    reader: TestClient,
    pixels: np.ndarray,
    form: dict[str, Any],
    n_images: int,
    status: int,
    sentence: str,
) -> None:
    files = as_files(pixels[[0] * n_images])
    answer = reader.post("/verify", files=files, data=form)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(sentence)


def test_a_model_without_thresholds_for_claims_verifies_none(
    read_only: Settings, pixels: np.ndarray, tmp_path: Path
) -> None:
    model = shutil.copytree(read_only.model, tmp_path / "model")
    save_claims(model, None)
    settings = replace(read_only, model=model)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/thresholds").json()["claims"] is None
        answer = client.post("/verify", files=as_files(pixels[:1]), data={"label": "3"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("this model has no thresholds for claims: it is old")


def test_one_file_that_cannot_be_read_refuses_all_and_is_named_as_the_client_names_it(
    reader: TestClient, pixels: np.ndarray
) -> None:
    broken = ("images", ("../holiday/é.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"))
    answer = reader.post("/classify", files=[*as_files(pixels[:1]), broken])
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("../holiday/é.png: not a picture that can be read")


def test_of_several_files_that_cannot_be_read_the_first_is_named(
    reader: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [("images", (f"{n}.png", b"no picture")) for n in range(20)]
    for _ in range(3):
        assert reader.post("/embed", files=broken).json()["detail"].startswith("0.png: ")
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_name_that_guesses_the_gallerys_path_is_a_name_like_any_other(
    reader: TestClient, read_only: Settings
) -> None:
    for name in (read_only.gallery, f"{read_only.gallery}: x", f"a {read_only.gallery} b"):
        answer = reader.post("/embed", files=[("images", (name, b"no picture"))])
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(f"{name[:100]}: not a picture")


def test_what_is_a_picture_and_a_page_is_a_picture(reader: TestClient, pixels: np.ndarray) -> None:
    """As the command takes it; and it is never handed out as it came."""
    both = png(pixels[0]) + b"<html><script>alert(1)</script></html>"
    [answer] = reader.post("/search", files=[("images", ("a.html", both))]).json()
    [expected] = reader.post("/search", files=as_files(pixels[:1])).json()
    assert alike(answer["neighbours"], expected["neighbours"])


def test_more_neighbours_than_rows_are_refused_without_a_path(
    reader: TestClient, pixels: np.ndarray
) -> None:
    answer = reader.post("/classify", files=as_files(pixels[:1]), data={"k": 9999})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("9999 neighbours are asked for, but the gallery ")


@pytest.mark.parametrize("route", ["/classify", "/search"])
def test_an_answer_that_would_keep_others_waiting_is_refused(
    reader: TestClient, pixels: np.ndarray, route: str
) -> None:
    answer = reader.post(route, files=as_files(pixels[:3]), data={"k": 4000})
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "k: 4000 neighbours of 3 images; expected at most 10,000 in a request, all its images"
        " together"
    )
    assert reader.post(route, files=as_files(pixels[:3]), data={"k": 400}).status_code == 200


def test_requests_that_come_together_get_each_its_own_answer(
    reader: TestClient, gallery: Gallery, pixels: np.ndarray
) -> None:
    """They are computed as one batch, whatever each asks."""
    from siamese.service.engine import Question

    engine = reader.app.state.engine  # type: ignore[attr-defined]
    questions = [
        Question("search", pixels[:2], k=3),
        Question("classify", pixels[2:5], k=3),
        Question("search", pixels[1:2], k=10**6),
        Question("search", pixels[4:5], k=3),
        Question("verify", pixels[:2]),
        Question("embed", pixels[3:4]),
        Question("claim", pixels[:1], label="3"),
        Question("claim", pixels[1:3], label="7"),
        Question("claim", pixels[3:5], label="3"),
        Question("claim", pixels[:1], label="nobody"),
    ]

    async def ask_all() -> list[Any]:
        return await asyncio.gather(*map(engine.ask, questions), return_exceptions=True)

    assert reader.portal is not None
    answers = reader.portal.call(ask_all)
    found, classified, refused, other, verdict, embeddings, *claims, unknown = answers
    assert alike(plain(found), plain(gallery.search(pixels[:2], k=3)))
    assert alike(plain(classified), plain(gallery.classify(pixels[2:5], k=3)))
    assert isinstance(refused, ValueError)
    assert alike(plain(other), plain(gallery.search(pixels[4:5], k=3)))
    assert alike(plain(verdict), plain(gallery.verify(pixels[:1], pixels[1:2])[0]))
    assert np.allclose(embeddings, gallery.model.embed(pixels[3:4]), atol=1e-6)
    parts = [(pixels[:1], "3"), (pixels[1:3], "7"), (pixels[3:5], "3")]
    assert alike(plain(claims), [plain(gallery.verify_claim(*part)) for part in parts])
    assert "has the label 'nobody'" in str(unknown)


@pytest.mark.slow
def test_onnx_answers_as_pytorch_does(
    reader: TestClient, read_only: Settings, pixels: np.ndarray
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    settings = replace(read_only, runtime="onnx")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        answers = client.post("/classify", files=as_files(pixels)).json()
    assert alike(answers, reader.post("/classify", files=as_files(pixels)).json())
