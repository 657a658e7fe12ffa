"""Pairs of what is genuine and a forgery of it, checked one by one beside those drawn without."""

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.dataset import Dataset, is_forged
from siamese.base.errors import InputError
from siamese.measures.manifest import check_manifest
from siamese.pairs.drawing import draw_fixed, draw_training
from tests.support.made_up_samples import made_params, made_up

Pair = tuple[int, int]


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Classes of unequal size, some without forgeries; some samples are copies of others."""
    n_classes = draw(st.integers(3, 6))
    sizes, forged = (
        draw(st.lists(st.integers(least, most), min_size=n_classes, max_size=n_classes))
        for least, most in ((3, 9), (0, 6))
    )
    n_samples = 3 * (sum(sizes) + sum(forged))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    originals = rng.permutation(n_samples)
    n_copies = draw(st.sampled_from([0, 0, 3]))
    copies = dict(zip(originals[:n_copies].tolist(), originals[-3:].tolist(), strict=False))
    return made_up(sizes, copies=copies, forged=forged if any(forged) else [1] * n_classes)


def pictures(dataset: Dataset) -> np.ndarray:
    samples = dataset.samples
    return samples["duplicate_of"].fillna(samples["sample"]).to_numpy(dtype=np.int64)


def possible(dataset: Dataset, genuine: np.ndarray, split: str) -> dict[int, set[Pair]]:
    """List all pairs of a genuine sample and a forgery of its class, by class."""
    fine, picture, forged = dataset.fine(), pictures(dataset), is_forged(dataset.samples)
    all_genuine = set(picture[~forged].tolist())
    pairs: dict[int, set[Pair]] = defaultdict(set)
    for left in genuine.tolist():
        for right in range(len(fine)):
            is_one = forged[right] and dataset.samples["split"][right] == split
            if is_one and fine[left] == fine[right] and picture[right] not in all_genuine:
                pairs[int(fine[left])].add((left, right))
    return pairs


def rows_of(table: pd.DataFrame) -> list[Pair]:
    return [*table[["left", "right"]].itertuples(index=False, name=None)]


def spread(counts: Counter[int], keys: set[int]) -> int:
    return max(counts[key] for key in keys) - min(counts[key] for key in keys)


@settings(max_examples=30)
@given(datasets(), st.sampled_from([0.25, 0.5, 1.0]), st.data())
def test_each_batch_has_its_share_of_forgeries_of_its_own_classes(
    dataset: Dataset, share: float, data: st.DataObject
) -> None:
    width = data.draw(st.integers(2, len(dataset.classes.fine)))
    half = width * data.draw(st.integers(1, 5))
    params = made_params(classes_per_batch=width, batch_size=2 * half, forged=share, epochs=2)
    try:
        without = draw_training(dataset, params.model_copy(update={"forged": 0.0}))
    except InputError:
        return  # copies left a class without a like pair
    table = draw_training(dataset, params)
    check_manifest(table, dataset.samples, "train", "here")
    fine, forged = dataset.fine(), is_forged(dataset.samples)
    there_are = possible(dataset, dataset.rows("train"), "train")
    for _, epoch in table.groupby("epoch"):
        drawn: dict[int, Counter[Pair]] = defaultdict(Counter)
        for _, batch in epoch.groupby("batch"):
            classes = set(fine[batch["left"]][:half].tolist())
            its = [pair for pair in rows_of(batch) if forged[pair[0]] or forged[pair[1]]]
            can = classes & {label for label, pairs in there_are.items() if pairs}
            assert len(its) == (round(share * half) if can else 0)
            assert its == rows_of(batch)[2 * half - len(its) :]
            per_class = Counter(int(fine[right]) for _, right in its)
            assert not its or spread(per_class, can) <= 1
            for pair in its:
                drawn[int(fine[pair[1]])][pair] += 1
        for label, times in drawn.items():
            assert set(times) <= there_are[label]
            counts = [times[pair] for pair in there_are[label]]
            assert max(counts) - min(counts) <= 1, "repeated, though there are others"
            for side in (0, 1):
                uses = Counter(pair[side] for pair in times.elements())
                assert spread(uses, {pair[side] for pair in there_are[label]}) <= 1
    # All else is as it was: no other pair depends on how many are forged.
    is_new = forged[table["right"]]
    pd.testing.assert_frame_equal(table[~is_new], without[~is_new])
    assert not (forged[without["left"]] | forged[without["right"]]).any()


@settings(max_examples=30)
@given(datasets(), st.integers(1, 15), st.sampled_from([0.3, 0.5, 1.0]))
def test_fixed_pairs_have_their_share_or_all_there_are(
    dataset: Dataset, half: int, share: float
) -> None:
    params = made_params(validation=2 * half, forged=share)
    try:
        without = draw_fixed(dataset, "validation", params.model_copy(update={"forged": 0.0}))
    except InputError:
        return
    table = draw_fixed(dataset, "validation", params)
    check_manifest(table, dataset.samples, "validation", "here")
    fine, forged = dataset.fine(), is_forged(dataset.samples)
    there_are = possible(dataset, dataset.rows("validation"), "validation")
    its = [pair for pair in rows_of(table) if forged[pair[1]]]
    assert len(its) == min(round(share * half), sum(map(len, there_are.values())))
    assert len(set(its)) == len(its)
    assert set(its) <= set().union(*there_are.values())
    per_class = Counter(int(fine[right]) for _, right in its)
    for one, another in ((a, b) for a in there_are for b in there_are):
        is_spent = per_class[another] == len(there_are[another])
        assert per_class[one] <= per_class[another] + 1 or is_spent
    is_new = forged[table["right"]]
    pd.testing.assert_frame_equal(table[~is_new], without[~is_new])
    assert not is_new[:half].any(), "in place of a like pair"
    # Each two classes still meet equally often, as far as they have pairs.
    left = table[~is_new & ~table["same"]]
    met, most = (
        Counter(tuple(sorted(fine[[*pair]].tolist())) for pair in rows_of(rows))
        for rows in (left, without[~without["same"]])
    )
    for few, many in itertools.permutations(most, 2):
        assert met[many] <= met[few] + 1 or met[few] == most[few]


def test_known_and_novel_classes_are_paired_with_forgeries_of_their_own() -> None:
    dataset = made_up([9, 9, 8, 8], novel=(2, 3), forged=[4, 4, 4, 4])
    table = draw_fixed(dataset, "test", made_params(test=32, forged=0.5))
    check_manifest(table, dataset.samples, "test", "here")
    forged = is_forged(dataset.samples)[table["right"]]
    assert [int(quarter.sum()) for quarter in np.split(forged, 4)] == [0, 4, 0, 4]
    is_novel = np.isin(dataset.fine()[table["right"]], (2, 3))
    assert is_novel.tolist() == [False] * 16 + [True] * 16
    enrolled = np.flatnonzero(dataset.samples["enrolled"])
    assert not np.isin(table[["left", "right"]], enrolled).any()


def test_forgeries_change_no_pair_of_genuine_samples() -> None:
    """With none drawn, the tables are those of the data without them, but for the numbers."""
    dataset = made_up([9, 5, 7], forged=[3, 0, 6])
    genuine = np.flatnonzero(~is_forged(dataset.samples))
    samples = dataset.samples.iloc[genuine].drop(columns="forged").reset_index(drop=True)
    samples["sample"] = np.arange(len(samples))
    alone = replace(dataset, samples=samples)
    for share in (0.0, 0.5):  # which means nothing without forgeries
        params = made_params(forged=share)
        for draw in (
            draw_training,
            lambda dataset, params: draw_fixed(dataset, "validation", params),
            lambda dataset, params: draw_fixed(dataset, "test", params),
        ):
            expected = draw(dataset, made_params(forged=0.0))
            found = draw(alone, params)
            found[["left", "right"]] = genuine[found[["left", "right"]]]
            pd.testing.assert_frame_equal(found, expected)


def test_the_same_seed_gives_the_same_forgeries_and_another_others() -> None:
    dataset = made_up([9] * 4, forged=[9] * 4)
    one, two, other = (draw_training(dataset, made_params(seed=seed)) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one, two)
    is_new = is_forged(dataset.samples)[one["right"]]
    assert (one["right"] != other["right"])[is_new].any()
    epochs = [part.loc[is_new[part.index], "right"].tolist() for _, part in one.groupby("epoch")]
    assert epochs[0] != epochs[1]


def test_a_shorter_run_has_the_forgeries_of_a_longer_one() -> None:
    dataset = made_up([9] * 4, forged=[9] * 4)
    longer = draw_training(dataset, made_params(epochs=4))
    shorter = draw_training(dataset, made_params(epochs=2))
    pd.testing.assert_frame_equal(longer[longer["epoch"] < 2], shorter)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_copy_of_something_genuine_is_in_no_pair(split: str) -> None:
    dataset = made_up([9, 9], forged=[1, 1])
    copy = int(dataset.forged(split)[0])
    original = int(dataset.rows("test")[0])
    dataset.samples.loc[max(copy, original), "duplicate_of"] = min(copy, original)
    params = made_params(classes_per_batch=2, forged=1.0)
    is_training = split == "train"
    table = draw_training(dataset, params) if is_training else draw_fixed(dataset, split, params)
    assert is_forged(dataset.samples)[table["right"]].any()
    assert copy not in set(table["right"])
