"""A manifest is checked when it is read: what is damaged, or of other data, is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from siamese.base.dataset import is_forged
from siamese.base.errors import InputError
from siamese.measures.manifest import are_given, check_manifest, read_manifest
from siamese.pairs.drawing import draw_fixed, draw_training
from tests.support.made_up_samples import made_params, made_up


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


def test_a_forgery_is_like_nothing() -> None:
    dataset = made_up([9] * 4, forged=[3] * 4)
    pairs = draw_fixed(dataset, "validation", made_params())
    check_manifest(pairs, dataset.samples, "validation", "here")
    is_new = is_forged(dataset.samples)[pairs["right"]]
    assert is_new.sum() == 3
    claimed = pairs.assign(same=pairs["same"] | is_new)
    with pytest.raises(InputError, match="3 pairs have a `same` that the labels contradict"):
        check_manifest(claimed, dataset.samples, "validation", "here")
    # Nor are two forgeries of one class.
    one, two = dataset.forged("validation")[:2]
    dataset.samples.loc[[one, two], "fine"] = 0
    pairs.loc[pairs.index[-1], ["left", "right"]] = one, two
    check_manifest(pairs, dataset.samples, "validation", "here")


def test_given_pairs_need_no_balance_but_both_kinds_in_each_fold(tmp_path: Path) -> None:
    dataset = made_up([9] * 4)
    drawn = draw_fixed(dataset, "test", made_params())
    # All unlike pairs, and two like ones.
    pairs = drawn[~drawn["same"] | (drawn["same"].cumsum() <= 2)].reset_index(drop=True)
    with pytest.raises(InputError, match="half of each `same`"):
        check_manifest(pairs, dataset.samples, "test", "here")
    pairs["fold"] = pairs.groupby("same").cumcount().to_numpy("int32") % 2
    assert are_given(pairs)
    assert not are_given(drawn)
    file = tmp_path / "test.parquet"
    pairs.to_parquet(file, index=False)
    pd.testing.assert_frame_equal(read_manifest(file, dataset.samples, "test"), pairs)

    one_kind = pairs[~pairs["same"] | (pairs["fold"] == 0)]
    with pytest.raises(InputError, match="expected like and unlike pairs in each fold, but fold 1"):
        check_manifest(one_kind, dataset.samples, "test", "here")
    with pytest.raises(InputError, match=r"same bool, fold int32; found .*, fold int64"):
        check_manifest(pairs.astype({"fold": "int64"}), dataset.samples, "test", "here")
    with pytest.raises(InputError, match="8 pairs have a `same` that the labels contradict"):
        check_manifest(_flip(pairs), dataset.samples, "test", "here")
    with pytest.raises(InputError, match="8 pairs are not of two samples of the split"):
        check_manifest(pairs, dataset.samples, "validation", "here")


def test_the_pairs_of_training_have_no_folds() -> None:
    dataset = made_up([9] * 4)
    pairs = draw_training(dataset, made_params()).assign(fold=pd.Series(0, dtype="int32"))
    with pytest.raises(InputError, match=r"expected the columns .*, same bool; found .*, fold "):
        check_manifest(pairs, dataset.samples, "train", "here")
