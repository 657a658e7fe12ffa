"""The promises of the manifests, checked pair by pair on small made-up data sets."""

import itertools
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import Bounds, LinearConstraint, milp

from siamese.data.dataset import Classes, Dataset, save_dataset
from siamese.data.manifest import check_manifest, read_manifest
from siamese.data.pairs import (
    PairsParams,
    _DeadEnd,
    _deal,
    _Plan,
    draw_fixed,
    draw_training,
)
from siamese.errors import InputError

SPLITS = ("train", "validation", "test")


def made_up(
    sizes: list[int], splits: tuple[str, ...] = SPLITS, copies: dict[int, int] | None = None
) -> Dataset:
    """Make a data set with `sizes[c]` samples of class c in each split, some of them copies."""
    fine = np.concatenate([np.repeat(np.arange(len(sizes)), sizes)] * len(splits))
    # Interleaved, so that no function gets away with taking labels to be sorted.
    order = np.random.default_rng(len(fine)).permutation(len(fine))
    duplicate_of = pd.array([pd.NA] * len(fine), dtype="Int64")
    for copy, original in (copies or {}).items():
        duplicate_of[copy] = original
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(fine)),
            "split": np.repeat(splits, sum(sizes))[order],
            "fine": fine[order],
            "coarse": pd.array([pd.NA] * len(fine), dtype="Int64"),
            "file": "made-up",
            "duplicate_of": duplicate_of,
        }
    )
    names = tuple(f"class-{c}" for c in range(len(sizes)))
    return Dataset(np.zeros((len(fine), 1, 1, 3), np.uint8), samples, Classes(names))


def made_params(**changes: int) -> PairsParams:
    small = {
        "batch_size": 8,
        "classes_per_batch": 3,
        "batches_per_epoch": 2,
        "epochs": 2,
        "validation": 12,
        "test": 12,
        "seed": 0,
    }
    return PairsParams(**(small | changes))


def assert_promises(
    pairs: pd.DataFrame, dataset: Dataset, split: str, batch_size: int, classes_per_batch: int
) -> None:
    """Check one epoch in plain loops; `pairs` are in batch order."""
    samples = dataset.samples
    fine, where = samples["fine"].tolist(), samples["split"].tolist()
    group = samples["duplicate_of"].fillna(samples["sample"]).tolist()
    present = {label for label, its_split in zip(fine, where, strict=True) if its_split == split}
    seen = set()
    like, unlike = Counter(dict.fromkeys(present, 0)), Counter(dict.fromkeys(present, 0))
    rows = list(zip(pairs["left"], pairs["right"], pairs["same"], strict=True))
    assert len(rows) % batch_size == 0
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        assert sum(same for _, _, same in batch) * 2 == batch_size
        in_like = {fine[left] for left, _, same in batch if same}
        in_unlike = {fine[end] for left, right, same in batch if not same for end in (left, right)}
        assert in_like == in_unlike
        assert len(in_like) == classes_per_batch
        for left, right, same in batch:
            assert where[left] == where[right] == split
            assert same == (fine[left] == fine[right])
            assert group[left] != group[right], "a sample with itself or its exact copy"
            assert frozenset((left, right)) not in seen
            seen.add(frozenset((left, right)))
            if same:
                like[fine[left]] += 1
            else:
                unlike.update((fine[left], fine[right]))
    assert max(like.values()) - min(like.values()) <= 1
    assert max(unlike.values()) - min(unlike.values()) <= 1


def assert_training(pairs: pd.DataFrame, dataset: Dataset, params: PairsParams) -> None:
    numbering = itertools.product(
        range(params.epochs), range(params.batches_per_epoch), range(params.batch_size)
    )
    keys = list(zip(pairs["epoch"], pairs["batch"], strict=True))
    assert keys == [(epoch, batch) for epoch, batch, _ in numbering]
    for _, epoch in pairs.groupby("epoch"):
        assert_promises(epoch, dataset, "train", params.batch_size, params.classes_per_batch)
    check_manifest(pairs, dataset.samples, "train", "here")


def use_by_class(pairs: pd.DataFrame, dataset: Dataset, split: str = "train") -> list[list[int]]:
    """Count how often each sample of a split is used, a list a class."""
    use = Counter(pairs["left"].tolist() + pairs["right"].tolist())
    rows = dataset.rows(split)
    fine = dataset.fine()[rows]
    return [[use[int(row)] for row in rows[fine == label]] for label in np.unique(fine)]


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Dataset, PairsParams]:
    """Unequal classes, copies (across classes and splits too), settings that may not fit."""
    sizes = draw(st.lists(st.integers(2, 12), min_size=2, max_size=6))
    n_samples = sum(sizes) * 3
    ends = st.lists(st.integers(0, n_samples - 1), min_size=2, max_size=4, unique=True)
    groups = draw(st.lists(ends, max_size=3))
    copies: dict[int, int] = {}
    for group in groups:
        original, *others = sorted(group)
        if not any(end in copies or end in copies.values() for end in group):
            copies.update(dict.fromkeys(others, original))
    classes = draw(st.integers(2, len(sizes)))
    params = made_params(
        batch_size=2 * draw(st.integers(classes, 3 * classes)),
        classes_per_batch=classes,
        batches_per_epoch=draw(st.integers(1, 6)),
        validation=2 * draw(st.integers(len(sizes), 2 * len(sizes))),
        seed=draw(st.integers(0, 9)),
    )
    return made_up(sizes, copies=copies), params


@settings(deadline=None, max_examples=150)
@given(tasks())
def test_a_manifest_keeps_its_promises_or_is_refused(task: tuple[Dataset, PairsParams]) -> None:
    dataset, params = task
    try:
        pairs = draw_training(dataset, params)
    except InputError as refusal:
        event(f"refused: {str(refusal)[:20]}")
        return
    event("drawn")
    assert_training(pairs, dataset, params)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(12, 20), min_size=2, max_size=8),
    st.data(),
)
def test_equal_batches_of_enough_samples_are_never_refused(sizes: list[int], data: Any) -> None:
    """All classes in all batches, or as many batches as classes: there is always a solution."""
    dataset = made_up(sizes, copies={1: 0, 5: 3})
    classes = data.draw(st.integers(2, len(sizes)))
    params = made_params(
        classes_per_batch=classes,
        batch_size=2 * data.draw(st.integers(classes, 2 * classes)),
        batches_per_epoch=1 if classes == len(sizes) else len(sizes),
        seed=data.draw(st.integers(0, 99)),
    )
    pairs = draw_training(dataset, params)
    assert_training(pairs, dataset, params)
    for _, epoch in pairs.groupby("epoch"):
        for use in use_by_class(epoch, dataset):
            assert max(use) - min(use) <= 2


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_items_are_dealt_exactly_when_there_is_a_solution(data: Any) -> None:
    """Whatever the classes of the batches: an integer programme says whether it can be done."""
    # Batches of few classes, so that items must often pass through a third class.
    n_classes, n_batches = data.draw(st.integers(3, 6)), data.draw(st.integers(2, 12))
    width = data.draw(st.integers(2, 3))
    half = data.draw(st.integers(width, 5 * width))
    per_batch = data.draw(st.sampled_from([half, 2 * half]))
    # The draw has made sure before that every class has an equal part, rounded down.
    low, odd = divmod(n_batches * per_batch, n_classes)
    supplies = st.lists(st.sampled_from([low + 2, low]), min_size=n_classes, max_size=n_classes)
    supply = np.array(data.draw(supplies))
    high = np.minimum(low + (odd > 0), supply)
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    present = np.zeros((n_batches, n_classes), dtype=bool)
    for row in present:
        row[rng.permutation(n_classes)[:width]] = True

    by_batch = np.kron(np.eye(n_batches), np.ones(n_classes))
    by_class = np.kron(np.ones(n_batches), np.eye(n_classes))
    solvable = milp(
        np.zeros(present.size),
        integrality=np.ones(present.size),
        bounds=Bounds(present.ravel(), half * present.ravel()),
        constraints=[
            LinearConstraint(by_batch, per_batch, per_batch),
            LinearConstraint(by_class, low, high),
        ],
    ).success
    event(f"solvable: {solvable}")

    plan = _Plan(n_batches, 2 * half, width, "made up")
    try:
        items = _deal(present, plan, per_batch, supply, rng)
    except _DeadEnd:
        assert not solvable
        return
    assert solvable
    assert ((items > 0) == present).all()
    assert items.max() <= half
    assert (items.sum(axis=1) == per_batch).all()
    assert ((low <= items.sum(axis=0)) & (items.sum(axis=0) <= high)).all()


@settings(deadline=None, max_examples=50)
@given(tasks(), st.sampled_from(["validation", "test"]))
def test_fixed_pairs_keep_the_same_promises(task: tuple[Dataset, PairsParams], split: str) -> None:
    dataset, params = task
    size = getattr(params, split)
    try:
        pairs = draw_fixed(dataset, split, params)
    except InputError as refusal:
        event(f"refused: {str(refusal)[:20]}")
        return
    event("drawn")
    n_classes = len(dataset.classes.fine)
    assert len(pairs) == size
    assert_promises(pairs, dataset, split, size, n_classes)
    check_manifest(pairs, dataset.samples, split, "here")


def test_an_epoch_of_as_many_places_as_samples_shows_every_image_once() -> None:
    dataset = made_up([40] * 10)
    params = made_params(batch_size=40, classes_per_batch=6, batches_per_epoch=5)
    for _, epoch in draw_training(dataset, params).groupby("epoch"):
        use = use_by_class(epoch, dataset)
        # 400 places for 400 samples; classes differ by a place or two, so few samples miss out.
        assert {n for counts in use for n in counts} <= {0, 1, 2}
        assert sum(counts.count(1) for counts in use) >= 380


def test_samples_of_a_class_are_used_equally_often_over_many_rounds() -> None:
    # 9 samples a class, an odd number: in each round of like pairs one of them has a bye.
    dataset = made_up([9] * 8)
    params = made_params(batch_size=32, classes_per_batch=4, batches_per_epoch=8)
    for _, epoch in draw_training(dataset, params).groupby("epoch"):
        for use in use_by_class(epoch, dataset):
            assert sum(use) == 64  # 256 pairs x 2 ends / 8 classes
            assert max(use) - min(use) <= 2


def test_classes_of_a_batch_have_nearly_equal_shares() -> None:
    """In the reference set-up nearly every class of a batch has 2 like pairs and 4 other places."""
    dataset = made_up([30] * 20, splits=("train",))
    params = made_params(batch_size=64, classes_per_batch=16, batches_per_epoch=22)
    pairs = draw_training(dataset, params)
    label = dataset.fine()[pairs["left"].to_numpy()]
    like = pairs[pairs["same"]].groupby(["epoch", "batch", label[pairs["same"]]]).size()
    assert like.between(1, 4).all()
    assert (like == 2).mean() > 0.9


def test_every_like_pair_there_is_can_be_drawn() -> None:
    """5 samples have 10 pairs: when all are asked for, all come, each once."""
    dataset = made_up([5, 5], splits=("train",))
    params = made_params(batch_size=40, classes_per_batch=2, batches_per_epoch=1)
    pairs = draw_training(dataset, params)
    assert_training(pairs, dataset, params)
    with pytest.raises(InputError, match=r"up to 11 like pairs a class.*only 10; .* at most 40"):
        draw_training(dataset, made_params(batch_size=42, classes_per_batch=2, batches_per_epoch=1))


def test_copies_in_other_classes_make_no_unlike_pair() -> None:
    """3 and 4 samples have 12 unlike pairs; 3 of them, of exact copies, must never come up."""
    dataset = made_up([3, 4], splits=("train",))
    fine = dataset.fine()
    ones, twos = np.flatnonzero(fine == 0), np.flatnonzero(fine == 1)[:3]
    copies = {int(max(pair)): int(min(pair)) for pair in zip(ones, twos, strict=True)}
    dataset = made_up([3, 4], splits=("train",), copies=copies)
    params = made_params(batch_size=12, classes_per_batch=2, batches_per_epoch=1, epochs=20)
    pairs = draw_training(dataset, params)
    assert_training(pairs, dataset, params)
    unlike = pairs[~pairs["same"]]
    drawn = {frozenset(pair) for pair in zip(unlike["left"], unlike["right"], strict=True)}
    assert len(drawn) == 9  # in 20 epochs of 6 every other one does


def test_copies_in_a_class_make_no_like_pair() -> None:
    """Of 6 samples 3 are identical: 15 - 3 = 12 like pairs remain, and all 12 can be drawn."""
    dataset = made_up([6, 8], splits=("train",))
    same = np.flatnonzero(dataset.fine() == 0)[:3].tolist()
    dataset = made_up([6, 8], ("train",), copies=dict.fromkeys(same[1:], same[0]))
    params = made_params(batch_size=48, classes_per_batch=2, batches_per_epoch=1)
    assert_training(draw_training(dataset, params), dataset, params)
    with pytest.raises(InputError, match=r"`class-0` with 6 samples.*has only 12"):
        draw_training(dataset, made_params(batch_size=52, classes_per_batch=2, batches_per_epoch=1))


def test_a_class_that_copies_another_split_counts_its_copies_as_one() -> None:
    # Samples of `validation` that are all copies of one of `train`.
    dataset = made_up([4, 4])
    fine, split = dataset.fine(), dataset.samples["split"].to_numpy()
    original = int(np.flatnonzero((fine == 0) & (split == "train"))[0])
    copies = dict.fromkeys(np.flatnonzero((fine == 0) & (split == "validation")).tolist(), original)
    dataset = made_up([4, 4], copies=copies)
    with pytest.raises(InputError, match=r"`class-0` with 4 samples .* `validation` has no like"):
        draw_fixed(dataset, "validation", made_params())
    draw_fixed(dataset, "test", made_params())


@pytest.mark.parametrize(
    ("sizes", "changes", "message"),
    [
        ([5, 1, 5], {}, r"`class-1` with 1 sample in the split `train` has no like pair"),
        ([5, 5], {}, r"`pairs.classes_per_batch` is 3, but the split `train` has only 2 classes"),
        ([9], {"classes_per_batch": 2}, r"has only 1 classes"),
        ([], {}, r"has only 0 classes"),
        ([9, 9, 3], {"batches_per_epoch": 9}, r"`pairs.batches_per_epoch` 9 x .* `class-2` with 3"),
        (
            [9] * 7,
            {"batches_per_epoch": 2},
            r"batches_per_epoch` is 2 .*: 7 classes cannot come up equally often.*multiple of 7",
        ),
    ],
)
def test_what_cannot_be_drawn_for_training_is_refused(
    sizes: list[int], changes: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_training(made_up(sizes) if sizes else no_samples(), made_params(**changes))


def no_samples() -> Dataset:
    dataset = made_up([2, 2])
    return Dataset(dataset.images[:0], dataset.samples.iloc[:0], dataset.classes)


@pytest.mark.parametrize(
    ("sizes", "validation", "message"),
    [
        ([5, 5, 5], 4, r"`pairs.validation` is 4 and .* 3 classes; .* at least two pairs a class"),
        ([5], 4, r"1 classes; expected two classes or more"),
        (
            [5, 5, 2],
            12,
            r"`pairs.validation` 12 needs up to 2 like .* `class-2` .* at most 6 pairs",
        ),
    ],
)
def test_what_cannot_be_drawn_once_is_refused(
    sizes: list[int], validation: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_fixed(made_up(sizes), "validation", made_params(validation=validation))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 7}, "multiple of 2"),
        ({"batch_size": 0}, "greater than or equal to 2"),
        ({"classes_per_batch": 1}, "greater than or equal to 2"),
        ({"classes_per_batch": 5}, "`pairs.classes_per_batch` is 5 and `pairs.batch_size` is 8"),
        ({"batches_per_epoch": 0}, "greater than or equal to 1"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"validation": 5}, "multiple of 2"),
        ({"test": 0}, "greater than or equal to 2"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 2**32}, "less than 4294967296"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        made_params(**changes)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    dataset = made_up([9] * 4)
    for name, seed in {"one": 3, "two": 3, "three": 4}.items():
        draw_training(dataset, made_params(seed=seed)).to_parquet(tmp_path / name, index=False)
    one, two, three = ((tmp_path / name).read_bytes() for name in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    dataset = made_up([9] * 4)
    longer = draw_training(dataset, made_params(epochs=4))
    shorter = draw_training(dataset, made_params(epochs=2))
    pd.testing.assert_frame_equal(longer[longer["epoch"] < 2], shorter)
    first, second = (longer[longer["epoch"] == epoch]["left"].tolist() for epoch in (0, 1))
    assert first != second


def _drop(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.drop(columns="same")


def _retype(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.astype({"left": "int32"})


def _shorten(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.iloc[:-1]


def _empty(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.iloc[:0]


def _number(value: int) -> Any:
    def change(pairs: pd.DataFrame) -> pd.DataFrame:
        return pairs.assign(left=[value, *pairs["left"].iloc[1:]])

    return change


def _self_pair(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.assign(left=[pairs["right"].iloc[0], *pairs["left"].iloc[1:]])


def _flip(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.assign(same=~pairs["same"])


def _regroup(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.sort_values("same", kind="stable", ignore_index=True).assign(
        epoch=pairs["epoch"], batch=pairs["batch"]
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _drop,
            "expected the columns epoch int32, batch int32, left int64, right int64, same bool",
        ),
        (_retype, "found epoch int32, batch int32, left int32.*; run the stage `pairs` again"),
        (_shorten, "expected equally large batches"),
        (_empty, "expected sample numbers"),
        (_number(-1), "expected sample numbers from 0 to 107"),
        (_number(108), "expected sample numbers from 0 to 107"),
        (_self_pair, "1 pairs are of a sample with itself, the first in row 0"),
        (_flip, "32 pairs have a `same` that the labels contradict"),
        (_regroup, "half of each `same`"),
    ],
)
def test_a_damaged_manifest_is_refused(damage: Any, message: str) -> None:
    dataset = made_up([9] * 4)
    pairs = draw_training(dataset, made_params())
    check_manifest(pairs, dataset.samples, "train", "here")
    with pytest.raises(InputError, match=message):
        check_manifest(damage(pairs), dataset.samples, "train", "here")


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    dataset = made_up([9] * 4)
    file = tmp_path / "train.parquet"
    pairs = draw_training(dataset, made_params())
    pairs.to_parquet(file, index=False)
    pd.testing.assert_frame_equal(read_manifest(file, dataset.samples, "train"), pairs)
    sound = file.read_bytes()
    again = r"delete it and run `dvc repro pairs`, which makes it again$"
    overwritten = sound[:4] + b"\xff" * 60 + sound[64:]  # the end, which is read first, is sound
    for damaged in (b"", sound[: len(sound) // 2], b"epoch,batch\n", overwritten):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"train\.parquet: cannot be read \(.*\); {again}"):
            read_manifest(file, dataset.samples, "train")
    file.unlink()
    with pytest.raises(InputError, match=r"train\.parquet: no such file; `dvc repro pairs` makes"):
        read_manifest(file, dataset.samples, "train")


def test_a_manifest_of_another_split_is_refused() -> None:
    dataset = made_up([9] * 4)
    pairs = draw_fixed(dataset, "validation", made_params())
    with pytest.raises(InputError, match="12 pairs are not of two samples of the split `test`"):
        check_manifest(pairs, dataset.samples, "test", "here")


def test_the_stage_writes_the_three_manifests(tmp_path: Path) -> None:
    dataset = made_up([9] * 4)
    root = Path(__file__).parents[1]
    shutil.copytree(root / "stages", tmp_path / "stages")
    (tmp_path / "src").symlink_to(root / "src")
    prepared = tmp_path / "data" / "prepared"
    prepared.mkdir(parents=True)
    save_dataset(dataset, prepared)
    params = made_params()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"pairs": params.model_dump()}))
    stage = [sys.executable, str(tmp_path / "stages" / "pairs.py")]
    done = subprocess.run(stage, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "pairs: 32 for training (2 epochs of 2 batches of 8), 12 for validation, 12 for testing\n"
    )
    for split in SPLITS:
        pairs = pd.read_parquet(tmp_path / "data" / "pairs" / f"{split}.parquet")
        check_manifest(pairs, dataset.samples, split, "here")
    written = pd.read_parquet(tmp_path / "data" / "pairs" / "train.parquet")
    pd.testing.assert_frame_equal(written, draw_training(dataset, params))
