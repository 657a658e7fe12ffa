"""The promises of the manifests, checked pair by pair on small made-up data sets."""

import itertools
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from siamese.base.blocks import blocks
from siamese.base.dataset import SPLITS, Dataset, save_tables
from siamese.base.errors import InputError
from siamese.measures.manifest import check_manifest
from siamese.pairs.drawing import draw_fixed, draw_training
from siamese.pairs.params import PairsParams
from tests.support.made_up_samples import made_params, made_up

Pairs = dict[frozenset[int], set[frozenset[int]]]


def different_pairs(dataset: Dataset, numbers: list[int]) -> Pairs:
    """List all pairs of some samples that are no exact copies, by their one or two classes."""
    fine = dataset.fine().tolist()
    group = dataset.samples["duplicate_of"].fillna(dataset.samples["sample"]).tolist()
    pairs: Pairs = defaultdict(set)
    for one, two in itertools.combinations(numbers, 2):
        if group[one] != group[two]:
            pairs[frozenset((fine[one], fine[two]))].add(frozenset((one, two)))
    return pairs


def spread(counts: Counter, keys: set) -> int:
    return max(counts[key] for key in keys) - min(counts[key] for key in keys)


def assert_epoch(pairs: pd.DataFrame, dataset: Dataset, params: PairsParams) -> None:
    """Check one epoch in plain loops."""
    fine, numbers = dataset.fine().tolist(), dataset.rows("train").tolist()
    there_are = different_pairs(dataset, numbers)
    present = {fine[number] for number in numbers}
    rows = [
        (frozenset((left, right)), frozenset((fine[left], fine[right])), same)
        for left, right, same in zip(pairs["left"], pairs["right"], pairs["same"], strict=True)
    ]
    assert len(rows) == params.batches_per_epoch * params.batch_size
    batches = [rows[part] for part in blocks(len(rows), params.batch_size)]
    in_batches: Counter[int] = Counter()
    drawn: dict[frozenset[int], Counter[frozenset[int]]] = defaultdict(Counter)
    for batch in batches:
        assert all(same == (len(classes) == 1) for _, classes, same in batch)
        assert sum(same for *_, same in batch) * 2 == params.batch_size
        in_like, in_unlike = (
            {label for _, classes, same in batch if same == kind for label in classes}
            for kind in (True, False)
        )
        assert in_like == in_unlike
        assert len(in_like) == params.classes_per_batch
        in_batches.update(in_like)
        for pair, classes, _ in batch:
            drawn[classes][pair] += 1
    assert spread(in_batches, present) <= 1
    for classes, times in drawn.items():
        assert set(times) <= there_are[classes], "of another split, or a sample with its exact copy"
        assert spread(times, there_are[classes]) <= 1, "repeated, though there are others"

    # Of two classes of a batch the one that is in fewer pairs could not take a place of the other.
    for kind in (True, False):
        places = Counter(label for _, classes, same in rows if same == kind for label in classes)
        for batch in batches:
            met = [classes for _, classes, same in batch if same == kind]
            here = Counter(label for classes in met for label in classes)
            for poor, rich in itertools.permutations(here, 2):
                if places[rich] > places[poor] + 1 and here[rich] > 1:
                    assert all(poor in classes for classes in met if rich in classes)

    uses = Counter(number for pair, *_ in rows for number in pair)
    if dataset.samples["duplicate_of"].isna().all():
        for label in present:
            assert spread(uses, {number for number in numbers if fine[number] == label}) <= 2


def assert_training(pairs: pd.DataFrame, dataset: Dataset, params: PairsParams) -> None:
    numbers = itertools.product(range(params.epochs), range(params.batches_per_epoch))
    expected = [both for both in numbers for _ in range(params.batch_size)]
    assert list(zip(pairs["epoch"], pairs["batch"], strict=True)) == expected
    for _, epoch in pairs.groupby("epoch"):
        assert_epoch(epoch, dataset, params)
    check_manifest(pairs, dataset.samples, "train", "here")


def assert_fixed(pairs: pd.DataFrame, dataset: Dataset, numbers: list[int], size: int) -> None:
    """Check fixed pairs of some samples in plain loops."""
    fine, there_are = dataset.fine().tolist(), different_pairs(dataset, numbers)
    drawn = {frozenset(pair) for pair in zip(pairs["left"], pairs["right"], strict=True)}
    assert len(drawn) == len(pairs) == size
    assert drawn <= set().union(*there_are.values())
    assert pairs["same"].tolist() == [
        fine[left] == fine[right] for left, right in zip(pairs["left"], pairs["right"], strict=True)
    ]
    assert pairs["same"].sum() * 2 == size
    met = Counter(frozenset(fine[number] for number in pair) for pair in drawn)
    # What is met more often than something else by two: the other has no more pairs.
    for one, two in itertools.permutations(there_are, 2):
        if len(one) == len(two):
            assert met[one] <= met[two] + 1 or met[two] == len(there_are[two])


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Unequal classes, and exact copies within and across classes and splits."""
    size = st.one_of(st.integers(1, 4), st.integers(2, 12), st.just(20))
    sizes = draw(st.lists(size, min_size=2, max_size=6))
    n_samples = 3 * sum(sizes)
    n_copies = draw(st.sampled_from([0, 0, n_samples // 8, n_samples // 2]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    copies = rng.permutation(n_samples)[:n_copies].tolist()
    originals = [row for row in range(n_samples) if row not in copies]
    few = rng.choice(originals, draw(st.integers(1, 4)))
    return made_up(sizes, copies={copy: int(rng.choice(few)) for copy in copies})


@settings(max_examples=150)
@given(datasets(), st.data())
def test_training_pairs_keep_their_promises_or_are_refused_rightly(
    dataset: Dataset, data: st.DataObject
) -> None:
    numbers = dataset.rows("train").tolist()
    labels = set(dataset.fine()[numbers])
    width = data.draw(st.integers(2, len(labels)))
    params = made_params(
        classes_per_batch=width,
        batch_size=2 * data.draw(st.integers(width, 8 * width)),
        batches_per_epoch=data.draw(st.integers(1, 8)),
        seed=data.draw(st.integers(0, 9)),
    )
    there_are = different_pairs(dataset, numbers)
    if any(not there_are[frozenset((label,))] for label in labels):
        event("refused")
        with pytest.raises(InputError, match=r"class `class-\d` with .* has no like pair"):
            draw_training(dataset, params)
        return
    event("drawn")
    assert_training(draw_training(dataset, params), dataset, params)


@settings(max_examples=150)
@given(datasets(), st.integers(1, 40), st.sampled_from(["validation", "test"]))
def test_fixed_pairs_keep_their_promises_or_are_refused_rightly(
    dataset: Dataset, half: int, split: str
) -> None:
    numbers = dataset.rows(split).tolist()
    there_are = different_pairs(dataset, numbers)
    like = sum(len(pairs) for classes, pairs in there_are.items() if len(classes) == 1)
    unlike = sum(len(pairs) for classes, pairs in there_are.items() if len(classes) == 2)
    if half > min(like, unlike):
        message = rf"`pairs.{split}` is {2 * half}, .* {like} like and {unlike} unlike pairs"
        with pytest.raises(InputError, match=message) as refusal:
            draw_fixed(dataset, split, made_params(**{split: 2 * half}))
        half = min(like, unlike)
        event(f"refused, {'draws all there are' if half else 'has none'}")
        assert (f"ask for at most {2 * half} pairs" in str(refusal.value)) == (half > 0)
    if half:
        pairs = draw_fixed(dataset, split, made_params(**{split: 2 * half}))
        check_manifest(pairs, dataset.samples, split, "here")
        assert_fixed(pairs, dataset, numbers, 2 * half)


@settings(max_examples=30)
@given(st.lists(st.integers(4, 12), min_size=4, max_size=7), st.integers(1, 12), st.data())
def test_novel_and_known_classes_have_half_of_the_test_pairs_each(
    sizes: list[int], quarter: int, data: st.DataObject
) -> None:
    novel = tuple(range(data.draw(st.integers(2, len(sizes) - 2))))
    dataset = made_up(sizes, novel=novel)
    size = 4 * quarter
    try:
        pairs = draw_fixed(dataset, "test", made_params(test=size))
    except InputError as refusal:
        (most,) = re.findall(r"of the novel part of .* ask for at most (\d+) pairs", str(refusal))
        assert int(most) < size
        size = int(most)
        pairs = draw_fixed(dataset, "test", made_params(test=size))
    check_manifest(pairs, dataset.samples, "test", "here")
    fine, queries = dataset.fine(), dataset.queries()
    for half, is_novel in ((pairs[: size // 2], False), (pairs[size // 2 :], True)):
        numbers = queries[np.isin(fine[queries], novel) == is_novel].tolist()
        assert_fixed(half, dataset, numbers, size // 2)


def test_the_two_halves_are_drawn_independently() -> None:
    """Known and novel classes with as many queries: the same stream would draw the same places."""
    dataset = made_up([9, 9, 17, 17], novel=(2, 3))
    halves = draw_fixed(dataset, "test", made_params(test=24))[["left", "right"]].to_numpy()
    fine, queries = dataset.fine(), dataset.queries()
    nth = {row: i for c in range(4) for i, row in enumerate(queries[fine[queries] == c])}
    known, novel = np.vectorize(nth.get)(halves).reshape(2, 12, 2)
    assert (known != novel).any()


def test_a_class_with_one_sample_stands_in_unlike_pairs_alone() -> None:
    """4 classes give 6 couples: of 20 unlike pairs one is of both singles, 3 or 4 of each other."""
    dataset = made_up([1, 1, 9, 9], splits=("validation",))
    pairs = draw_fixed(dataset, "validation", made_params(validation=40))
    classes = np.sort(dataset.fine()[pairs[["left", "right"]].to_numpy()], axis=1)
    met = Counter(map(tuple, classes.tolist()))
    assert {both: n for both, n in met.items() if both[0] == both[1]} == {(2, 2): 10, (3, 3): 10}
    assert met[0, 1] == 1
    assert sorted(met[both] for both in ((0, 2), (0, 3), (1, 2), (1, 3), (2, 3))) == [3, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ([2, 2], {"batch_size": 40, "classes_per_batch": 2}),
        ([200, 2, 2], {"batch_size": 60, "batches_per_epoch": 5}),
        ([2] * 120, {"batch_size": 64, "classes_per_batch": 32, "batches_per_epoch": 7}),
        ([9] * 7, {"batches_per_epoch": 5, "epochs": 20}),  # often one like pair per class
        ([9] * 7, {"batches_per_epoch": 2}),  # six of seven classes: they cannot be equal
        ([9] * 3, {"classes_per_batch": 2, "batch_size": 100, "batches_per_epoch": 4}),
    ],
)
def test_extreme_requests_are_drawn(sizes: list[int], changes: dict[str, int]) -> None:
    dataset, params = made_up(sizes, splits=("train",)), made_params(**changes)
    assert_training(draw_training(dataset, params), dataset, params)


@pytest.mark.parametrize(
    ("n_classes", "width", "batch_size", "batches"),
    [(100, 32, 128, 176), (10, 4, 128, 16), (25, 3, 96, 50), (7, 5, 250, 10)],
)
def test_all_classes_are_in_equally_many_pairs_within_a_few(
    n_classes: int, width: int, batch_size: int, batches: int
) -> None:
    """Though one class may be in a batch more than another, which has up to 32 places per class."""
    dataset = made_up([20] * n_classes, splits=("train",))
    params = made_params(
        classes_per_batch=width, batch_size=batch_size, batches_per_epoch=batches, epochs=1
    )
    pairs = draw_training(dataset, params)
    for same, kind in pairs.groupby("same"):
        ends = dataset.fine()[kind[["left", "right"]].to_numpy()]
        places = np.bincount(ends.ravel(), minlength=n_classes)
        assert np.ptp(places) <= (6 if same else 3)  # a like pair has two places of its class


@pytest.mark.parametrize(("batch_size", "times"), [(40, {1: 10}), (100, {2: 5, 3: 5})])
def test_a_class_repeats_like_pairs_only_when_it_has_no_other(
    batch_size: int, times: dict[int, int]
) -> None:
    """5 samples have 10 pairs: 10 asked are each once, of 25 asked half are two, half are three."""
    dataset = made_up([5, 60], splits=("train",))
    params = made_params(batch_size=batch_size, classes_per_batch=2, batches_per_epoch=1, epochs=1)
    pairs = draw_training(dataset, params)
    ends = pairs.loc[pairs["same"], ["left", "right"]].to_numpy()
    small = ends[dataset.fine()[ends[:, 0]] == 0].tolist()
    assert Counter(Counter(map(frozenset, small)).values()) == times


def no_samples() -> Dataset:
    dataset = made_up([2, 2])
    return Dataset(dataset.images[:0], dataset.samples.iloc[:0], dataset.classes)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (made_up([5, 1, 5]), r"`class-1` with 1 sample in the split `train` has no like pair"),
        (made_up([5, 5]), r"classes_per_batch` is 3, but the split `train` has only 2 classes"),
        (no_samples(), r"has only 0 classes; lower it to at most that"),
    ],
)
def test_what_cannot_be_drawn_for_training_is_refused(dataset: Dataset, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_training(dataset, made_params())


def test_a_class_that_copies_another_split_counts_its_copies_as_one() -> None:
    dataset = made_up([4, 4])
    fine, split = dataset.fine(), dataset.samples["split"].to_numpy()
    original = int(np.flatnonzero((fine == 0) & (split == "validation"))[0])
    copies = dict.fromkeys(np.flatnonzero((fine == 0) & (split == "train")).tolist(), original)
    dataset = made_up([4, 4], copies=copies)
    with pytest.raises(InputError, match=r"`class-0` with 4 samples .* `train` has no like pair"):
        draw_training(dataset, made_params(classes_per_batch=2))
    draw_fixed(dataset, "validation", made_params())


@pytest.mark.parametrize(
    ("dataset", "size", "message"),
    [
        (made_up([5]), 4, r"`pairs.test` is 4, .* two classes or more, .* `test` has 1"),
        (made_up([9] * 4, novel=(3,)), 12, r"two classes or more, and the novel part .* has 1"),
        (made_up([9] * 4, novel=(2, 3)), 10, r"`pairs.test` is 10, .* expected a multiple of 4"),
        (
            made_up([5, 5, 2]),
            44,
            r"`pairs.test` is 44, but the 12 samples of the split `test` give only 21 like and 45"
            r" unlike pairs, .*; ask for at most 42 pairs, or add samples \(`prepare.test` sets",
        ),
        (made_up([1, 9]), 20, r"give only 36 like and 9 unlike pairs, .* at most 18 pairs"),
        (made_up([1, 1, 1]), 2, r"give only 0 like and 3 unlike pairs, .* needed; add samples"),
        (made_up([9, 9, 3, 3], novel=(2, 3)), 16, r"novel part .* \(a smaller `prepare.enrolled`"),
    ],
)
def test_fixed_pairs_that_cannot_be_drawn_are_refused(
    dataset: Dataset, size: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_fixed(dataset, "test", made_params(test=size))


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
    for draw in (
        lambda params: draw_training(dataset, params),
        lambda params: draw_fixed(dataset, "test", params),
    ):
        for name, seed in {"one": 3, "two": 3, "three": 4}.items():
            draw(made_params(seed=seed)).to_parquet(tmp_path / name, index=False)
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


def test_the_stage_writes_the_three_manifests_without_reading_an_image(tmp_path: Path) -> None:
    dataset, params = made_up([9] * 4), made_params()
    root = Path(__file__).parents[2]
    shutil.copytree(root / "stages", tmp_path / "stages")
    (tmp_path / "src").symlink_to(root / "src")
    prepared = tmp_path / "data" / "prepared"
    prepared.mkdir(parents=True)
    save_tables(dataset.samples, dataset.classes, prepared)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"pairs": params.model_dump()}))
    stage = [sys.executable, str(tmp_path / "stages" / "pairs.py")]
    done = subprocess.run(stage, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "pairs: 32 for training (2 epochs of 2 batches of 8), 12 for validation, 12 for testing\n"
    )
    drawn = {"train": draw_training(dataset, params)}
    drawn |= {split: draw_fixed(dataset, split, params) for split in SPLITS[1:]}
    for split, pairs in drawn.items():
        written = pd.read_parquet(tmp_path / "data" / "pairs" / f"{split}.parquet")
        pd.testing.assert_frame_equal(written, pairs)
