"""Near-duplicates: planted ones are found, others are not, and the search equals a plain loop."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from siamese.base.dataset import Classes, Dataset, ImageRows
from siamese.base.errors import InputError
from siamese.duplicates import near_duplicates
from siamese.duplicates.duplicate_sheet import draw_duplicate_sheet
from siamese.duplicates.near_duplicate_file import read_near_duplicates, save_near_duplicates
from siamese.duplicates.near_duplicates import find_near_duplicates

THRESHOLD = 0.4


def photographs(n: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """Made-up images that, as photographs, vary slowly and in detail; uint8 `[n, H, W, 3]`."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, size, size, 3))
    for cells, weight in ((2, 1.0), (4, 0.7), (8, 0.5), (16, 0.35)):
        for image in images:
            coarse = rng.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
            picture = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
            image += weight * np.asarray(picture, dtype=float)
    return (images / 2.55).clip(0, 255).astype(np.uint8)


def dataset(gallery: np.ndarray, queries: np.ndarray) -> Dataset:
    """The gallery's images are of both other splits, the queries come in between."""
    half = len(gallery) // 2
    images = np.concatenate([gallery[:half], queries, gallery[half:]])
    split = ["train"] * half + ["test"] * len(queries) + ["validation"] * (len(gallery) - half)
    samples = pd.DataFrame({"sample": np.arange(len(images)), "split": split, "fine": 0})
    return Dataset(images, samples, Classes(("one",)))


def changed(image: np.ndarray, how: str) -> np.ndarray:
    """One image as it comes back from somewhere else."""
    values = image.astype(float)
    noise = np.random.default_rng(7).normal(0, 6, image.shape)
    match how:
        case "copied":
            pass
        case "mirrored":
            values = values[:, ::-1]
        case "brighter":
            values = values * 0.7 + 60
        case "noisy":
            values = values + noise
        case "shifted":
            values = np.roll(values, (2, 0), axis=(0, 1))
        case "mirrored, shifted, darker and noisy":
            values = np.roll(values[:, ::-1], 2, axis=1) * 0.8 + noise
    return values.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "how",
    ["copied", "mirrored", "brighter", "noisy", "shifted", "mirrored, shifted, darker and noisy"],
)
def test_an_image_that_comes_back_changed_is_found(how: str) -> None:
    gallery = photographs(60)
    queries = photographs(8, seed=1)
    queries[3] = changed(gallery[50], how)
    found = find_near_duplicates(dataset(gallery, queries), THRESHOLD)
    assert found["sample"].tolist() == list(range(30, 38))
    assert found["near_duplicate"].tolist() == [row == 3 for row in range(8)]
    assert found["of"][3] == 58, "the gallery's image 50 stands behind the 8 queries"
    if how == "copied":
        assert found["similarity"][3] == 1
        assert found["ratio"][3] == 0


def test_up_to_ten_copies_in_the_gallery_do_not_hide_each_other() -> None:
    gallery, queries = photographs(100), photographs(5, seed=1)
    gallery[10:20] = queries[2]
    found = find_near_duplicates(dataset(gallery, queries), THRESHOLD)
    assert found["near_duplicate"].tolist() == [False, False, True, False, False]
    assert found["of"][2] == 10, "of equals the first"


def test_an_image_that_is_like_many_is_a_near_duplicate_of_none() -> None:
    rng = np.random.default_rng(0)
    plain = photographs(1)[0].astype(float)
    likes = [(plain + rng.normal(0, 12, plain.shape)).clip(0, 255) for _ in range(40)]
    gallery = np.concatenate([photographs(60, seed=2), np.array(likes[:39], dtype=np.uint8)])
    found = find_near_duplicates(dataset(gallery, np.array(likes[39:], dtype=np.uint8)), THRESHOLD)
    assert found["of"][0] > 60, "one of those it is like, behind 60 others and itself"
    assert not found["near_duplicate"][0]


def plain_similarity(query: np.ndarray, other: np.ndarray, whitening: np.ndarray) -> float:
    """The cosine of the whitened images, the best over mirror image and shifts."""

    def features(small: np.ndarray) -> np.ndarray:
        centred = (small - small.mean(axis=(0, 1))).ravel()
        projected = centred / np.linalg.norm(centred) @ whitening
        return projected / np.linalg.norm(projected)

    def averaged(image: np.ndarray) -> np.ndarray:
        return image.reshape(16, 2, 16, 2, 3).astype(float).mean(axis=(1, 3))

    best = -1.0
    for image in (averaged(query), averaged(query)[:, ::-1]):
        for y, x in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            rows = (np.arange(16) + y).clip(0, 15)
            columns = (np.arange(16) + x).clip(0, 15)
            shifted = image[rows][:, columns]
            best = max(best, float(features(shifted) @ features(averaged(other))))
    return best


def test_similarity_and_ratio_equal_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "QUERIES_AT_ONCE", 3)
    monkeypatch.setattr(near_duplicates, "IMAGES_AT_ONCE", 7)
    gallery, queries = photographs(60), photographs(8, seed=1)
    queries[0] = changed(gallery[5], "noisy")
    found = find_near_duplicates(dataset(gallery, queries), THRESHOLD)
    # Whitened in another way, by the singular values of the standardised gallery.
    small = gallery.reshape(60, 16, 2, 16, 2, 3).astype(float).mean(axis=(2, 4))
    centred = (small - small.mean(axis=(1, 2), keepdims=True)).reshape(60, -1)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    _, scales, components = np.linalg.svd(centred, full_matrices=False)
    variance = scales**2 / 60
    kept = variance > near_duplicates.WEAKEST * variance[0]
    whitening = components[kept].T / np.sqrt(variance[kept])
    for row, query in enumerate(queries):
        similarity = np.array([plain_similarity(query, other, whitening) for other in gallery])
        nearest = int(similarity.argmax())
        assert found["of"][row] == (nearest if nearest < 30 else nearest + 8)
        assert found["similarity"][row] == pytest.approx(similarity[nearest], abs=2e-4)
        eleventh = np.sort(similarity)[-11]
        ratio = (1 - similarity[nearest]) / (1 - eleventh)
        assert found["ratio"][row] == pytest.approx(ratio, abs=1e-3)


@pytest.mark.parametrize("size", [8, 16, 17, 48])
def test_images_of_any_size_are_compared(size: int) -> None:
    gallery, queries = photographs(60, size), photographs(4, size, seed=1)
    queries[1] = gallery[40]
    found = find_near_duplicates(dataset(gallery, queries), THRESHOLD)
    assert found["near_duplicate"].tolist() == [False, True, False, False]


def test_averaging_is_exact_for_sizes_that_do_not_divide() -> None:
    image = np.arange(24, dtype=np.uint8)[None, :, None, None] * np.ones((1, 1, 24, 3), np.uint8)
    rows = near_duplicates._averaged(ImageRows(image, np.arange(1)))[0, :, 0, 0]
    # Each of the 16 cells spans one and a half of the 24 rows.
    expected = [(0 * 1 + 1 * 0.5) / 1.5, (1 * 0.5 + 2 * 1) / 1.5, (3 * 1 + 4 * 0.5) / 1.5]
    assert rows[:3].tolist() == pytest.approx(expected)
    assert rows.mean() == pytest.approx(11.5)


def test_blank_images_and_a_small_gallery_are_no_trouble() -> None:
    queries = np.stack([np.full((32, 32, 3), 200, np.uint8), photographs(1)[0]])
    gallery = photographs(4, seed=3)
    gallery[0] = 90
    found = find_near_duplicates(dataset(gallery, queries), THRESHOLD)
    assert np.isfinite(found[["similarity", "ratio"]]).all().all()
    assert not found["near_duplicate"][0], "nothing can be said of a blank image"


def test_a_higher_threshold_counts_no_fewer_and_changes_nothing_else() -> None:
    data = dataset(photographs(100), photographs(30, seed=1))
    low, high = find_near_duplicates(data, 0.5), find_near_duplicates(data, 0.9)
    assert low["near_duplicate"].sum() < high["near_duplicate"].sum()
    assert (high["near_duplicate"] >= low["near_duplicate"]).all()
    columns = ["sample", "of", "similarity", "ratio"]
    pd.testing.assert_frame_equal(low[columns], high[columns])


def test_the_file_returns_what_was_found_and_refuses_other_queries(tmp_path: Path) -> None:
    gallery, queries = photographs(60), photographs(6, seed=1)
    queries[4] = gallery[0]
    found = find_near_duplicates(dataset(gallery, queries), THRESHOLD)
    file, again = tmp_path / "near_duplicates.parquet", tmp_path / "again"
    save_near_duplicates(found, file)
    save_near_duplicates(find_near_duplicates(dataset(gallery, queries), THRESHOLD), again)
    assert file.read_bytes() == again.read_bytes()
    samples = np.arange(30, 36)
    assert read_near_duplicates(file, samples).tolist() == [row == 4 for row in range(6)]
    with pytest.raises(InputError, match="its 6 samples are not the 5 queries"):
        read_near_duplicates(file, samples[:5])
    with pytest.raises(InputError, match="no such file; `dvc repro duplicates` makes it"):
        read_near_duplicates(tmp_path / "none.parquet", samples)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        read_near_duplicates(file, samples)


def test_the_sheet_shows_the_pairs_on_both_sides_of_the_threshold(tmp_path: Path) -> None:
    n = 100
    # One colour each: which images are on the sheet can be told from its pixels.
    images = np.zeros((2 * n, 4, 4, 3), dtype=np.uint8)
    images[:, :, :, 0], images[:, :, :, 1] = np.arange(2 * n)[:, None, None], 77
    ratio = (np.arange(n) / n).astype(np.float32)
    found = pd.DataFrame(
        {"sample": np.arange(n), "of": np.arange(n) + n, "similarity": 1 - ratio, "ratio": ratio}
    ).assign(near_duplicate=ratio <= 0.495)
    sheet = draw_duplicate_sheet(images, found, 0.495)
    pixels = np.asarray(sheet).reshape(-1, 3)
    shown = set(pixels[pixels[:, 1] == 77][:, 0].tolist())
    assert shown >= {*range(20, 80), *range(120, 180)}
    assert not shown & {*range(20), *range(80, 100), *range(100, 120), *range(180, 200)}
    for name in ("first.png", "again.png"):
        draw_duplicate_sheet(images, found, 0.495).save(tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    wide = draw_duplicate_sheet(np.tile(images, (1, 1, 4, 1)), found, 0.495)
    assert (wide.width - 98) / (sheet.width - 98) == 2  # but for seven gaps
    assert wide.height < sheet.height
    none = found.assign(near_duplicate=False)
    assert draw_duplicate_sheet(images, none, 0.0).height < sheet.height


def test_the_search_is_the_same_by_blocks_of_the_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = photographs(25, seed=1)
    queries[3] = changed((gallery := photographs(110))[50], "noisy")
    data = dataset(gallery, queries)
    whole = find_near_duplicates(data, THRESHOLD)
    for at_once in (1, 7, 40, 109, 110):
        monkeypatch.setattr(near_duplicates, "GALLERY_AT_ONCE", at_once)
        monkeypatch.setattr(near_duplicates, "IMAGES_AT_ONCE", max(1, at_once // 3))
        monkeypatch.setattr(near_duplicates, "PIXELS_AT_ONCE", 32 * 32 * 3 * at_once)
        monkeypatch.setattr(near_duplicates, "SIMILARITIES_AT_ONCE", 110 * at_once // 7)
        found = find_near_duplicates(data, THRESHOLD)
        for name in ("sample", "of", "near_duplicate"):
            assert (found[name] == whole[name]).all()
        for name in ("similarity", "ratio"):  # four decimals: the last may be rounded differently
            np.testing.assert_allclose(found[name], whole[name], rtol=0, atol=1.5e-4)


def test_enrolled_samples_are_of_the_gallery() -> None:
    gallery, queries = photographs(60), photographs(8, seed=1)
    queries[2] = changed(queries[6], "noisy")
    data = dataset(gallery, queries)
    data.samples["enrolled"] = data.samples["sample"] == 36  # the query 6
    found = find_near_duplicates(data, THRESHOLD)
    assert found["sample"].tolist() == [30, 31, 32, 33, 34, 35, 37]
    assert found["near_duplicate"].tolist() == [row == 2 for row in range(7)]
    assert found["of"][2] == 36


def test_memory_grows_with_the_features_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "GALLERY_AT_ONCE", 256)
    monkeypatch.setattr(near_duplicates, "IMAGES_AT_ONCE", 100)
    monkeypatch.setattr(near_duplicates, "SIMILARITIES_AT_ONCE", 2**14)

    def peak(n: int) -> int:
        # Small images, so that what whitening takes, however many there are, does not cover theirs.
        noise = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
        np.save(tmp_path / "images.npy", noise)
        images = np.load(tmp_path / "images.npy", mmap_mode="r")
        split = np.where(np.arange(n) % 20 == 0, "test", "train")
        samples = pd.DataFrame({"sample": np.arange(n), "split": split, "fine": 0})
        data = Dataset(images, samples, Classes(("one",)))
        tracemalloc.start()
        try:
            find_near_duplicates(data, THRESHOLD)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)  # what is imported and kept
    features = 4 * near_duplicates.COMPONENTS
    # As float32, the pixels alone take 768 bytes.
    assert (peak(4000) - peak(1000)) / 3000 < features + 150
