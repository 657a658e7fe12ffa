"""Enrolling and removing over HTTP, by the token alone; and what others write meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from siamese.base.dataset import load_dataset
from siamese.embeddings.embedding_file import load_embeddings, save_embeddings
from siamese.gallery.address import writing
from siamese.gallery.gallery import Gallery
from siamese.gallery.rows import enrolled_number
from siamese.model.folder import Model, load_model, save_model
from siamese.service.app import create_app
from siamese.service.settings import Settings
from tests.support.galleries import build_gallery, noise_images, save_other_model
from tests.support.service import TOKEN, as_files
from tests.support.workspace import Workspace

MAY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def model(read_only: Settings) -> Model:
    return load_model(read_only.model)


def test_what_is_enrolled_answers_at_once_and_what_is_removed_no_more(
    client: TestClient, settings: Settings, model: Model
) -> None:
    images = noise_images(model, 2)
    before = client.get("/health").json()
    form: dict[str, Any] = {"files": as_files(images), "data": {"label": "noise"}, "headers": MAY}
    assert client.post("/enroll", **form).json() == {"added": 2, "known": 0}
    assert client.post("/enroll", **form).json() == {"added": 0, "known": 2}
    [first, second] = client.post("/search", files=as_files(images), data={"k": 1}).json()
    for row, found in enumerate((first, second)):
        [nearest] = found["neighbours"]
        assert nearest["number"] == enrolled_number(images[row], "noise")
        assert nearest["distance"] == pytest.approx(0, abs=1e-5)
        assert (nearest["label"], nearest["file"]) == ("noise", f"{row}.png")
    assert client.get("/health").json()["rows"] == before["rows"] + 2

    number = first["neighbours"][0]["number"]
    removed = client.post("/remove", data={"number": number}, headers=MAY)
    assert removed.json() == {"removed": 1}
    removed = client.post("/remove", files={"file": (None, "1.png")}, headers=MAY)
    assert removed.json() == {"removed": 1}
    [found] = client.post("/search", files=as_files(images[:1]), data={"k": 1}).json()
    assert found["neighbours"][0]["source"] == "pipeline"
    assert client.get("/health").json()["rows"] == before["rows"]
    assert len(Gallery.open(settings.gallery).table) == before["rows"]


def test_a_label_in_any_script_is_removed_as_text_and_as_percent(
    client: TestClient, model: Model
) -> None:
    headers = MAY | {"Content-Type": "application/x-www-form-urlencoded"}
    for row, body in enumerate(("label=Café 茶".encode(), b"label=Caf%C3%A9+%E8%8C%B6")):
        images = as_files(noise_images(model, 2)[row : row + 1])
        client.post("/enroll", files=images, data={"label": "Café 茶"}, headers=MAY)
        assert client.post("/remove", content=body, headers=headers).json() == {"removed": 1}
    for body in (b"label=Caf\xe9", b"label=Caf%E9"):
        answer = client.post("/remove", content=body, headers=headers)
        assert answer.status_code == 422
        assert "UTF-8" in answer.json()["detail"]


def test_a_change_that_others_hold_up_ends_with_a_sentence(
    settings: Settings, model: Model
) -> None:
    settings = replace(settings, timeout=1)
    images = as_files(noise_images(model, 1))
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        with writing(settings.gallery):
            answer = client.post("/enroll", files=images, data={"label": "x"}, headers=MAY)
            assert answer.status_code == 503
            assert client.post("/search", files=images).status_code == 200
        answer = client.post("/enroll", files=images, data={"label": "x"}, headers=MAY)
        assert answer.json() == {"added": 1, "known": 0}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": ""}])
@pytest.mark.parametrize("route", ["/enroll", "/remove"])
def test_without_the_token_nothing_is_written(
    reader: TestClient, model: Model, route: str, headers: dict[str, str]
) -> None:
    files = as_files(noise_images(model, 1))
    answer = reader.post(route, files=files, data={"label": "x"}, headers=headers)
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["detail"]
    in_the_form = reader.post(route, data={"label": "x", "token": TOKEN, "Authorization": TOKEN})
    assert in_the_form.status_code == 401


def test_a_service_without_a_token_does_not_write(read_only: Settings, model: Model) -> None:
    with TestClient(create_app(replace(read_only, token=None)), "http://localhost") as client:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
            answer = client.post("/remove", data={"label": "x"}, headers=headers)
            assert answer.status_code == 403
            assert "SIAMESE_TOKEN" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"label": "a", "file": "b"}, "expected exactly one of label, file and number"),
        ({"number": "one"}, "number: "),
        ({"number": "-1"}, "number: "),
        ({"label": "7"}, "rows, all from the pipeline"),
        ({"label": "nobody has it"}, "label 'nobody has it': no row of the gallery has it"),
        ({"number": str(10**30)}, "no row of the gallery has it"),
        ({"all": "1"}, "all: "),
    ],
)
def test_what_cannot_be_removed_is_said_in_one_sentence(
    reader: TestClient, read_only: Settings, data: dict[str, str], sentence: str
) -> None:
    answer = reader.post("/remove", data=data, headers=MAY)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]
    assert str(Path(read_only.gallery).parent) not in answer.text


@pytest.mark.parametrize("label", ["", "  ", "two\nlines", "\x00"])
def test_a_label_that_is_no_name_is_refused(reader: TestClient, model: Model, label: str) -> None:
    files = as_files(noise_images(model, 1))
    answer = reader.post("/enroll", files=files, data={"label": label}, headers=MAY)
    assert answer.status_code == 422
    assert "label" in answer.json()["detail"]


@pytest.fixture
def own_model(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a service whose model may change too."""
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(load_model(settings.model), folder)
    return replace(settings, model=folder, poll=0.05)


@pytest.fixture
def own_client(own_model: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(own_model), "http://localhost") as client:
        yield client


def renewed(client: TestClient) -> None:
    client.app.state.newest.renew()  # type: ignore[attr-defined]


def test_what_another_process_writes_answers_too(
    own_client: TestClient, own_model: Settings
) -> None:
    model = load_model(own_model.model)
    images = noise_images(model, 1)
    Gallery.open(own_model.gallery, model).enroll(images, "noise")
    while True:  # the service looks by itself
        [found] = own_client.post("/search", files=as_files(images), data={"k": 1}).json()
        if found["neighbours"][0]["label"] == "noise":
            break


def test_a_gallery_of_another_model_is_not_asked_until_the_model_is_there(
    own_client: TestClient, own_model: Settings, place: Path, tmp_path: Path, model: Model
) -> None:
    images = noise_images(model, 1)
    other = save_other_model(model, tmp_path / "other")
    # As training and `siamese gallery build` would: first the one, then the other.
    embeddings = load_embeddings(place / "data/embeddings/gallery.parquet")
    pixels = load_dataset(own_model.prepared).images[embeddings.samples]
    file = tmp_path / "other.parquet"
    save_embeddings(replace(embeddings, vectors=load_model(other).embed(pixels)), file)
    build_gallery(Workspace(place), own_model.gallery, other, file)
    renewed(own_client)
    for route in ("/classify", "/search", "/embed"):
        answer = own_client.post(route, files=as_files(images))
        assert answer.status_code == 503
        assert "another model" in answer.json()["detail"]
    assert own_client.get("/health").status_code == 503
    enrolled = own_client.post("/enroll", files=as_files(images), data={"label": "x"}, headers=MAY)
    assert enrolled.status_code == 503

    for file in other.iterdir():
        (own_model.model / file.name).write_bytes(file.read_bytes())
    renewed(own_client)
    [answer] = own_client.post("/embed", files=as_files(images)).json()
    expected = load_model(other).embed(images)
    assert np.allclose(answer["embedding"], expected, atol=1e-6)


def test_a_gallery_that_is_gone_is_said_and_comes_back(
    own_client: TestClient, own_model: Settings, place: Path, tmp_path: Path, model: Model
) -> None:
    gallery = Path(own_model.gallery)
    gallery.rename(tmp_path / "away")
    renewed(own_client)
    answer = own_client.get("/health")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
    (tmp_path / "away").rename(gallery)
    renewed(own_client)
    assert own_client.get("/health").json()["status"] == "ok"


def test_while_the_gallery_cannot_be_read_what_is_in_memory_answers(
    own_client: TestClient, own_model: Settings, model: Model
) -> None:
    images = as_files(noise_images(model, 1))
    before = own_client.post("/search", files=images).json()
    versions = Path(own_model.gallery) / "gallery.lance/_versions"
    for file in versions.iterdir():
        file.write_bytes(b"damaged")
    (versions / "another").touch()  # so that there is something new to see
    renewed(own_client)
    assert own_client.post("/search", files=images).json() == before
