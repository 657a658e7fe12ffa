"""`stages/embed.py`: each sample in one file, forgeries in their own."""

import numpy as np
import pandas as pd
import pytest

from siamese.base.dataset import load_dataset
from siamese.embeddings.embedding_file import load_embeddings
from siamese.model.folder import load_model
from tests.support.workspace import Workspace


@pytest.mark.slow
def test_forgeries_are_neither_gallery_nor_queries(workspace: Workspace) -> None:
    folder = workspace.path / "data/embeddings"
    assert sorted(file.name for file in folder.iterdir()) == ["gallery.parquet", "queries.parquet"]
    before = load_embeddings(folder / "queries.parquet")
    file = workspace.path / "data/prepared/samples.parquet"
    samples = pd.read_parquet(file)
    samples["forged"] = samples["sample"] % 3 == 0
    file.unlink()  # it may be a link into DVC's cache
    samples.to_parquet(file, index=False)
    said = workspace.run("python", "stages/embed.py")
    dataset = load_dataset(workspace.path / "data/prepared")
    rows = dataset.forged("test")
    assert f"embed: forged, {len(rows):,} embeddings of 32 numbers" in said
    forged, gallery, queries = (
        load_embeddings(folder / f"{name}.parquet") for name in ("forged", "gallery", "queries")
    )
    assert forged.samples.tolist() == rows.tolist()
    assert forged.fine.tolist() == dataset.fine()[rows].tolist()
    vectors = load_model(workspace.path / "data/model").embed(dataset.images[rows])
    np.testing.assert_allclose(forged.vectors, vectors, atol=1e-5)
    together = np.sort(np.concatenate([forged.samples, queries.samples]))
    assert together.tolist() == before.samples.tolist()
    assert not samples["forged"][gallery.samples].any()
