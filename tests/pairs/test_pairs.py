"""The promises of the manifests, checked pair by pair on small made-up data sets."""

import itertools
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
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

from siamese.base.dataset import Classes, Dataset, save_dataset
from siamese.base.errors import InputError
from siamese.measures.manifest import check_manifest, read_manifest
from siamese.pairs.class_matching import keep_within_supply, match_classes
from siamese.pairs.dealing import DeadEnd, deal, share_out
from siamese.pairs.pair_pool import pool_of
from siamese.pairs.pairs import PairsParams, draw_fixed, draw_training

SPLITS = ("train", "validation", "test")


def made_up(
    sizes: list[int],
    splits: tuple[str, ...] = SPLITS,
    copies: dict[int, int] | None = None,
    novel: tuple[int, ...] = (),
) -> Dataset:
    """Make a data set with `sizes[c]` samples of class c in each split, some of them copies.

    Of `novel` classes there are only test samples, every other one enrolled.
    """
    fine = np.concatenate([np.repeat(np.arange(len(sizes)), sizes)] * len(splits))
    # Interleaved, so that no function gets away with taking labels to be sorted.
    order = np.random.default_rng(len(fine)).permutation(len(fine))
    split = np.repeat(splits, sum(sizes))[order]
    duplicate_of = pd.array([pd.NA] * len(fine), dtype="Int64")
    for copy, original in (copies or {}).items():
        duplicate_of[copy] = original
    samples = pd.DataFrame(
        {
            "sample": np.arange(len(fine)),
            "split": split,
            "fine": fine[order],
            "coarse": pd.array([pd.NA] * len(fine), dtype="Int64"),
            "file": "made-up",
            "duplicate_of": duplicate_of,
        }
    )
    if novel:
        is_novel = samples["fine"].isin(novel)
        nth = samples[is_novel & (split == "test")].groupby("fine").cumcount()
        samples["enrolled"] = (nth % 2 == 1).reindex(samples.index, fill_value=False)
        samples = samples[~is_novel | (split == "test")].reset_index(drop=True)
        samples["sample"] = np.arange(len(samples))
    names = tuple(f"class-{c}" for c in range(len(sizes)))
    return Dataset(np.zeros((len(samples), 1, 1, 3), np.uint8), samples, Classes(names))


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


def different_pairs(dataset: Dataset, numbers: list[int]) -> dict[frozenset[int], set[frozenset]]:
    """List all pairs of some samples that are no exact copies, by their one or two classes."""
    fine = dataset.samples["fine"].tolist()
    group = dataset.samples["duplicate_of"].fillna(dataset.samples["sample"]).tolist()
    pairs: dict[frozenset[int], set[frozenset]] = defaultdict(set)
    for one, two in itertools.combinations(numbers, 2):
        if group[one] != group[two]:
            pairs[frozenset((fine[one], fine[two]))].add(frozenset((one, two)))
    return pairs


def assert_within_one(counts: Iterable[int]) -> None:
    counts = list(counts)
    assert max(counts) - min(counts) <= 1, counts


def assert_epoch(
    pairs: pd.DataFrame,
    fine: list[int],
    there_are: dict[frozenset[int], set[frozenset]],
    params: PairsParams,
) -> None:
    """Check one epoch in plain loops; `pairs` are in batch order."""
    present = {label for classes in there_are for label in classes}
    like, unlike = Counter(dict.fromkeys(present, 0)), Counter(dict.fromkeys(present, 0))
    drawn: dict[frozenset[int], Counter[frozenset]] = defaultdict(Counter)
    rows = list(zip(pairs["left"], pairs["right"], pairs["same"], strict=True))
    assert len(rows) == params.batches_per_epoch * params.batch_size
    for start in range(0, len(rows), params.batch_size):
        batch = rows[start : start + params.batch_size]
        assert sum(same for _, _, same in batch) * 2 == params.batch_size
        in_like = {fine[left] for left, _, same in batch if same}
        in_unlike = {fine[end] for left, right, same in batch if not same for end in (left, right)}
        assert in_like == in_unlike
        assert len(in_like) == params.classes_per_batch
        for left, right, same in batch:
            assert same == (fine[left] == fine[right])
            drawn[frozenset((fine[left], fine[right]))][frozenset((left, right))] += 1
            if same:
                like[fine[left]] += 1
            else:
                unlike.update((fine[left], fine[right]))
    assert_within_one(like.values())
    assert_within_one(unlike.values())

    for classes, times in drawn.items():
        assert set(times) <= there_are[classes], "of another split, or a sample with its exact copy"
        assert_within_one(times[pair] for pair in there_are[classes])


def assert_fixed(pairs: pd.DataFrame, dataset: Dataset, numbers: list[int], size: int) -> None:
    """Check fixed pairs of some samples in plain loops."""
    fine = dataset.samples["fine"].tolist()
    there_are = different_pairs(dataset, numbers)
    present = sorted({fine[number] for number in numbers})
    seen = set()
    met, places = Counter[frozenset[int]](), Counter(dict.fromkeys(present, 0))
    for left, right, same in zip(pairs["left"], pairs["right"], pairs["same"], strict=True):
        pair, classes = frozenset((left, right)), frozenset((fine[left], fine[right]))
        assert pair in there_are[classes]
        assert pair not in seen
        seen.add(pair)
        assert same == (len(classes) == 1)
        met[classes] += 1
        if not same:
            places.update(classes)
    assert len(seen) == size
    assert places.total() == size
    singles = [frozenset((label,)) for label in present]
    assert_poured(
        [met[one] for one in singles], [len(there_are[one]) for one in singles], size // 2
    )

    # No class could take a place from one that has two more.
    for (one, two), label in itertools.product(itertools.permutations(present, 2), present):
        if met[frozenset((one, two))] and label != two and places[label] + 2 <= places[one]:
            instead = frozenset((label, two))
            assert met[instead] == len(there_are[instead])
    couples = map(frozenset, itertools.combinations(present, 2))
    if all(len(there_are[couple]) >= size // 2 for couple in couples):
        assert_within_one(places.values())


def assert_poured(items: list[int], supply: list[int], total: int) -> None:
    """Compare with a loop that hands out single items, to the one with fewest that can take it."""
    poured = [0] * len(supply)
    for _ in range(total):
        able = [c for c in range(len(supply)) if poured[c] < supply[c]]
        poured[min(able, key=lambda c: poured[c])] += 1
    assert sorted(items) == sorted(poured)
    # Who has more than another has not more by two, or the other has no more to give.
    for one, two in itertools.permutations(range(len(supply)), 2):
        assert items[one] <= items[two] + 1 or items[two] == supply[two]


def assert_training(pairs: pd.DataFrame, dataset: Dataset, params: PairsParams) -> None:
    numbering = itertools.product(
        range(params.epochs), range(params.batches_per_epoch), range(params.batch_size)
    )
    keys = list(zip(pairs["epoch"], pairs["batch"], strict=True))
    assert keys == [(epoch, batch) for epoch, batch, _ in numbering]
    there_are = different_pairs(dataset, dataset.rows("train").tolist())
    for _, epoch in pairs.groupby("epoch"):
        assert_epoch(epoch, dataset.samples["fine"].tolist(), there_are, params)
    check_manifest(pairs, dataset.samples, "train", "here")


def use_by_class(pairs: pd.DataFrame, dataset: Dataset, split: str = "train") -> list[list[int]]:
    """Count how often each sample of a split is used, a list a class."""
    use = Counter(pairs["left"].tolist() + pairs["right"].tolist())
    rows = dataset.rows(split)
    fine = dataset.fine()[rows]
    return [[use[int(row)] for row in rows[fine == label]] for label in np.unique(fine)]


UNBALANCED = st.lists(
    st.one_of(st.integers(1, 4), st.integers(2, 12), st.just(20)), min_size=2, max_size=6
)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Dataset, PairsParams]:
    """Unequal classes, copies (across classes and splits too), settings that may not fit."""
    sizes = draw(UNBALANCED)
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
        batch_size=2 * draw(st.integers(classes, 8 * classes)),
        classes_per_batch=classes,
        batches_per_epoch=draw(st.integers(1, 6)),
        validation=2 * draw(st.integers(1, 40)),
        test=2 * draw(st.integers(1, 40)),
        seed=draw(st.integers(0, 9)),
    )
    return made_up(sizes, copies=copies), params


@settings(max_examples=100)
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


@settings(max_examples=40)
@given(st.lists(st.sampled_from([2, 3, 5, 40]), min_size=2, max_size=5), st.integers(0, 99))
def test_classes_however_unequal_are_never_refused(sizes: list[int], seed: int) -> None:
    """Every class has a like pair, and comes up in every batch: training gets what it asks for."""
    dataset = made_up(sizes, splits=("train",))
    params = made_params(
        classes_per_batch=len(sizes), batch_size=32, batches_per_epoch=4, epochs=1, seed=seed
    )
    assert_training(draw_training(dataset, params), dataset, params)


@settings(max_examples=100)
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


@settings(max_examples=150)
@given(st.data())
def test_items_are_dealt_exactly_when_there_is_a_solution(data: Any) -> None:
    """Whatever the classes of the batches: an integer programme says whether it can be done."""
    # Batches of few classes, so that items must often pass through a third class.
    n_classes, n_batches = data.draw(st.integers(3, 6)), data.draw(st.integers(2, 12))
    width = data.draw(st.integers(2, 3))
    half = data.draw(st.integers(width, 5 * width))
    per_batch = data.draw(st.sampled_from([half, 2 * half]))
    low, odd = divmod(n_batches * per_batch, n_classes)
    high = low + (odd > 0)
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

    try:
        items = deal(present, per_batch, half, rng)
    except DeadEnd:
        assert not solvable
        return
    assert solvable
    assert ((items > 0) == present).all()
    assert items.max() <= half
    assert (items.sum(axis=1) == per_batch).all()
    assert ((low <= items.sum(axis=0)) & (items.sum(axis=0) <= high)).all()


@settings(max_examples=100)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.data())
def test_what_is_shared_out_is_poured_like_water(supply: list[int], data: Any) -> None:
    total = data.draw(st.integers(0, sum(supply)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    items = share_out(total, np.array(supply), rng)
    assert_poured(items.tolist(), supply, total)


@settings(max_examples=100)
@given(tasks(), st.sampled_from(["validation", "test"]))
def test_fixed_pairs_keep_their_promises_or_are_refused_rightly(
    task: tuple[Dataset, PairsParams], split: str
) -> None:
    dataset, params = task
    size = getattr(params, split)
    numbers = dataset.rows(split).tolist()
    there_are = different_pairs(dataset, numbers)
    like = sum(len(pairs) for classes, pairs in there_are.items() if len(classes) == 1)
    unlike = sum(len(pairs) for classes, pairs in there_are.items() if len(classes) == 2)
    if size > 2 * min(like, unlike):
        event("refused")
        with pytest.raises(InputError, match=rf"`pairs.{split}` is {size}, .* {like} like and"):
            draw_fixed(dataset, split, params)
        return
    pairs = draw_fixed(dataset, split, params)
    check_manifest(pairs, dataset.samples, split, "here")
    assert_fixed(pairs, dataset, numbers, size)


FEW = [[1, 1, 1, 1, 1], [1, 1, 1, 4], [1, 1, 4], [1, 2, 2, 3], [1, 2, 3], [1, 5], [2, 2, 2]]


@settings(max_examples=100)
@given(
    st.sampled_from(FEW),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=2),
    st.data(),
)
def test_no_other_choice_of_couples_is_more_equal(
    sizes: list[int], copies: list[tuple[int, int]], data: Any
) -> None:
    """Even to the last unlike pair there is: compared with all ways in which classes can meet."""
    doubles = {max(pair): min(pair) for pair in copies if max(pair) < sum(sizes)}
    doubles = {two: one for two, one in doubles.items() if one not in doubles and one != two}
    dataset = made_up(sizes, ("test",), doubles)
    pool = pool_of(dataset, dataset.rows("test"), "made up")
    there_are = different_pairs(dataset, dataset.rows("test").tolist())
    supply = {tuple(classes): len(p) for classes, p in there_are.items() if len(classes) == 2}
    if not supply:
        return
    all_there_are = sum(supply.values())
    half = max(1, all_there_are - data.draw(st.integers(0, 5) | st.integers(6, all_there_are + 6)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    places = share_out(2 * half, np.minimum(pool.unlike_supply, half), rng)
    couples = match_classes(places[None], rng)[0]
    kept = keep_within_supply(couples, pool, rng)
    event(f"changed: {kept is not couples}")
    met = Counter(frozenset(couple) for couple in kept.tolist())
    assert met.total() == half
    assert all(n <= len(there_are[classes]) for classes, n in met.items())
    assert all(len(classes) == 2 for classes in met)

    reached = {(0,) * len(sizes)}  # the places of each class, for every choice among some couples
    for couple, most in supply.items():
        reached = {
            tuple(n + (label in couple) * times for label, n in enumerate(places))
            for places in reached
            for times in range(most + 1)
            if sum(places) + 2 * times <= 2 * half
        }
    best = max(sorted(places) for places in reached if sum(places) == 2 * half)
    assert sorted(np.bincount(kept.ravel(), minlength=len(sizes)).tolist()) == best


def test_a_class_gains_a_place_through_a_third_where_it_must() -> None:
    """Of 29 couples 16 give every class 8 places; exchanging two classes is not always enough."""
    dataset = made_up([1, 3, 2, 3], ("test",))
    pool = pool_of(dataset, dataset.rows("test"), "made up")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        kept = keep_within_supply(match_classes(np.full((1, 4), 8), rng)[0], pool, rng)
        assert np.bincount(kept.ravel()).tolist() == [8, 8, 8, 8]


@settings(max_examples=30)
@given(st.data())
def test_novel_and_known_classes_have_half_of_the_test_pairs_each(data: Any) -> None:
    sizes = data.draw(st.lists(st.integers(4, 12), min_size=4, max_size=7))
    novel = tuple(range(data.draw(st.integers(2, len(sizes) - 2))))
    dataset = made_up(sizes, novel=novel)
    size = 4 * data.draw(st.integers(1, 4))
    params = made_params(test=size, seed=data.draw(st.integers(0, 9)))
    try:
        pairs = draw_fixed(dataset, "test", params)
    except InputError as refusal:
        event("refused")
        (most,) = re.findall(r"of the novel part of .* ask for at most (\d+) pairs", str(refusal))
        assert int(most) < size
        pairs = draw_fixed(dataset, "test", made_params(test=int(most)))
        size = int(most)
    event("drawn")
    check_manifest(pairs, dataset.samples, "test", "here")
    fine, queries = dataset.fine(), dataset.queries()
    for half, is_novel in ((pairs[: size // 2], False), (pairs[size // 2 :], True)):
        numbers = queries[np.isin(fine[queries], novel) == is_novel].tolist()
        assert_fixed(half, dataset, numbers, size // 2)


def test_the_two_halves_are_drawn_independently() -> None:
    """Known and novel classes with as many queries: the same stream would draw the same places."""
    dataset = made_up([9, 9, 17, 17], novel=(2, 3))
    pairs = draw_fixed(dataset, "test", made_params(test=24))
    fine, queries = dataset.fine(), dataset.queries()
    nth = np.zeros(len(fine), dtype=np.int64)
    for label in range(4):
        of_label = queries[fine[queries] == label]
        assert len(of_label) == 9
        nth[of_label] = np.arange(9) + 9 * (label % 2)
    known, novel = nth[pairs[["left", "right"]].to_numpy()].reshape(2, 12, 2)
    assert (known != novel).any()
    with pytest.raises(InputError, match=r"`pairs.test` is 10, .* expected a multiple of 4"):
        draw_fixed(dataset, "test", made_params(test=10))
    draw_fixed(made_up([9] * 4), "test", made_params(test=10))


def test_where_all_test_classes_are_novel_there_is_one_draw() -> None:
    dataset = made_up([9] * 4, splits=("test",))
    assert len(dataset.novel_classes()) == 4
    pairs = draw_fixed(dataset, "test", made_params(test=10))
    assert_fixed(pairs, dataset, dataset.queries().tolist(), 10)


def test_one_novel_class_makes_no_unlike_pair() -> None:
    dataset = made_up([9] * 4, novel=(3,))
    message = r"`pairs.test` is 12, .* two classes or more, and the novel part .* `test` has 1"
    with pytest.raises(InputError, match=message):
        draw_fixed(dataset, "test", made_params())


def test_a_class_with_one_sample_stands_in_unlike_pairs_alone() -> None:
    dataset = made_up([1, 1, 9, 9], splits=("validation",))
    pairs = draw_fixed(dataset, "validation", made_params(validation=40))
    left, right = (dataset.fine()[pairs[side].to_numpy()] for side in ("left", "right"))
    assert Counter(left[pairs["same"]].tolist()) == {2: 10, 3: 10}
    # 40 places; both singles have a pair with each of 19 others, so all classes have an equal part.
    assert Counter([*left[~pairs["same"]], *right[~pairs["same"]]]) == dict.fromkeys(range(4), 10)


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


def test_a_class_repeats_like_pairs_only_when_it_has_no_other() -> None:
    """5 samples have 10 pairs: 10 asked are each once, of 25 asked half are two, half are three."""
    dataset = made_up([5, 60], splits=("train",))
    for batch_size, times in ((40, {1: 10}), (42, {1: 9, 2: 1}), (100, {2: 5, 3: 5})):
        params = made_params(batch_size=batch_size, classes_per_batch=2, batches_per_epoch=1)
        pairs = draw_training(dataset, params)
        assert_training(pairs, dataset, params)
        like = pairs[(pairs["epoch"] == 0) & pairs["same"]]
        ends = np.sort(like[["left", "right"]].to_numpy(), axis=1)
        drawn = Counter(map(tuple, ends[dataset.fine()[ends[:, 0]] == 0].tolist()))
        found = Counter(drawn.values())
        assert sum(found.values()) == 10
        if batch_size != 42:  # 21 like pairs: either class may have the eleventh
            assert found == times
        else:
            assert found in ({1: 10}, times)


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
    params = made_params(batch_size=96, classes_per_batch=2, batches_per_epoch=1)
    assert_training(draw_training(dataset, params), dataset, params)


def test_a_class_that_copies_another_split_counts_its_copies_as_one() -> None:
    # Samples of `train` that are all copies of one of `validation`.
    dataset = made_up([4, 4])
    fine, split = dataset.fine(), dataset.samples["split"].to_numpy()
    original = int(np.flatnonzero((fine == 0) & (split == "validation"))[0])
    copies = dict.fromkeys(np.flatnonzero((fine == 0) & (split == "train")).tolist(), original)
    dataset = made_up([4, 4], copies=copies)
    params = made_params(classes_per_batch=2)
    with pytest.raises(InputError, match=r"`class-0` with 4 samples .* `train` has no like pair"):
        draw_training(dataset, params)
    draw_fixed(dataset, "validation", params)


@pytest.mark.parametrize(
    ("sizes", "changes", "message"),
    [
        ([5, 1, 5], {}, r"`class-1` with 1 sample in the split `train` has no like pair"),
        ([5, 5], {}, r"`pairs.classes_per_batch` is 3, but the split `train` has only 2 classes"),
        ([9], {"classes_per_batch": 2}, r"has only 1 classes"),
        ([], {}, r"has only 0 classes"),
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
        ([5], 4, r"`pairs.validation` is 4, .* two classes or more, .* `validation` has 1"),
        (
            [5, 5, 2],
            44,
            r"`pairs.validation` is 44, but the 12 samples of the split `validation` give only 21"
            r" like and 45 unlike pairs, .*; ask for at most 42 pairs, or add .*`prepare.valid",
        ),
        ([1, 9], 20, r"give only 36 like and 9 unlike pairs, .* at most 18 pairs"),
        ([1, 1, 1], 2, r"give only 0 like and 3 unlike pairs, .*; add samples"),
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
    root = Path(__file__).parents[2]
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
