"""The floors: exact by blocks, in bounded memory, and what is written in each case."""

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from siamese.base import dataset as dataset_module
from siamese.base.dataset import Classes, Dataset, ImageRows, load_dataset
from siamese.base.errors import InputError
from siamese.floor import floor
from siamese.floor.floor import image_distances, measure_floors, nearest_images, thumbnails
from siamese.measures.knn import nearest
from siamese.measures.verification import pair_distances
from tests.support.workspace import Workspace

NO_MANIFEST = Path("no/test.parquet")


def few_pixels(n: int, values: int = 256, size: int = 4, seed: int = 0) -> np.ndarray:
    """Noise, uint8 `[n, size, size, 3]`; of few values, many are at equal distances."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, values, (n, size, size, 3), dtype=np.uint8)


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32)


# By blocks


@settings(max_examples=40)  # the first example imports scikit-learn
@given(
    n=st.integers(3, 25),
    values=st.sampled_from([1, 2, 3, 256]),
    size=st.integers(1, 3),
    at_once=st.integers(3, 12),
    data=st.data(),
)
def test_neighbours_by_blocks_are_those_of_the_whole(
    n: int, values: int, size: int, at_once: int, data: st.DataObject
) -> None:
    images = few_pixels(n, values, size)
    order = np.array(data.draw(st.permutations(range(n))))
    n_gallery = data.draw(st.integers(1, n - 1))
    gallery, queries = order[:n_gallery], order[n_gallery:]
    k = data.draw(st.integers(1, n_gallery))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floor, "VALUES_AT_ONCE", at_once * size * size * 3)
        found = nearest_images(ImageRows(images, gallery), ImageRows(images, queries), k)
    expected, _ = nearest(flat(images[gallery]), flat(images[queries]), k)
    assert found.dtype == expected.dtype
    assert (found == expected).all()


@pytest.mark.parametrize("k", [0, 11])
def test_more_neighbours_than_there_are_cannot_be_had(k: int) -> None:
    images = few_pixels(12)
    with pytest.raises(InputError, match=rf"floor\.k is {k}, but the gallery has 10 samples"):
        nearest_images(ImageRows(images, np.arange(10)), ImageRows(images, np.arange(10, 12)), k)


def test_distances_of_pairs_by_blocks_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, rng = few_pixels(50), np.random.default_rng(1)
    left, right = rng.integers(0, 50, (2, 101))
    expected = pair_distances(flat(images), left, right)
    for at_once in (1, 10, 1000):
        monkeypatch.setattr(floor, "PAIR_VALUES_AT_ONCE", at_once * 48)
        assert (image_distances(images, left, right) == expected).all()


# Thumbnails


@pytest.mark.parametrize("size", [1, 31, 32])
def test_small_images_are_compared_as_they_are(size: int) -> None:
    images = few_pixels(6, size=size)
    rows = np.array([3, 0, 3])
    vectors = thumbnails(ImageRows(images, rows))
    assert vectors.dtype == np.float32
    assert (vectors == flat(images[rows])).all()


@pytest.mark.parametrize("size", [33, 64, 100])
def test_large_images_are_brought_down_as_pytorch_does_it(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "PART_BYTES", 3 * size * size * 3)  # three at a time
    images = few_pixels(8, values=100, size=size) + 80  # no overshoot that is cut off
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    small = torch.nn.functional.interpolate(planes, size=32, mode="bicubic", antialias=True)
    expected = flat(small.permute(0, 2, 3, 1).numpy())
    vectors = thumbnails(ImageRows(images, np.arange(8)[::-1]))
    assert vectors.shape == (8, 32 * 32 * 3)
    # Pillow rounds to whole numbers after each of the two directions.
    assert abs(vectors[::-1] - expected).max() < 1.3


def test_large_images_of_another_shape_are_brought_down_to_as_many_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 256, 3), dtype=np.uint8)
    vectors = thumbnails(ImageRows(images, np.arange(3)))
    expected = [np.asarray(Image.fromarray(image).resize((64, 16), 3)) for image in images]
    assert (vectors == flat(np.stack(expected))).all()
    small = images[:, :16, :64]
    assert (thumbnails(ImageRows(small, np.arange(3))) == flat(small)).all()


def test_large_images_are_compared_as_thumbnails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "VALUES_AT_ONCE", 7 * 3072)
    images, rows = few_pixels(40, size=40), np.arange(40)
    small = thumbnails(ImageRows(images, rows))
    gallery, queries = ImageRows(images, rows[:30]), ImageRows(images, rows[30:])
    expected, _ = nearest(small[:30], small[30:], 5)
    assert (nearest_images(gallery, queries, 5) == expected).all()
    distances = image_distances(images, rows[:20], rows[20:])
    assert (distances == pair_distances(small, rows[:20], rows[20:])).all()


def test_memory_does_not_grow_with_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "VALUES_AT_ONCE", 2**18)
    monkeypatch.setattr(floor, "PAIR_VALUES_AT_ONCE", 2**14)
    size, k = 16, 5

    def peak(n: int) -> int:
        np.save(tmp_path / "images.npy", few_pixels(n, size=size))
        images = np.load(tmp_path / "images.npy", mmap_mode="r")
        rows = np.arange(n)
        tracemalloc.start()
        try:
            nearest_images(ImageRows(images, rows[: n // 2]), ImageRows(images, rows[n // 2 :]), k)
            image_distances(images, rows, rows[::-1])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(800)  # what is imported and kept
    # An image takes 768 bytes, 3,072 as float32; what is found for one query, 80.
    assert (peak(2400) - peak(800)) / 1600 < 200


# What is written


def dataset(split: list[str], fine: list[int], enrolled: list[int] | None = None) -> Dataset:
    """Images of one colour, its class's tenth of the scale, with a little noise."""
    n = len(split)
    noise = few_pixels(n, 6)
    images = noise + 20 * np.array(fine, dtype=np.uint8)[:, None, None, None]
    samples = pd.DataFrame({"sample": np.arange(n), "split": split, "fine": fine})
    if enrolled is not None:
        samples["enrolled"] = samples["sample"].isin(enrolled)
    return Dataset(images, samples, Classes(tuple(map(str, range(10)))))


class Embedder:
    """The untrained network: the first pixel's values. Notes how many images it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: ImageRows) -> np.ndarray:
        self.seen += len(images)
        return images[:][:, 0, 0].astype(np.float32)


def plain_votes(data: Dataset, vectors: np.ndarray, k: int) -> np.ndarray:
    """Whether each query's class is that of most of its k nearest, by a plain loop; bool `[Q]`."""
    labels, gallery = data.fine(), data.gallery()
    votes = []
    for query in data.queries():
        gaps = np.linalg.norm(vectors[gallery].astype(float) - vectors[query], axis=1)
        voters = labels[gallery][np.argsort(gaps, kind="stable")[:k]].tolist()
        elected = max(voters, key=lambda label: (voters.count(label), -voters.index(label)))
        votes.append(elected == labels[query])
    return np.array(votes)


def share(votes: np.ndarray) -> float:
    return round(float(votes.mean()), 4)


def test_ordinarily_two_figures_of_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    split = rng.choice(["train", "validation", "test"], 90).tolist()
    data = dataset(split, rng.integers(0, 3, 90).tolist())
    data.images[:] = few_pixels(90) // 4 + 20 * data.fine().astype(np.uint8)[:, None, None, None]
    monkeypatch.setattr(floor, "VALUES_AT_ONCE", 48 * 7)
    network = Embedder()
    found = measure_floors(data, network, 4, NO_MANIFEST)
    expected = {
        "pixels": share(plain_votes(data, flat(data.images), 4)),
        "untrained": share(plain_votes(data, data.images[:, 0, 0].astype(np.float32), 4)),
    }
    assert found == expected
    assert 0.3 < expected["untrained"] < expected["pixels"]
    assert network.seen == 90


def test_seen_and_novel_classes_have_figures_of_their_own() -> None:
    # Class 3 is enrolled, class 4 is not, so no query of it can be right; 0 to 2 are known.
    split = ["train", "validation"] * 12 + ["test"] * 20
    fine = [row % 3 for row in range(24)] + [row % 5 for row in range(20)]
    data = dataset(split, fine, enrolled=[27, 32])
    found = measure_floors(data, Embedder(), 1, NO_MANIFEST)
    assert found["seen"] == {"pixels": 1.0, "untrained": 1.0}
    assert found["novel"] == {"pixels": 0.3333, "untrained": 0.3333}  # 2 of 6
    assert found["pixels"] == found["untrained"] == 0.7778  # 14 of 18


def test_novel_classes_alone_have_no_figures_of_their_own() -> None:
    data = dataset(["train"] * 6 + ["test"] * 6, [0, 1] * 3 + [2, 3] * 3, enrolled=[6, 7])
    assert measure_floors(data, Embedder(), 1, NO_MANIFEST) == {"pixels": 1.0, "untrained": 1.0}


@pytest.fixture
def novel_alone(tmp_path: Path) -> tuple[Dataset, Path]:
    """Queries of two classes that the gallery has not, and pairs of them."""
    split = ["train"] * 6 + ["test"] * 20 + ["validation"] * 2
    data = dataset(split, [0, 1] * 3 + [2, 3] * 10 + [0, 1])
    data.images[:] = few_pixels(28) // 2 + 20 * data.fine().astype(np.uint8)[:, None, None, None]
    same = np.arange(12) % 2 == 0
    left = np.arange(6, 18)
    right = left + np.where(same, 2, 3)  # up to 18 and 20: the other queries are in no pair
    pd.DataFrame({"left": left, "right": right, "same": same}).to_parquet(
        tmp_path / "test.parquet", index=False
    )
    return data, tmp_path / "test.parquet"


def plain_floors(data: Dataset, pairs: pd.DataFrame) -> dict[str, float]:
    """The chance that a like pair is nearer, over all pairs of pairs."""
    left, right, same = (pairs[name].to_numpy() for name in ("left", "right", "same"))
    expected = {}
    for name, vectors in (("pixels", flat(data.images)), ("untrained", data.images[:, 0, 0])):
        gaps = np.linalg.norm(vectors[left].astype(float) - vectors[right], axis=1)
        nearer = gaps[same][:, None] - gaps[~same][None, :]
        expected[name] = round(float((nearer < 0).mean() + (nearer == 0).mean() / 2), 4)
    return expected


def test_where_the_gallery_has_no_class_of_the_queries_pairs_are_verified(
    novel_alone: tuple[Dataset, Path],
) -> None:
    data, manifest = novel_alone
    network = Embedder()
    found = measure_floors(data, network, 1, manifest)
    expected = plain_floors(data, pd.read_parquet(manifest))
    assert found == {"verification": expected}
    assert len(set(expected.values())) == 2
    assert network.seen == 14, "the images of the pairs, each once"


def test_pairs_with_a_forgery_are_left_out_where_there_are_others(
    novel_alone: tuple[Dataset, Path],
) -> None:
    data, manifest = novel_alone
    pairs = pd.read_parquet(manifest)
    data.samples["forged"] = data.samples["sample"] == 25
    is_forged = (~pairs["same"]) & (pairs["left"] % 2 == 1)  # of the class of sample 25, then
    pairs.loc[is_forged.index[is_forged][-1], "right"] = 25
    pairs.to_parquet(manifest, index=False)
    found = measure_floors(data, Embedder(), 1, manifest)
    assert found == {"verification": plain_floors(data, pairs[pairs["right"] != 25])}
    pairs.loc[~pairs["same"], "right"] = 25
    pairs.loc[~pairs["same"], "left"] = np.arange(7, 19, 2)
    pairs.to_parquet(manifest, index=False)
    found = measure_floors(data, Embedder(), 1, manifest)
    assert found == {"verification": plain_floors(data, pairs)}


def test_given_pairs_with_a_forgery_are_measured_like_the_others(
    novel_alone: tuple[Dataset, Path],
) -> None:
    data, manifest = novel_alone
    data.samples["forged"] = data.samples["sample"] == 25
    pairs = pd.read_parquet(manifest).assign(fold=np.arange(12, dtype=np.int32) // 2 % 2)
    pairs.loc[1, "right"] = 25
    pairs = pairs.drop(index=[0, 4])
    pairs.to_parquet(manifest, index=False)
    found = measure_floors(data, Embedder(), 1, manifest)
    assert found == {"verification": plain_floors(data, pairs)}


def test_verification_alone_needs_the_pairs_of_this_data(
    novel_alone: tuple[Dataset, Path],
) -> None:
    data, manifest = novel_alone
    with pytest.raises(InputError, match="no such file"):
        measure_floors(data, Embedder(), 1, NO_MANIFEST)
    pd.read_parquet(manifest).assign(left=0).to_parquet(manifest, index=False)
    with pytest.raises(InputError, match="of the split `test`"):
        measure_floors(data, Embedder(), 1, manifest)


@pytest.mark.slow
def test_of_pretrained_weights_the_backbone_itself_is_measured(
    workspace: Workspace, tmp_path: Path
) -> None:
    """The share that the nearest image of the gallery gets right, by timm's features alone."""
    timm = pytest.importorskip("timm")
    from safetensors.torch import load_file
    from sklearn.neighbors import KNeighborsClassifier

    from siamese.base.weights_folder import save_weights
    from tests.support.timm_weights import made_up_weights

    weights = made_up_weights(tmp_path / "weights.safetensors", "test_efficientnet")
    (workspace.path / "data/weights").mkdir(exist_ok=True)
    save_weights(weights, workspace.path / "data/weights")
    network = {"architecture": "timm/test_efficientnet", "mirror": True, "normalize": True}
    workspace.change_params({"network": network, "floor": {"k": 1}})
    workspace.run(sys.executable, "stages/floor.py")
    found = json.loads((workspace.path / "metrics/floor.json").read_text())

    data = load_dataset(workspace.path / "data/prepared")
    backbone = timm.create_model("test_efficientnet", num_classes=0).eval()
    stored = load_file(weights.file)
    backbone.load_state_dict({name: stored[name] for name in backbone.state_dict()})
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    planes = torch.from_numpy(np.array(data.images)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        both = [backbone((one - mean) / std) for one in (planes, planes.flip(3))]
    mean_of_both = torch.stack([torch.nn.functional.normalize(one) for one in both]).mean(dim=0)
    features = torch.nn.functional.normalize(mean_of_both).numpy()
    gallery, queries, labels = data.gallery(), data.queries(), data.fine()
    nearest_one = KNeighborsClassifier(1).fit(features[gallery], labels[gallery])
    expected = nearest_one.score(features[queries], labels[queries])
    assert found["untrained"] == pytest.approx(expected, abs=0.005)
