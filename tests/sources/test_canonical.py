import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.dataset import Classes, Dataset
from siamese.sources.canonical import canonical_order, content_hash

# Two pixels and few values, so that equal images, and equal rows, are common.
row = st.tuples(
    st.sampled_from(["train", "validation", "test"]),
    st.integers(0, 2),
    st.sampled_from([None, 0, 1]),
    st.sampled_from(["a.png", "b.png"]),
    st.binary(min_size=6, max_size=6) | st.just(b"\0\0\0\0\0\0"),
)
rows = st.lists(row, min_size=1, max_size=8)
Row = tuple[str, int, int | None, str, bytes]


def make(rows: list[Row], classes: Classes | None = None) -> Dataset:
    images = np.frombuffer(b"".join(row[4] for row in rows), np.uint8).reshape(-1, 1, 2, 3)
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(rows)),
            "split": [row[0] for row in rows],
            "fine": np.array([row[1] for row in rows], dtype=np.int64),
            "coarse": pd.array([row[2] for row in rows], dtype="Int64"),
            "file": [row[3] for row in rows],
        }
    )
    return Dataset(images, samples, classes or Classes(("ant", "bee", "cat"), ("x", "y")))


def slow_hash(rows: list[Row]) -> str:
    """The documented bytes, put together in the plainest way."""
    text = b"fine ant\nfine bee\nfine cat\ncoarse x\ncoarse y\n"
    text += f"images {len(rows)} 1 2 3\n".encode()
    for split in ("train", "validation", "test"):
        for fine in range(3):
            chosen = [row for row in rows if row[0] == split and row[1] == fine]
            chosen.sort(key=lambda row: -1 if row[2] is None else row[2])
            chosen.sort(key=lambda row: hashlib.sha256(row[4]).hexdigest())
            for _, _, coarse, _, pixels in chosen:
                text += f"{split} {fine} {'-' if coarse is None else coarse}\n".encode() + pixels
    return hashlib.sha256(text).hexdigest()


def same(left: Dataset, right: Dataset) -> bool:
    return (left.images == right.images).all() and left.samples.equals(right.samples)


@settings(max_examples=40)
@given(rows=rows, data=st.data())
def test_neither_order_nor_file_names_make_a_difference(rows: list[Row], data: Any) -> None:
    dataset, permuted = make(rows), make(data.draw(st.permutations(rows)))
    assert same(canonical_order(dataset), canonical_order(permuted))
    assert content_hash(dataset) == content_hash(permuted) == slow_hash(rows)
    renamed: list[Row] = [(*row[:3], "other", row[4]) for row in rows]
    assert content_hash(make(renamed)) == slow_hash(rows), "file names do not count"


@settings(max_examples=40)
@given(rows=rows)
def test_canonical_order_only_moves_rows(rows: list[Row]) -> None:
    ordered = canonical_order(make(rows))
    table = ordered.samples.astype(object).where(ordered.samples.notna(), None)
    found = [
        (*values, image.tobytes())
        for values, image in zip(
            table[["split", "fine", "coarse", "file"]].itertuples(index=False, name=None),
            ordered.images,
            strict=True,
        )
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, rows))
    assert ordered.samples["sample"].tolist() == list(range(len(rows)))
    assert ordered.samples.dtypes.equals(make(rows).samples.dtypes)
    assert same(canonical_order(ordered), ordered)


def test_the_order_is_the_documented_one() -> None:
    digests = sorted((hashlib.sha256(bytes([n] * 6)).digest(), bytes([n] * 6)) for n in range(3))
    low, mid, high = (pixels for _, pixels in digests)
    expected: list[Row] = [
        ("train", 0, 0, "z.png", low),
        ("train", 0, 0, "a.png", mid),
        ("train", 0, 0, "b.png", mid),
        ("train", 0, 1, "a.png", mid),
        ("train", 0, 0, "a.png", high),
        ("train", 1, 0, "a.png", low),
        ("validation", 0, 0, "a.png", low),
        ("test", 0, None, "z.png", low),
        ("test", 0, 0, "a.png", low),
    ]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(expected))
        assert same(canonical_order(make([expected[i] for i in order])), make(expected))


@settings(max_examples=40)
@given(rows=rows, data=st.data())
def test_one_change_changes_the_hash(rows: list[Row], data: Any) -> None:
    split, fine, coarse, file, pixels = rows[0]
    at = data.draw(st.integers(0, 5))
    other = pixels[:at] + bytes([pixels[at] ^ 1]) + pixels[at + 1 :]
    changed: list[Row] = [
        ("test" if split == "train" else "train", fine, coarse, file, pixels),
        (split, (fine + 1) % 3, coarse, file, pixels),
        (split, fine, 1 if coarse is None else None, file, pixels),
        (split, fine, coarse, file, other),
    ]
    before = content_hash(make(rows))
    for change in changed:
        assert content_hash(make([change, *rows[1:]])) != before
    assert content_hash(make([*rows, rows[0]])) != before


@pytest.mark.parametrize(
    "classes",
    [
        Classes(("bee", "ant", "cat"), ("x", "y")),
        Classes(("ant", "bee", "cat"), ("x",)),
        Classes(("ant", "bee", "cat", "x"), ("y",)),
    ],
)
def test_class_names_count_in_the_hash(classes: Classes) -> None:
    rows: list[Row] = [("train", 0, 0, "a.png", b"abcdef")]
    assert content_hash(make(rows, classes)) != content_hash(make(rows))
