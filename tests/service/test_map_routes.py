"""`GET /map` says what the map's own code places, by numbers that JavaScript can hold."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sklearn.decomposition import PCA

from siamese.base.parquet import read_frame
from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from siamese.projection.map_file import save_layout
from siamese.projection.maps import compute_map
from siamese.service.app import create_app
from siamese.service.settings import Settings
from tests.support.galleries import noise_images


@pytest.fixture(scope="module")
def asked(read_only: Settings) -> TestClient:
    """The application over a project that nobody changes."""
    return TestClient(create_app(read_only), base_url="http://127.0.0.1:8000")


def test_places_are_those_of_scikit_learns_pca(asked: TestClient, place: Path) -> None:
    answer = asked.get("/map").json()
    gallery, queries = (
        read_frame(place / f"data/embeddings/{name}.parquet") for name in ("gallery", "queries")
    )
    vectors = [
        np.stack(table["embedding"].tolist()).astype(np.float64) for table in (gallery, queries)
    ]
    expected = PCA(2, svd_solver="full").fit(vectors[0]).transform(np.concatenate(vectors))
    np.testing.assert_allclose(answer["x"], expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(answer["y"], expected[:, 1], atol=1e-4)
    samples = [*gallery["sample"], *queries["sample"]]
    assert answer["number"] == [str(sample) for sample in samples]
    kinds = [answer["kinds"][kind] for kind in answer["kind"]]
    assert kinds == ["pipeline"] * len(gallery) + ["query"] * len(queries)
    assert answer["classes"] == [str(digit) for digit in range(10)]
    assert answer["superclass"] == [-1] * 10
    labels = [*gallery["fine"], *queries["fine"]]
    assert answer["label"] == labels
    outcomes = read_frame(place / "metrics/per_query.parquet")
    assert answer["called"] == [-1] * len(gallery) + outcomes["predicted"].tolist()


def test_numbers_of_enrolled_rows_are_exact(client: TestClient, settings: Settings) -> None:
    model = load_model(settings.model)
    images = noise_images(model, 2)
    before = client.get("/map").json()
    Gallery.open(settings.gallery, model).enroll(images, "noise")
    client.app.state.newest.renew()  # type: ignore[attr-defined]
    answer = client.get("/map").json()
    enrolled = answer["kinds"].index("enrolled")
    found = [
        int(number)
        for number, kind in zip(answer["number"], answer["kind"], strict=True)
        if kind == enrolled
    ]
    table = Gallery.open(settings.gallery).table.read(["number"], "source = 'enrolled'")
    assert sorted(found) == sorted(table["number"].to_pylist())
    assert len(answer["x"]) == len(before["x"]) + 2
    assert "noise" in answer["classes"]


def test_without_a_computed_map_the_answer_says_how_to_make_one(asked: TestClient) -> None:
    answer = asked.get("/map", params={"method": "tsne"})
    assert answer.status_code == 200
    assert answer.json() == {
        "missing": "data/map.parquet: no such file; `siamese map` computes it from the gallery"
    }
    assert asked.get("/map", params={"method": "umap"}).status_code == 422


def test_a_map_that_is_computed_meanwhile_is_served_and_an_old_one_is_not(
    read_only: Settings, tmp_path: Path
) -> None:
    workspace = tmp_path / "project"
    for name in ("data/embeddings", "metrics"):
        shutil.copytree(read_only.workspace / name, workspace / name)
    client = TestClient(
        create_app(replace(read_only, workspace=workspace)), base_url="http://127.0.0.1:8000"
    )
    asked = {"method": "tsne"}
    assert "no such file" in client.get("/map", params=asked).json()["missing"]
    table = Gallery.open(read_only.gallery).table
    layout, _ = compute_map(table, workspace, read_only.prepared, limit=30)
    answer = client.get("/map", params=asked).json()
    assert answer["explained"] is None
    placed = dict(zip(map(str, layout.numbers), layout.places.tolist(), strict=True))
    found = zip(answer["x"], answer["y"], strict=True)
    for number, place in zip(answer["number"], found, strict=True):
        assert place == pytest.approx(placed[number], abs=1e-4)
    save_layout(layout, table.metadata | {"model": "another"}, workspace / "data/map.parquet")
    assert client.get("/map", params=asked).json() == {
        "missing": "data/map.parquet: computed from other embeddings than the gallery has now;"
        " `siamese map` computes it again"
    }
