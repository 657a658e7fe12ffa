"""Cutting training, validation and test splits, and keeping classes out of training.

A data set that has splits keeps them; if it has no validation split, that is cut from its training
split. Otherwise first the test and then the validation split is cut, in one of three ways:

- `sample`: each class gives about the same share. At least two samples stay in training, since a
  like pair takes two; a class of fewer than four gives nothing to one of the other splits.
- `group`: no group (all that one writer wrote, one patient's pictures) is on both sides of a cut.
  Classes give the same share as nearly as groups allow.
- `class`: each split has other classes. The test then says how well images of classes that training
  has never seen are *verified*; there is nothing to classify them by.

*Novel* classes (`data.novel_classes`) are kept out of training and validation. Their test samples
are divided again: some are enrolled in the gallery, and the others are queries.

*Forgeries* follow what they pretend to be: their group, or their class. Where neither decides, each
split gets its share of them, of each class within one; by group, whole groups of them. Splits that
the data set comes with are kept for them too. None is in a split that has nothing genuine of its
class.
"""

import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from siamese.base.dataset import SPLITS, Classes, is_forged
from siamese.base.errors import InputError
from siamese.base.params import Section

# A share of the groups is a fraction with at most this denominator: 3/20 is 3 of 20 parts of nearly
# equal size.
MOST_PARTS = 20
LISTED = 5


class TooSmallShare(InputError):
    """A larger share of the data may help.

    Attributes:
        split: what the share is of, a key of the section `prepare`.
    """

    def __init__(self, message: str, split: str) -> None:
        super().__init__(message)
        self.split = split


class PrepareParams(Section):
    """How the splits are cut."""

    split_by: Literal["sample", "group", "class"]
    test: float = Field(gt=0, le=0.9)
    validation: float = Field(gt=0, le=0.5)
    enrolled: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0, lt=2**32)


def cut_splits(
    samples: pd.DataFrame, classes: Classes, novel_classes: int, params: PrepareParams
) -> pd.DataFrame:
    """Give every sample a split.

    Args:
        samples: one row per sample, with `fine`, `coarse`, `file`, `split` (null in all rows if the
            data set has none) and, if there are groups, `group`; if there are forgeries, `forged`.
        classes: the names of the labels.
        novel_classes: how many classes are kept out of training and validation, by seed; of as many
            superclasses as possible, where there are any.
        params: the section `prepare`.

    Returns:
        The samples with their splits, in the same order and with the same index; training and
        validation samples that a data set has of novel classes are left out, and forgeries of a
        class that their split does not have. With novel classes the column `enrolled` says which
        samples of theirs belong to the gallery.

    Raises:
        InputError: the data has no groups, or too few groups, classes or samples, for what is
            asked; or its own splits contradict it.
    """
    check_novel(novel_classes, params.split_by)
    if (forged := is_forged(samples)).any():
        genuine = cut_splits(samples[~forged], classes, novel_classes, params)
        given = set(samples.loc[~forged, "split"].dropna())
        follow = _following(samples[forged], genuine, given, params)
        both = pd.concat([genuine, follow]).sort_index()
        if params.split_by == "group":
            _check_apart(both)
        return both
    by_group = params.split_by == "group"
    if by_group and "group" not in samples:
        raise InputError(
            "params.yaml: `prepare.split_by` is 'group', but the data set has no groups; they are"
            " given by the column `group` of a table (data.path)"
        )
    groups = pd.factorize(samples["group"])[0] if by_group else np.arange(len(samples))
    fine = samples["fine"].to_numpy()
    split = samples["split"].astype(object).to_numpy(copy=True)
    novel = _choose_novel(samples, classes, novel_classes, params.seed)
    is_novel = np.isin(fine, novel)
    choose = {"sample": _by_sample, "group": _by_group, "class": _by_class}[params.split_by]

    def cut_off(name: str) -> None:
        rows = np.flatnonzero(split == "train")
        split[rows[choose(fine[rows], groups[rows], name, params)]] = name

    if samples["split"].notna().all():
        if by_group:
            _check_apart(samples)
        elif params.split_by == "class":
            _check_other_classes(samples, classes)
        split[is_novel & (split != "test")] = None
    else:
        split[:] = np.where(is_novel, "test", "train")
        cut_off("test")
    if "validation" not in split:
        cut_off("validation")
    cut = samples.copy()
    # Into the column as it is, whose type is part of the file's bytes.
    cut["split"] = pd.Series(split, index=samples.index, dtype="str")
    if len(novel):
        cut["enrolled"] = _enrolled(fine, is_novel & (split == "test"), groups, classes, params)
    cut = cut[cut["split"].notna()]
    if by_group:
        _check_apart(cut)
    return cut


def _following(
    forged: pd.DataFrame, genuine: pd.DataFrame, given: set[str], params: PrepareParams
) -> pd.DataFrame:
    """Give forgeries a split.

    Args:
        forged: one row per forgery, as `cut_splits` takes samples.
        genuine: what it returns for the others.
        given: the splits that the data set comes with.
        params: the section `prepare`.

    Returns:
        The forgeries with their splits, without those of a class that their split does not have.
    """
    fine = forged["fine"].to_numpy()
    split = forged["split"].astype(object).fillna("train").to_numpy(copy=True)
    is_cut = split == "train"  # what is given as another split stays there
    new = [name for name in ("test", "validation") if name not in given]
    followed = genuine[genuine["split"].isin(["train", *new])]
    splits_of = followed.groupby("fine")["split"].unique()
    of_whole = forged["fine"].map(splits_of[splits_of.str.len() == 1].str[0])
    groups = np.arange(len(forged))
    if params.split_by == "group":
        groups = pd.factorize(forged["group"])[0]
        of_group = forged["group"].map(followed.groupby("group")["split"].first())
        of_whole = of_group.where(of_group.notna(), of_whole)
    is_bound = is_cut & of_whole.notna().to_numpy()
    split[is_bound] = of_whole[is_bound]
    for name in new:
        has_claim = np.isin(fine, followed.loc[followed["split"] == name, "fine"])
        rows = np.flatnonzero((split == "train") & ~is_bound & has_claim)
        split[rows[_evenly(fine[rows], groups[rows], name, params)]] = name
    cut = forged.copy()
    cut["split"] = pd.Series(split, index=forged.index, dtype="str")
    if "enrolled" in genuine:
        cut["enrolled"] = False
    places, claimed = (pd.MultiIndex.from_frame(part[["fine", "split"]]) for part in (cut, genuine))
    return cut[places.isin(claimed)]


def left_out_notes(samples: pd.DataFrame, cut: pd.DataFrame) -> list[str]:
    """Say how many forgeries `cut_splits` has left out of the samples."""
    is_left_out = is_forged(samples) & ~samples.index.isin(cut.index)
    if not (count := int(is_left_out.sum())):
        return []
    return [
        f"note: forgeries left out, since their split has nothing genuine of their class:"
        f" {count:,}, for example {samples.loc[is_left_out, 'file'].iloc[0]}"
    ]


def check_splits(samples: pd.DataFrame, classes: Classes, split_by: str) -> list[str]:
    """Make sure that there is enough to train and test with.

    Args:
        samples: with `split`, `fine`, `file` and, with novel classes, `enrolled`.
        classes: the names of the labels.
        split_by: see `params.yaml`.

    Returns:
        Sentences on what is worth knowing, though not a fault.

    Raises:
        InputError: a split is empty, training has fewer than two classes, or a class has too few
            samples to train with, or is tested without any.
    """
    samples = samples[~is_forged(samples)]  # they add nothing to train or test a class with
    counts = {
        name: np.bincount(
            samples.loc[samples["split"] == name, "fine"], minlength=len(classes.fine)
        )
        for name in SPLITS
    }
    for name, count in counts.items():
        if not count.sum():
            if name == "train":
                raise InputError("the split `train` is empty; add images, or lower `prepare.test`")
            raise TooSmallShare(
                f"the split `{name}` is empty; add images, or raise `prepare.{name}`", name
            )
    trained = np.flatnonzero(counts["train"])
    if len(trained) < 2:
        raise InputError(
            f"the split `train` has a single class, `{classes.fine[trained[0]]}`; expected two or"
            " more: a pair of different classes takes two"
        )
    if len(single := np.flatnonzero(counts["train"] == 1)):
        in_all = np.sum(list(counts.values()), axis=0)
        helps = "drop-labels" if in_all[single].max() > 1 else "min-images 2"
        raise InputError(
            f"{_classes(single, classes)} with a single image in the split `train`"
            f" ({_example(samples, single[0], 'train')}); a pair of a class takes two: add images,"
            f" or leave out such classes (`siamese adopt --{helps}`)"
        )
    notes = []
    if "group" in samples:
        n_splits = samples.groupby("group")["split"].nunique()
        if n_divided := int((n_splits > 1).sum()):
            notes.append(
                f"note: {n_divided:,} of {len(n_splits):,} groups are in more than one split;"
                " `prepare.split_by: group` keeps each in one"
            )
    if split_by == "class":
        return notes
    is_allowed = counts["train"] > 0
    if "enrolled" in samples:
        is_allowed[samples.loc[samples["enrolled"], "fine"]] = True
    for name in ("validation", "test"):
        if len(unknown := np.flatnonzero((counts[name] > 0) & ~is_allowed)):
            raise InputError(
                f"{_classes(unknown, classes)} in the split `{name}` but not in `train`"
                f" ({_example(samples, unknown[0], name)}): there is nothing to recognise them by."
                f"{_nested_otherwise(unknown[0], trained, classes)} Give them training images, or"
                " leave them out (`siamese adopt --drop-labels`, data.drop_labels); or, to verify"
                " images of classes that training has never seen, set `prepare.split_by: class`"
            )
    return notes + [
        f"note: {_classes(absent, classes)} absent from the split `{name}`: too few images"
        for name in ("validation", "test")
        if len(absent := np.flatnonzero((counts["train"] > 0) & (counts[name] == 0)))
    ]


def _nested_otherwise(label: int, trained: np.ndarray, classes: Classes) -> str:
    """Return a sentence if a class in training has the same last folder."""
    last = classes.fine[label].rpartition("/")[2]
    for other in trained:
        if classes.fine[other].rpartition("/")[2] == last:
            return f" Is it `{classes.fine[other]}`, in another folder?"
    return ""


def check_novel(novel_classes: int, split_by: str) -> None:
    """Refuse a single novel class, and any where all tested classes are kept out anyway."""
    if novel_classes == 1:
        raise InputError(
            "params.yaml: `data.novel_classes` is 1; expected 0, or 2 and more: images of two"
            " classes that training has never seen are to be told apart"
        )
    if novel_classes and split_by == "class":
        raise InputError(
            f"params.yaml: `data.novel_classes` is {novel_classes}, but with `prepare.split_by:"
            " class` training sees none of the tested classes anyway; set one of them back"
        )


def _choose_novel(samples: pd.DataFrame, classes: Classes, n_novel: int, seed: int) -> np.ndarray:
    """Choose classes by seed, int64 ascending: one per superclass, then a second one, …"""
    if not n_novel:
        return np.empty(0, dtype=np.int64)
    is_test = samples["split"].isna() | (samples["split"] == "test")
    counts = np.bincount(samples.loc[is_test, "fine"], minlength=len(classes.fine))
    possible = np.flatnonzero(counts >= 2)
    if n_novel > len(possible) or n_novel > len(classes.fine) - 2:
        raise InputError(
            f"params.yaml: `data.novel_classes` is {n_novel}, but of {len(classes.fine)} classes"
            f" {len(possible)} have the two test images that it takes, and two classes at least"
            " must stay for training"
        )
    order = np.random.default_rng(seed).permutation(possible)
    coarse = samples.drop_duplicates("fine").set_index("fine")["coarse"]
    superclass = coarse.reindex(order).fillna(-1).to_numpy(dtype=np.int64)
    # How many of the same superclass came before: all the firsts, then all the seconds.
    turn = pd.Series(superclass).groupby(superclass).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")][:n_novel])


def _by_sample(
    labels: np.ndarray, groups: np.ndarray, name: str, params: PrepareParams
) -> np.ndarray:
    """Choose a share of the samples, int64; two of a class stay, and one of three leaves."""
    # Imported here, as below: it takes a second, for which reading the schema need not wait.
    from sklearn.model_selection import train_test_split

    share: float = getattr(params, name)
    counts = np.bincount(labels)
    is_large = (counts * share >= 1) & (counts - np.ceil(counts * share) >= 2)
    large = np.flatnonzero(is_large[labels])
    parts = []
    if len(large):
        _, chosen = train_test_split(
            large, test_size=share, stratify=labels[large], random_state=params.seed
        )
        parts.append(chosen)
    rng = np.random.default_rng(params.seed)
    for label in np.flatnonzero(~is_large & (counts >= 3)):
        count = min(max(1, round(share * counts[label])), counts[label] - 2)
        parts.append(rng.choice(np.flatnonzero(labels == label), count, replace=False))
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _evenly(labels: np.ndarray, groups: np.ndarray, name: str, params: PrepareParams) -> np.ndarray:
    """Choose the samples of a share of the groups, of each class that share within one, int64."""
    rng = np.random.default_rng([params.seed, SPLITS.index(name)])
    members = rng.permutation(np.unique(groups, return_index=True)[1])  # a sample of each group
    members = members[labels[members].argsort(kind="stable")]
    # All in a row, so that classes of one or two give their share together.
    passed = np.floor(getattr(params, name) * np.arange(len(members) + 1) + rng.random())
    return np.flatnonzero(np.isin(groups, groups[members[np.diff(passed) > 0]]))


def _by_group(
    labels: np.ndarray, groups: np.ndarray, name: str, params: PrepareParams
) -> np.ndarray:
    """Choose the samples of whole groups, about a share of each class, int64."""
    from sklearn.model_selection import StratifiedGroupKFold

    share: float = getattr(params, name)
    smallest = Fraction(1, MOST_PARTS)
    fraction = min(max(Fraction(share).limit_denominator(MOST_PARTS), smallest), 1 - smallest)
    wanted, parts = fraction.numerator, fraction.denominator
    n_groups = len(np.unique(groups))
    if n_groups < parts:
        raise TooSmallShare(
            f"params.yaml: a share of {share:g} (`prepare.{name}`) is cut by group as {wanted} of"
            f" {parts} parts, but the number of groups is {n_groups}; raise the share, or add"
            " groups: three splits take at least three",
            name,
        )
    if np.bincount(labels).max() < parts:
        labels = np.zeros_like(labels)  # too few of every class to be spread evenly
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=params.seed)
    with warnings.catch_warnings():
        # Of classes with fewer samples than parts: `check_splits` says what comes of it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        found = [test for _, test in folds.split(labels, labels, groups)]
    # A large group makes a large part: those come first that are as large as they should be.
    found.sort(key=lambda part: abs(len(part) - len(labels) / parts))
    return np.concatenate(found[:wanted])


def _by_class(
    labels: np.ndarray, groups: np.ndarray, name: str, params: PrepareParams
) -> np.ndarray:
    """Choose all samples of a share of the classes, int64."""
    share: float = getattr(params, name)
    present = np.unique(labels)
    n_chosen = max(2, round(share * len(present)))
    if len(present) - n_chosen < 2:
        raise InputError(
            f"params.yaml: with `prepare.split_by: class` the split `{name}` is to get {n_chosen}"
            f" of {len(present)} classes (`prepare.{name}` {share:g}), but two at least must stay"
            " for training; lower the share, or add classes"
        )
    chosen = np.random.default_rng(params.seed).permutation(present)[:n_chosen]
    return np.flatnonzero(np.isin(labels, chosen))


def _enrolled(
    fine: np.ndarray,
    is_novel: np.ndarray,
    groups: np.ndarray,
    classes: Classes,
    params: PrepareParams,
) -> np.ndarray:
    """Choose the test samples of novel classes that become gallery, bool `[N]`."""
    rows = np.flatnonzero(is_novel)
    enrolled = np.zeros(len(fine), dtype=bool)
    if params.split_by == "group":
        enrolled[rows[_by_group(fine[rows], groups[rows], "enrolled", params)]] = True
    rng = np.random.default_rng(params.seed)
    for label in np.unique(fine[rows]):
        own = rows[fine[rows] == label]
        if params.split_by != "group":
            count = min(max(1, round(params.enrolled * len(own))), len(own) - 1)
            enrolled[rng.choice(own, count, replace=False)] = True
        elif enrolled[own].all() or not enrolled[own].any():
            raise InputError(
                f"the novel class `{classes.fine[label]}` cannot be divided by group into images"
                " that are enrolled and images that are asked about: it needs two groups or more;"
                " another `prepare.seed` may put them on both sides"
            )
    return enrolled


def _check_other_classes(samples: pd.DataFrame, classes: Classes) -> None:
    """Make sure that the given test split has no class of the others."""
    is_test = (samples["split"] == "test").to_numpy()
    fine = samples["fine"].to_numpy()
    if len(shared := np.intersect1d(fine[is_test], fine[~is_test])):
        raise InputError(
            "params.yaml: `prepare.split_by` is 'class', but the data set comes with splits,"
            f" with {_classes(shared, classes)} in `test` and in another one as well. To keep"
            " classes out of training there, set `data.novel_classes`"
        )


def _check_apart(samples: pd.DataFrame) -> None:
    """Make sure that no group is in two splits."""
    splits = samples.groupby("group")["split"].unique()
    for group, found in splits[splits.str.len() > 1].items():
        own = samples[samples["group"] == group]
        example = own[own["split"] == found[1]]["file"].iloc[0]
        raise InputError(
            f"the group `{group}` is in the splits `{found[0]}` and `{found[1]}` ({example});"
            " with `prepare.split_by: group` expected in one of them. The data set's own splits may"
            " cut through it, a novel class may share it with others, or it is of forgeries of"
            " several classes"
        )


def _classes(labels: Sequence[int] | np.ndarray, classes: Classes) -> str:
    names = ", ".join(f"`{classes.fine[label]}`" for label in labels[:LISTED])
    more = f" and {len(labels) - LISTED} more" if len(labels) > LISTED else ""
    return f"{len(labels)} class{'es' * (len(labels) > 1)} ({names}{more})"


def _example(samples: pd.DataFrame, label: int, split: str) -> str:
    is_one = (samples["fine"] == label) & (samples["split"] == split)
    return str(samples.loc[is_one, "file"].iloc[0])
