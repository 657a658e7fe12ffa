"""The documentation's example, without PyTorch and without this project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese.base.dataset import load_dataset
from siamese.base.image_size import Size, sides
from siamese.export.file import Exported
from siamese.gallery.gallery import Gallery
from siamese.images.fit import fit_image
from siamese.model.folder import Model
from tests.support.galleries import build_gallery
from tests.support.workspace import ROOT, Workspace

CLASSIFY, PADDED, *_ = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/onnx.md").read_text(), re.DOTALL | re.MULTILINE
)
# What the example has found, for the test; importing PyTorch or this project fails.
PROGRAM = """
import sys
sys.modules["torch"] = sys.modules["siamese"] = None
{example}
print(json.dumps({{
    "votes": votes,
    "numbers": gallery["sample"].iloc[nearest].tolist(),
    "distances": distances[nearest].tolist(),
}}))
"""


@pytest.mark.parametrize("row", [0, 77])
def test_it_votes_as_the_gallery_does(
    row: int,
    written: tuple[Path, Exported],
    model: Model,
    finished: Workspace,
    tmp_path: Path,
) -> None:
    dataset = load_dataset(finished.path / "data/prepared")
    photo = np.asarray(dataset.images[dataset.rows("test")[row]])
    Image.fromarray(photo).resize((60, 60)).save(tmp_path / "photo.png")
    shutil.copyfile(written[0], tmp_path / "model.onnx")
    shutil.copytree(finished.path / "data/embeddings", tmp_path / "data/embeddings")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(example=CLASSIFY)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    build_gallery(finished, tmp_path / "gallery")
    [expected] = Gallery.open(tmp_path / "gallery", model).classify([tmp_path / "photo.png"])
    assert [label for label, _ in found["votes"]] == [vote.label for vote in expected.votes]
    assert [count / 20 for _, count in found["votes"]] == [vote.share for vote in expected.votes]
    assert found["numbers"] == [one.number for one in expected.neighbours]
    np.testing.assert_allclose(
        found["distances"], [one.distance for one in expected.neighbours], atol=1e-5
    )


SIDES = st.integers(1, 40)


@given(st.integers(1, 70), st.integers(1, 70), st.one_of(SIDES, st.tuples(SIDES, SIDES)))
def test_its_pictures_are_padded_as_ours(width: int, height: int, size: int | Size) -> None:
    functions: dict = {}
    exec(PADDED.partition("\n\n\nimage = ")[0], functions)
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    np.testing.assert_array_equal(
        functions["padded"](picture, *sides(size)), fit_image(picture, size)
    )
