"""What the service tells about the gallery, the model and the test images."""

import gc
import shutil
import weakref
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from siamese.base.dataset import load_dataset
from siamese.gallery.gallery import Gallery
from siamese.gallery.table import GalleryTable
from siamese.model.folder import load_model
from siamese.service.app import create_app
from siamese.service.listing import listing
from siamese.service.settings import Settings
from tests.support.service import plain


@pytest.fixture(scope="module")
def asked(read_only: Settings) -> TestClient:
    """The application over a gallery that nobody changes."""
    return _client(read_only)


def test_the_gallery_is_described_as_the_command_describes_it(
    asked: TestClient, read_only: Settings
) -> None:
    answer = asked.get("/gallery").json()
    gallery = Gallery.open(read_only.gallery)
    model = load_model(read_only.model)
    classes, network = answer.pop("classes"), answer.pop("network")
    assert answer.pop("writable")
    assert answer == {**asdict(gallery.info()), "address": read_only.gallery}
    examples = [one.pop("example") for one in classes]
    assert classes == [asdict(count) for count in gallery.labels()]
    shown = gallery.table.lookup(np.array(examples), ["label"]).to_pylist()
    label_of = {row["number"]: row["label"] for row in shown}
    assert [label_of[number] for number in examples] == [one["label"] for one in classes]
    assert network == {**model.params.model_dump(), "image_size": 16, "fit": "pad", "origin": None}


def test_rows_come_in_parts_and_all_of_them_once(asked: TestClient, read_only: Settings) -> None:
    columns = ["number", "label", "superclass", "file", "source"]
    stored = Gallery.open(read_only.gallery).table.read(columns).to_pylist()
    for label in (None, "3"):
        expected = [row for row in stored if label in (None, row["label"])]
        expected.sort(key=lambda row: (row["label"], row["number"]))
        found: list[dict[str, object]] = []
        query = {} if label is None else {"label": label}
        while len(found) < len(expected):
            part = asked.get(
                "/gallery/rows", params={**query, "offset": len(found), "limit": 700}
            ).json()
            assert part["total"] == len(expected)
            assert part["rows"], "a part is empty before the end"
            found += part["rows"]
        assert found == expected
    assert asked.get("/gallery/rows", params={"label": "no such"}).json() == {
        "total": 0,
        "rows": [],
    }


def test_a_version_is_read_whole_once(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/gallery").json()["enrolled"] == 0
    read = GalleryTable.read

    def read_some(self: GalleryTable, columns: list[str], condition: str | None = None) -> object:
        assert condition is not None, "all rows are read again"
        return read(self, columns, condition)

    with monkeypatch.context() as patch:
        patch.setattr(GalleryTable, "read", read_some)
        for _ in range(2):
            assert client.get("/gallery").status_code == 200
            assert client.get("/gallery/rows?label=3").status_code == 200


def test_a_listing_keeps_no_gallery_alive(read_only: Settings) -> None:
    gallery = Gallery.open(read_only.gallery)
    assert listing(gallery) is listing(gallery)
    reference = weakref.ref(gallery)
    del gallery
    gc.collect()
    assert reference() is None


def test_an_enrolled_row_is_listed_with_its_exact_number(settings: Settings) -> None:
    model = load_model(settings.model)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Gallery.open(settings.gallery, model).enroll(image[None], "a new class", ["mine.png"])
    client = _client(settings)
    [row] = client.get("/gallery/rows", params={"label": "a new class"}).json()["rows"]
    assert row["number"] >= 2**62
    assert (row["file"], row["source"]) == ("mine.png", "enrolled")
    [one] = [one for one in client.get("/gallery").json()["classes"] if one["enrolled"]]
    assert one == {"label": "a new class", "pipeline": 0, "enrolled": 1, "example": row["number"]}
    answer = client.get(f"/gallery/images/{row['number']}.png")
    assert np.array_equal(_pixels(answer.content), image)


def test_a_gallery_that_is_made_again_is_listed_anew(read_only: Settings, tmp_path: Path) -> None:
    model = load_model(read_only.model)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    address = tmp_path / "gallery"
    Gallery.create(address, model).enroll(images[:1], "first")
    client = _client(replace(read_only, gallery=str(address)))
    assert [one["label"] for one in client.get("/gallery").json()["classes"]] == ["first"]
    shutil.rmtree(address)
    Gallery.create(address, model).enroll(images[1:], "second")  # of the same version number
    client.app.state.newest.renew()  # type: ignore[attr-defined]
    assert [one["label"] for one in client.get("/gallery").json()["classes"]] == ["second"]


def test_a_damaged_data_set_is_said_without_its_place(read_only: Settings, tmp_path: Path) -> None:
    prepared = shutil.copytree(read_only.prepared, tmp_path / "prepared")
    (prepared / "samples.parquet").write_bytes(b"damaged")
    answer = _client(replace(read_only, prepared=prepared)).get("/samples")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


def test_an_empty_gallery_is_described_too(read_only: Settings, tmp_path: Path) -> None:
    Gallery.create(tmp_path / "gallery", load_model(read_only.model))
    client = _client(replace(read_only, gallery=str(tmp_path / "gallery")))
    answer = client.get("/gallery").json()
    assert (answer["classes"], answer["pipeline"], answer["enrolled"]) == ([], 0, 0)
    assert client.get("/gallery/rows").json() == {"total": 0, "rows": []}


def test_the_image_of_a_row_is_the_stored_one(asked: TestClient, read_only: Settings) -> None:
    gallery = Gallery.open(read_only.gallery)
    for number in (0, 17):
        answer = asked.get(f"/gallery/images/{number}.png")
        assert answer.headers["content-type"] == "image/png"
        assert np.array_equal(_pixels(answer.content), gallery.images([number])[0])


@pytest.mark.parametrize("number", [10**6, 2**62, 2**63, 10**30, -1])
@pytest.mark.parametrize("what", ["gallery/images", "samples"])
def test_a_number_without_an_image_is_not_found(asked: TestClient, what: str, number: int) -> None:
    answer = asked.get(f"/{what}/{number}.png")
    assert answer.status_code == 404
    assert str(number) in answer.json()["detail"]


def test_thresholds_are_those_of_the_model(asked: TestClient, read_only: Settings) -> None:
    calibration = load_model(read_only.model).calibration
    answer = asked.get("/thresholds").json()
    assert answer["accuracy"] == calibration.accuracy_threshold
    assert answer["eer"] == calibration.eer_threshold
    assert answer["curve"] == {
        name: list(values) for name, values in vars(calibration.curve).items()
    }
    assert calibration.claims is not None
    assert answer["claims"] == plain(calibration.claims)


def test_samples_are_the_test_split_with_its_classes_mixed(
    asked: TestClient, read_only: Settings
) -> None:
    dataset = load_dataset(read_only.prepared)
    queries = dataset.queries()
    answer = asked.get("/samples", params={"limit": 1000}).json()
    assert answer["total"] == len(queries) == len(answer["samples"])
    assert sorted(one["sample"] for one in answer["samples"]) == queries.tolist()
    samples = dataset.samples
    for one in answer["samples"]:
        row = samples.loc[one["sample"]]
        assert one["label"] == dataset.classes.fine[row["fine"]]
        assert one["file"] == row["file"]
    # Any few in a row are of several classes.
    labels = [one["label"] for one in answer["samples"]]
    assert all(len(set(labels[at : at + 12])) > 3 for at in range(len(labels) - 12))


def test_samples_of_one_class_come_in_parts(asked: TestClient) -> None:
    counts = asked.get("/samples/labels").json()
    assert sum(one["samples"] for one in counts) == asked.get("/samples").json()["total"]
    three = {one["label"]: one["samples"] for one in counts}["3"]
    parts = [
        asked.get("/samples", params={"label": "3", "offset": offset, "limit": 20}).json()
        for offset in range(0, three, 20)
    ]
    assert {part["total"] for part in parts} == {three}
    found = [one for part in parts for one in part["samples"]]
    assert len({one["sample"] for one in found}) == three
    assert {one["label"] for one in found} == {"3"}
    assert asked.get("/samples?label=no+such").json() == {"total": 0, "samples": []}


def test_the_image_of_a_sample_is_that_of_the_data_set(
    asked: TestClient, read_only: Settings
) -> None:
    dataset = load_dataset(read_only.prepared)
    sample = int(dataset.queries()[5])
    answer = asked.get(f"/samples/{sample}.png")
    assert np.array_equal(_pixels(answer.content), dataset.images[sample])
    # A training image is none of the test split.
    assert asked.get(f"/samples/{dataset.rows('train')[0]}.png").status_code == 404


def test_without_a_data_set_there_are_no_samples(read_only: Settings, tmp_path: Path) -> None:
    client = _client(replace(read_only, prepared=tmp_path / "none", token=None))
    assert client.get("/samples").json() == {"total": 0, "samples": []}
    assert client.get("/samples/labels").json() == []
    assert client.get("/samples/3.png").status_code == 404
    assert not client.get("/gallery").json()["writable"]


def _client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), base_url="http://127.0.0.1:8000")


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))
