"""Maps of the digits: places against scikit-learn, and which files they need."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from siamese.base.errors import InputError
from siamese.base.parquet import read_frame
from siamese.gallery.gallery import Gallery
from siamese.gallery.model_hash import model_folder_hash
from siamese.model.folder import load_model
from siamese.projection.map_file import FILE, load_layout
from siamese.projection.maps import Map, compute_map, computed_map, principal_map
from siamese.projection.points import ENROLLED, PIPELINE, QUERY
from tests.support.maps import Project


def embeddings(project: Project, name: str) -> pd.DataFrame:
    return read_frame(project.path / f"data/embeddings/{name}.parquet")


def numbers(found: Map, kind: str) -> list[int]:
    return found.points.numbers[found.points.kinds == kind].tolist()


def test_the_principal_map_is_scikit_learns_of_all_vectors(project: Project) -> None:
    found = principal_map(*project.sides)
    gallery, queries = embeddings(project, "gallery"), embeddings(project, "queries")
    vectors = [
        np.stack(table["embedding"].tolist()).astype(np.float64) for table in (gallery, queries)
    ]
    pca = PCA(2, svd_solver="full").fit(vectors[0])
    assert found.explained == pytest.approx(pca.explained_variance_ratio_)
    expected = pca.transform(np.concatenate(vectors))
    np.testing.assert_allclose(found.places, expected, atol=1e-5)
    assert numbers(found, PIPELINE) == gallery["sample"].tolist()
    assert numbers(found, QUERY) == queries["sample"].tolist()
    labels = pd.concat([gallery, queries])["fine"]
    assert found.points.labels.tolist() == [str(label) for label in labels]
    assert found.notes == []


def test_test_images_are_called_what_the_evaluation_took_them_for(project: Project) -> None:
    found = principal_map(*project.sides)
    outcomes = read_frame(project.path / "metrics/per_query.parquet").set_index("sample")
    called = dict(zip(found.points.numbers, found.points.called, strict=True))
    asked = {number: called[number] for number in numbers(found, QUERY)}
    assert asked == {sample: str(label) for sample, label in outcomes["predicted"].items()}
    is_wrong = found.points.called != found.points.labels
    is_query = found.points.kinds == QUERY
    assert (is_wrong & is_query).sum() == (~outcomes["k20"]).sum()


def test_enrolled_images_are_on_the_principal_map(project: Project) -> None:
    images = project.enroll()
    found = principal_map(*project.sides)
    is_enrolled = found.points.kinds == ENROLLED
    assert sorted(found.points.labels[is_enrolled]) == ["again", "noise", "noise"]
    vectors = load_model(project.path / "data/model").embed(images)
    rows = project.table.read(["vector"])["vector"].to_pylist()
    expected = PCA(2, svd_solver="full").fit(np.array(rows)).transform(vectors)
    places = found.places[is_enrolled]
    assert all(np.abs(places - place).max(axis=1).min() < 1e-5 for place in expected)


@pytest.mark.parametrize(
    ("missing", "note"),
    [
        ("data/embeddings/queries.parquet", "There is no data/embeddings/queries.parquet"),
        ("data/embeddings/gallery.parquet", "The test images are left out"),
        ("data/prepared/classes.json", "The test images are left out"),
        ("metrics/per_query.parquet", "There is no metrics/per_query.parquet"),
    ],
)
def test_what_is_missing_is_said(project: Project, missing: str, note: str) -> None:
    (project.path / missing).unlink()
    found = principal_map(*project.sides)
    [said] = found.notes
    assert said.startswith(note)
    assert len(numbers(found, PIPELINE)) == len(embeddings_of_table(project))
    assert not any(found.points.called)


def embeddings_of_table(project: Project) -> list[int]:
    return project.table.read(["number"])["number"].to_pylist()


def test_test_images_of_other_embeddings_or_names_are_left_out(project: Project) -> None:
    file = project.path / "data/prepared/classes.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"fine": content["fine"][::-1]}))
    [note] = principal_map(*project.sides).notes
    assert "not of the run that the gallery was built from" in note


def test_outcomes_of_other_images_are_not_used(project: Project) -> None:
    file = project.path / "metrics/per_query.parquet"
    read_frame(file).iloc[1:].to_parquet(file)
    found = principal_map(*project.sides)
    assert not any(found.points.called)
    assert found.notes[0].startswith("metrics/per_query.parquet is about other test images")


def test_the_computed_map_keeps_neighbours_and_knows_its_gallery(computed: Project) -> None:
    found = computed_map(*computed.sides)
    assert len(numbers(found, PIPELINE)) == len(numbers(found, QUERY)) == 60
    stored = pd.concat([embeddings(computed, name) for name in ("gallery", "queries")])
    vectors = np.stack(stored.set_index("sample")["embedding"][found.points.numbers].tolist())
    assert trustworthiness(vectors, found.places, n_neighbors=5) > 0.9
    table = read_frame(computed.path / FILE)
    assert table.columns.tolist() == ["number", "kind", "x", "y"]
    place_of = table.set_index("number")[["x", "y"]]
    np.testing.assert_array_equal(found.places, place_of.loc[found.points.numbers])
    metadata = pq.ParquetFile(computed.path / FILE).schema_arrow.metadata
    assert metadata[b"siamese.model"].decode() == model_folder_hash(computed.path / "data/model")
    assert found.notes == [
        "On the map: 60 of 1,437 gallery images and 60 of 360 test images, evenly of every class."
    ]


def test_enrolled_images_stand_amid_their_nearest_on_the_computed_map(computed: Project) -> None:
    computed.enroll()
    found = computed_map(*computed.sides)
    kinds = found.points.kinds
    rows = computed.table.read(["number", "vector"]).to_pandas().set_index("number")["vector"]
    mapped = found.points.numbers[kinds == PIPELINE]
    vectors = np.stack(rows[mapped])
    for number, place in zip(
        found.points.numbers[kinds == ENROLLED], found.places[kinds == ENROLLED], strict=True
    ):
        nearest = np.linalg.norm(vectors - rows[number], axis=1).argsort()[:5]
        np.testing.assert_allclose(place, found.places[kinds == PIPELINE][nearest].mean(axis=0))
    assert found.notes[1] == "Enrolled images stand amid the 5 images nearest to them."


def test_a_map_of_other_embeddings_is_recognised(computed: Project) -> None:
    metadata = computed.table.metadata
    assert len(load_layout(computed.path / FILE, metadata).numbers) == 120
    for key in ("model", "embeddings"):
        with pytest.raises(InputError, match="computed from other embeddings"):
            load_layout(computed.path / FILE, metadata | {key: "0" * 64})


def test_a_map_that_is_missing_or_damaged_is_named(computed: Project) -> None:
    file = computed.path / FILE
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"map\.parquet: cannot be read .* `siamese map`"):
        computed_map(*computed.sides)
    file.unlink()
    with pytest.raises(InputError, match=r"map\.parquet: no such file; `siamese map` computes it"):
        computed_map(*computed.sides)


def test_a_gallery_without_rows_of_the_pipeline_has_no_computed_map(project: Project) -> None:
    address = project.path / "enrolled"
    model = load_model(project.path / "data/model")
    Gallery.create(address, model).enroll(project.enroll(), "new")
    table = Gallery.open(address).table
    with pytest.raises(InputError, match="0 rows from the pipeline"):
        compute_map(table, project.path, project.prepared)
    found = principal_map(table, project.path, project.prepared)
    assert numbers(found, ENROLLED)
    assert found.places.shape == (3, 2)
