"""The splits: their promises on made-up tables, against plain loops."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.base.dataset import Classes
from siamese.base.errors import InputError
from siamese.preparation.splits import check_splits, cut_splits, left_out_notes
from tests.support.prepare_params import params


def table(
    counts: list[int],
    groups: int | None = None,
    coarse: int | None = None,
    split: list[str] | None = None,
) -> tuple[pd.DataFrame, Classes]:
    """`counts[c]` samples of class c, in one mixed order; groups by chance, of any class."""
    rng = np.random.default_rng(0)
    fine = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    samples = pd.DataFrame(
        {
            "split": split,
            "fine": fine,
            "coarse": pd.array(fine % coarse if coarse else [None] * len(fine), dtype="Int64"),
            "file": [f"{row}.png" for row in range(len(fine))],
        }
    )
    if groups:
        samples["group"] = [f"g{group}" for group in rng.integers(groups, size=len(fine))]
    names = tuple(f"c{c}" for c in range(len(counts)))
    return samples, Classes(names, tuple(f"s{s}" for s in range(coarse or 0)))


def counts_of(cut: pd.DataFrame) -> dict:
    return cut.groupby(["split", "fine"]).size().to_dict()


def test_each_class_gives_its_share_and_a_large_share_leaves_two() -> None:
    left = cut_splits(*table([19, 20, 4]), 0, params(test=0.9))
    assert left[left["split"] != "test"].groupby("fine").size().tolist() == [2, 2, 2]
    cut = cut_splits(*table([100, 50]), 0, params())
    assert counts_of(cut) == {
        ("train", 0): 72,
        ("validation", 0): 8,
        ("test", 0): 20,
        ("train", 1): 36,
        ("validation", 1): 4,
        ("test", 1): 10,
    }


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    share=st.floats(0.05, 0.5),
    seed=st.integers(0, 3),
)
def test_unbalanced_classes_keep_two_samples_for_training(
    counts: list[int], share: float, seed: int
) -> None:
    samples, classes = table(counts)
    cut = cut_splits(samples, classes, 0, params(test=share, validation=share, seed=seed))
    assert cut.index.tolist() == samples.index.tolist()
    found = counts_of(cut)
    # Large classes are cut together: their share in all is rounded up, then each to a neighbour.
    is_large = [count * share >= 1 and count - math.ceil(count * share) >= 2 for count in counts]
    n_large = sum(count for count, large in zip(counts, is_large, strict=True) if large)
    for label, count in enumerate(counts):
        train, validation, test = (
            found.get((split, label), 0) for split in ("train", "validation", "test")
        )
        assert train + validation + test == count
        assert train >= 2
        if count >= 3:
            assert test >= 1
            if is_large[label]:
                assert abs(test - math.ceil(share * n_large) * count / n_large) < 1
            else:
                assert abs(test - share * count) <= 1
        if count >= 4 and test < count - 2:
            assert validation >= 1


def test_small_classes_are_named_in_a_note_and_single_ones_refused() -> None:
    samples, classes = table([50, 2, 3])
    cut = cut_splits(samples, classes, 0, params())
    notes = check_splits(cut, classes, "sample")
    assert notes == [
        "note: 2 classes (`c1`, `c2`) absent from the split `validation`: too few images",
        "note: 1 class (`c1`) absent from the split `test`: too few images",
    ]
    samples, classes = table([50, 50, 1])
    cut = cut_splits(samples, classes, 0, params())
    file = samples.loc[samples["fine"] == 2, "file"].item()
    with pytest.raises(
        InputError, match=rf"1 class \(`c2`\) with a single image .*{file}.*--min-images 2`"
    ):
        check_splits(cut, classes, "sample")
    # Where a class has more, but elsewhere, another option leaves it out.
    samples, classes = table([50, 50, 8], split=given_splits("tvte", 108))
    samples.loc[samples["fine"] == 2, "split"] = ["train", *["test"] * 7]
    with pytest.raises(InputError, match=r"`c2`\) with a single image .*--drop-labels`"):
        check_splits(cut_splits(samples, classes, 0, params()), classes, "sample")


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(5, 60), min_size=2, max_size=5),
    groups=st.integers(10, 40),
    seed=st.integers(0, 3),
)
def test_no_group_stands_on_both_sides(counts: list[int], groups: int, seed: int) -> None:
    samples, classes = table(counts, groups)
    how = params(split_by="group", test=0.25, validation=0.25, seed=seed)
    if samples["group"].nunique() < 8:
        return
    cut = cut_splits(samples, classes, 0, how)
    assert (cut.groupby("group")["split"].nunique() == 1).all()
    assert set(cut["split"]) == {"train", "validation", "test"}
    share = (cut["split"] == "test").mean()
    assert 0.05 < share < 0.6


@pytest.mark.parametrize("share", [0.001, 0.04])
def test_by_group_a_small_share_is_the_smallest_part(share: float) -> None:
    samples, classes = table([300, 300], groups=150)
    cut = cut_splits(samples, classes, 0, params(split_by="group", test=share))
    assert (cut["split"] == "test").mean() == pytest.approx(0.05, abs=0.02)


def test_a_large_group_does_not_make_a_small_share_large() -> None:
    """Of 200 samples 100 are one group: a fifth without it can be had, with it at least half."""
    samples, classes = table([100, 100])
    samples["group"] = [f"g{0 if row < 100 else row // 5}" for row in range(200)]
    for seed in range(10):
        cut = cut_splits(samples, classes, 0, params(split_by="group", test=0.2, seed=seed))
        assert (cut["split"] == "test").sum() <= 40


def test_divided_groups_are_noted_unless_groups_are_kept_together() -> None:
    samples, classes = table([30, 30], groups=20)
    for split_by in ("sample", "group"):
        cut = cut_splits(samples, classes, 0, params(split_by=split_by))
        divided = sum(len(set(own["split"])) > 1 for _, own in cut.groupby("group"))
        notes = check_splits(cut, classes, split_by)
        assert bool(divided) == (split_by == "sample")
        note = f"note: {divided} of {samples['group'].nunique()} groups are in more than one"
        assert any(one.startswith(note) for one in notes) == bool(divided)
    samples["split"] = np.where(np.arange(60) % 2, "train", "test")  # of the data set's own
    cut = cut_splits(samples, classes, 0, params())
    assert "groups are in more than one split" in check_splits(cut, classes, "sample")[0]


def test_groups_follow_the_share_of_each_class() -> None:
    samples, classes = table([400, 400], groups=100)
    cut = cut_splits(samples, classes, 0, params(split_by="group", test=0.2, validation=0.25))
    for label in (0, 1):
        own = cut[cut["fine"] == label]["split"].value_counts(normalize=True)
        assert own["test"] == pytest.approx(0.2, abs=0.03)
        assert own["validation"] == pytest.approx(0.2, abs=0.03)


@settings(max_examples=30)
@given(classes=st.integers(6, 30), share=st.floats(0.1, 0.5), seed=st.integers(0, 3))
def test_by_class_every_split_has_classes_of_its_own(classes: int, share: float, seed: int) -> None:
    samples, names = table([4] * classes)
    how = params(split_by="class", test=share, validation=0.2, seed=seed)
    n_test = max(2, round(share * classes))
    n_validation = max(2, round(0.2 * (classes - n_test)))
    if classes - n_test - n_validation < 2:
        with pytest.raises(InputError, match="two at least must stay"):
            cut_splits(samples, names, 0, how)
        return
    cut = cut_splits(samples, names, 0, how)
    assert (cut.groupby("fine")["split"].nunique() == 1).all()
    assert cut[cut["split"] == "test"]["fine"].nunique() == n_test
    assert check_splits(cut, names, "class") == []


def given_splits(pattern: str, count: int) -> list[str]:
    names = {"t": "train", "v": "validation", "e": "test"}
    return [names[letter] for letter in (pattern * count)[:count]]


@pytest.mark.parametrize("split_by", ["sample", "group"])
@pytest.mark.parametrize("pattern", ["ttve", "ttte"])
def test_given_splits_are_kept_and_a_missing_validation_is_cut_from_training(
    split_by: str, pattern: str
) -> None:
    samples, classes = table([40, 40], split=given_splits(pattern, 80))
    if split_by == "group":
        samples["group"] = samples["split"] + [str(row % 7) for row in range(80)]
    how = params(split_by=split_by, validation=0.25)
    cut = cut_splits(samples, classes, 0, how)["split"]
    if pattern == "ttve":
        assert cut.tolist() == samples["split"].tolist()
    was_test = samples["split"] == "test"
    assert ((cut == "test") == was_test).all()
    assert set(cut[~was_test]) == {"train", "validation"}


@pytest.mark.parametrize(
    ("split_by", "groups", "message"),
    [
        ("group", 5, r"the group `g\d` is in the splits"),
        ("class", None, r"2 classes \(`c0`, `c1`\).*data\.novel_classes"),
        ("group", None, r"'group', but the data set has no groups"),
    ],
)
def test_given_splits_that_contradict_the_way_to_cut_are_refused(
    split_by: str, groups: int | None, message: str
) -> None:
    samples, classes = table([40, 40], groups, split=given_splits("ttte", 80))
    with pytest.raises(InputError, match=message):
        cut_splits(samples, classes, 0, params(split_by=split_by))


@settings(max_examples=40)
@given(
    n_novel=st.integers(2, 6),
    is_given=st.booleans(),
    enrolled=st.floats(0.01, 0.99),
    seed=st.integers(0, 3),
)
def test_novel_classes_are_in_the_test_split_alone_and_partly_enrolled(
    n_novel: int, is_given: bool, enrolled: float, seed: int
) -> None:
    split = given_splits("tttve", 400) if is_given else None
    samples, classes = table([50] * 8, split=split)
    how = params(enrolled=enrolled, seed=seed)
    cut = cut_splits(samples, classes, n_novel, how)
    trained = set(cut[cut["split"] != "test"]["fine"])
    novel = set(range(8)) - trained
    assert len(novel) == n_novel
    is_novel = cut["fine"].isin(novel)
    assert not cut.loc[~is_novel, "enrolled"].any()
    for label in novel:
        own = cut[cut["fine"] == label]
        there = (samples["fine"] == label) & (samples["split"].isin(["test"]) if is_given else True)
        assert len(own) == there.sum()
        assert 1 <= own["enrolled"].sum() <= len(own) - 1
        assert abs(own["enrolled"].sum() - enrolled * len(own)) <= 1
    assert check_splits(cut, classes, "sample") == []


@pytest.mark.parametrize("n_novel", [2, 3, 4, 6])
def test_novel_classes_are_spread_over_superclasses(n_novel: int) -> None:
    samples, classes = table([10] * 12, coarse=4)
    cut = cut_splits(samples, classes, n_novel, params())
    novel = set(range(12)) - set(cut[cut["split"] == "train"]["fine"])
    per_superclass = np.bincount([label % 4 for label in novel], minlength=4)
    assert per_superclass.max() - per_superclass.min() <= 1
    assert len(novel) == n_novel


def test_no_group_is_both_enrolled_and_asked_about() -> None:
    samples, classes = table([40] * 5)
    samples["group"] = [f"{fine}-{row % 8}" for row, fine in enumerate(samples["fine"])]
    cut = cut_splits(samples, classes, 2, params(split_by="group", test=0.25, validation=0.25))
    novel = cut[cut["fine"].isin(set(range(5)) - set(cut[cut["split"] == "train"]["fine"]))]
    assert (novel.groupby("group")["enrolled"].nunique() == 1).all()
    assert (novel.groupby("fine")["enrolled"].nunique() == 2).all()


@pytest.mark.parametrize(
    ("n_novel", "split_by", "message"),
    [
        (4, "sample", r"`data\.novel_classes` is 4, but of 5 classes"),
        (1, "sample", r"`data\.novel_classes` is 1; expected 0, or 2 and more"),
        (2, "class", r"`data\.novel_classes` is 2, but with `prepare\.split_by: class`"),
    ],
)
def test_impossible_numbers_of_novel_classes_are_refused(
    n_novel: int, split_by: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        cut_splits(*table([10] * 5), n_novel, params(split_by=split_by))


def test_a_tested_class_without_training_images_is_named() -> None:
    samples, classes = table([20, 20, 20], split=given_splits("tvte", 60))
    samples.loc[samples["fine"] == 1, "split"] = "test"
    file = samples.loc[samples["fine"] == 1, "file"].iloc[0]
    cut = cut_splits(samples, classes, 0, params())
    with pytest.raises(InputError, match=rf"`c1`\) in the split `test` but not .*{file}.*class"):
        check_splits(cut, classes, "sample")


def test_a_class_that_is_nested_otherwise_in_training_is_asked_about() -> None:
    samples, _ = table([20, 20, 20], split=given_splits("tvte", 60))
    samples.loc[samples["fine"] == 1, "split"] = "test"
    classes = Classes(("Fruit/Apple/Gala", "Fruit/Gala", "Fruit/Kiwi"))
    with pytest.raises(InputError, match=r"Is it `Fruit/Apple/Gala`, in another folder\? Give"):
        check_splits(cut_splits(samples, classes, 0, params()), classes, "sample")


def test_the_seed_decides() -> None:
    samples, classes = table([30] * 4, groups=30)
    for split_by in ("sample", "group", "class"):
        how = {"split_by": split_by, "test": 0.25, "validation": 0.25}
        if split_by == "class":
            samples, classes = table([5] * 20)
        one, again, other = (
            cut_splits(samples, classes, 0, params(seed=seed, **how))["split"].tolist()
            for seed in (0, 0, 1)
        )
        assert one == again
        assert one != other


def with_forgeries(
    samples: pd.DataFrame, counts: list[int], splits: list[str] | None = None
) -> pd.DataFrame:
    """Add `counts[c]` forgeries of class c, in the groups of its genuine samples; in any order."""
    rng = np.random.default_rng(1)
    genuine = samples.assign(forged=False)
    parts = [
        genuine[genuine["fine"] == label].sample(count, replace=True, random_state=rng)
        for label, count in enumerate(counts)
    ]
    forged = pd.concat(parts).assign(forged=True)
    forged["file"] = [f"{row}_forg.png" for row in range(len(forged))]
    if splits:
        forged["split"] = rng.choice(splits, len(forged))
    both = pd.concat([genuine, forged], ignore_index=True)
    return both.sample(frac=1, random_state=rng).reset_index(drop=True)


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(3, 30), min_size=6, max_size=9),
    forged=st.lists(st.integers(0, 12), min_size=9, max_size=9),
    split_by=st.sampled_from(["sample", "group", "class"]),
    pattern=st.sampled_from([None, "tte", "ttve"]),
    n_novel=st.sampled_from([0, 2]),
    seed=st.integers(0, 3),
)
def test_forgeries_are_where_their_claim_is_and_change_nothing_else(
    counts: list[int],
    forged: list[int],
    split_by: str,
    pattern: str | None,
    n_novel: int,
    seed: int,
) -> None:
    split = given_splits(pattern, sum(counts)) if pattern else None
    samples, classes = table(counts, 25 if split_by == "group" else None, split=split)
    # By group they have the splits of genuine samples, so that no group is given in two.
    names = sorted(set(split)) if split and split_by != "group" else None
    samples = with_forgeries(samples, forged[: len(counts)], names)
    is_forged = samples["forged"]
    how = params(split_by=split_by, test=0.25, validation=0.25, seed=seed)

    def outcome(samples: pd.DataFrame) -> pd.DataFrame | str:
        try:
            return cut_splits(samples, classes, n_novel, how)
        except InputError as error:
            return str(error)

    cut, genuine = outcome(samples), outcome(samples[~is_forged].drop(columns="forged"))
    if isinstance(cut, str) or isinstance(genuine, str):
        assert cut == genuine, "refused in the same words"
        return
    pd.testing.assert_frame_equal(cut[~cut["forged"]].drop(columns="forged"), genuine)
    assert cut.index.is_monotonic_increasing
    claims = set(zip(genuine["fine"], genuine["split"], strict=True))
    its = cut[cut["forged"]]
    assert samples.loc[its.index, "file"].equals(its["file"])
    assert set(zip(its["fine"], its["split"], strict=True)) <= claims
    assert "enrolled" not in its or not its["enrolled"].any()
    lost = samples[is_forged & ~samples.index.isin(cut.index)]
    assert bool(left_out_notes(samples, cut)) == bool(len(lost))
    if split_by == "group":
        assert (cut.groupby("group")["split"].nunique() == 1).all()
    elif pattern is None:
        assert lost.empty
    else:  # those given stay, but validation may be cut from training
        was = samples.loc[its.index, "split"]
        moved = its[its["split"] != was]
        assert set(was[moved.index]) <= {"train"}
        assert set(moved["split"]) <= (set() if "v" in pattern else {"validation"})
        could = set(zip(lost["fine"], lost["split"], strict=True)) & claims
        assert not could


def test_each_split_has_the_same_share_of_the_forgeries_as_of_the_genuine() -> None:
    samples, classes = table([100, 50])
    cut = cut_splits(with_forgeries(samples, [50, 100]), classes, 0, params())
    assert counts_of(cut[cut["forged"]]) == {
        ("train", 0): 36,
        ("validation", 0): 4,
        ("test", 0): 10,
        ("train", 1): 72,
        ("validation", 1): 8,
        ("test", 1): 20,
    }


def test_classes_of_one_or_two_forgeries_give_their_share_together() -> None:
    samples, classes = table([30] * 40)
    cut = cut_splits(with_forgeries(samples, [1, 2] * 20), classes, 0, params())
    shares = cut.loc[cut["forged"], "split"].value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=1 / 60)
    assert shares["validation"] == pytest.approx(0.8 * 0.1, abs=1 / 60)


def test_groups_of_forgeries_of_one_class_each_stay_together() -> None:
    """Of several forgers, each with one victim: the genuine of a class are in all splits."""
    samples, classes = table([80] * 4, groups=20)
    both = with_forgeries(samples, [24] * 4)
    forger = both.groupby(["fine", "forged"]).cumcount() // 6
    own = "forger " + both["fine"].astype(str) + " " + forger.astype(str)
    both["group"] = both["group"].where(~both["forged"], own)
    cut = cut_splits(both, classes, 0, params(split_by="group"))
    forged = cut[cut["forged"]]
    assert len(forged) == 96
    assert (forged.groupby("group")["split"].nunique() == 1).all()
    assert set(forged["split"]) == {"train", "validation", "test"}


def test_a_class_of_too_few_genuine_samples_is_not_rescued_by_forgeries() -> None:
    samples, classes = table([50, 50, 1])
    cut = cut_splits(with_forgeries(samples, [5, 5, 30]), classes, 0, params())
    with pytest.raises(InputError, match=r"1 class \(`c2`\) with a single image"):
        check_splits(cut, classes, "sample")
    samples, classes = table([50, 2])
    samples = with_forgeries(samples, [0, 9])
    cut = cut_splits(samples, classes, 0, params())
    assert set(cut.loc[cut["forged"], "split"]) == {"train"}, "where all of the genuine are"
    assert "`c1`) absent from the split `test`" in check_splits(cut, classes, "sample")[1]


def of_a_forger(samples: pd.DataFrame) -> pd.DataFrame:
    """Let all forgeries be by one who imitates everybody."""
    own = with_forgeries(samples, [9] * samples["fine"].nunique())
    return own.assign(group=own["group"].mask(own["forged"], "forger"))


def test_a_group_of_forgeries_of_several_classes_stays_together() -> None:
    samples, classes = table([40] * 4)
    samples["group"] = [f"w{fine}-{row % 5}" for row, fine in enumerate(samples["fine"])]
    how = params(split_by="group", test=0.25, validation=0.25)
    cut = cut_splits(of_a_forger(samples), classes, 0, how)
    assert cut["forged"].sum() == 36
    assert cut.loc[cut["forged"], "split"].nunique() == 1


def test_a_group_of_forgeries_of_several_splits_is_refused() -> None:
    samples, classes = table([10] * 12)
    samples["group"] = [f"w{fine}" for fine in samples["fine"]]
    how = params(split_by="group", test=0.25, validation=0.25)
    forger = of_a_forger(samples)
    with pytest.raises(InputError, match=r"the group `forger` is in the splits .*_forg\.png"):
        cut_splits(forger, classes, 0, how)


def test_forgeries_that_are_left_out_are_counted() -> None:
    samples, classes = table([20, 20], split=given_splits("tve", 40))
    samples.loc[(samples["fine"] == 1) & (samples["split"] == "test"), "split"] = "train"
    samples = with_forgeries(samples, [3, 4], ["test"])
    cut = cut_splits(samples, classes, 0, params())
    assert cut["forged"].sum() == 3
    (note,) = left_out_notes(samples, cut)
    file = samples.loc[samples["forged"] & (samples["fine"] == 1), "file"].iloc[0]
    assert note.endswith(f"nothing genuine of their class: 4, for example {file}")
    assert left_out_notes(samples.drop(columns="forged"), cut) == []
