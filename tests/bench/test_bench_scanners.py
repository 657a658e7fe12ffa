"""The benchmark of other scanners: whose claims it tries, and what it does to a picture."""

import importlib
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from siamese.images.fit import fit_image
from siamese.measures.claim_drawing import claims_by_references
from tests.support.workspace import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "bench")
    return importlib.import_module("scanners")


def test_without_a_change_claims_are_those_of_evaluate(bench: ModuleType) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    is_forged = np.arange(120) % 20 >= 12
    vectors = (2 * np.eye(6)[labels] + rng.normal(size=(120, 6))).astype(np.float32)
    tried = bench.try_claims(vectors, vectors, labels, is_forged, 5, "mean")
    assert [len(one) for one in tried] == [6 * bench.DRAWS * number for number in (12 - 5, 8, 20)]
    signed = np.where(is_forged, -1 - labels, labels)
    expected = claims_by_references(vectors, signed, np.arange(120))[5]
    distances, _ = expected.decided_by("mean")
    for found, kind in zip(tried, ("true", "forgery", "stranger"), strict=True):
        # Other draws of the same images.
        assert found.mean() == pytest.approx(distances[expected.kind == kind].mean(), rel=0.03)


def test_what_is_presented_is_changed_and_no_reference(bench: ModuleType) -> None:
    labels, is_forged = np.repeat([0, 1], 4), np.tile([False, False, False, True], 2)
    references = np.zeros((8, 2), dtype=np.float32)
    shown = references + np.array([3, 4], dtype=np.float32)
    for distances in bench.try_claims(references, shown, labels, is_forged, 2, "relative"):
        assert set(distances) == {5}


def test_every_change_leaves_the_writing(bench: ModuleType) -> None:
    page = np.full((60, 200), 255, dtype=np.uint8)
    page[20:40, 30:34], page[28:32, 30:170] = 90, 0
    inks = {}
    for name, change in bench.CHANGES.items():
        inks[name] = 255 - fit_image(change(Image.fromarray(page)), (64, 192), "ink")[..., 0]
        assert 0.02 < inks[name].mean() / 255 < 0.5, name
    for name, ink in inks.items():
        assert (ink == inks["nothing"]).all() == (name in ("nothing", "white on black")), name
