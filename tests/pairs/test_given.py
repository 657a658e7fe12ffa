"""Given pairs: how a table is read, what is refused, and how training is dealt from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.measures.manifest import check_manifest
from siamese.pairs.given import deal_given, read_given
from tests.support.made_up_samples import made_params, made_up

SPLITS = ("train", "validation", "test")


def named(**changes: Any) -> Dataset:
    """Three classes of four samples in each split, and two forgeries of each, in files of names."""
    dataset = made_up([4] * 3, forged=[2] * 3, **changes)
    samples = dataset.samples
    nth = samples.groupby(["split", "fine"]).cumcount()
    samples["file"] = [
        f"{split}/{'abc'[fine]}.{number}.png"
        for split, fine, number in zip(samples["split"], samples["fine"], nth, strict=True)
    ]
    return dataset


def of(dataset: Dataset, split: str, label: int, forged: bool = False) -> list[str]:
    """The files of a class in a split."""
    samples = dataset.samples
    chosen = (samples["split"] == split) & (samples["fine"] == label)
    return samples["file"][chosen & (samples["forged"] == forged)].tolist()


def rows_of(dataset: Dataset, split: str = "test") -> list[tuple[str, str, int]]:
    """A like pair, an unlike one, one with a forgery, and a like one of another class."""
    a, b, forged = of(dataset, split, 0), of(dataset, split, 1), of(dataset, split, 0, forged=True)
    return [(a[0], a[1], 1), (a[2], b[0], 0), (a[0], forged[0], 0), (b[2], b[1], 1)]


def written(
    path: Path, rows: list[Any], columns: str = "left,right,same", separator: str = ","
) -> Path:
    lines = [columns.split(","), *([str(value) for value in row] for row in rows)]
    path.write_text("".join(f"{separator.join(line)}\n" for line in lines))
    return path


def files_of(pairs: pd.DataFrame, dataset: Dataset) -> list[tuple[str, str, int]]:
    files = dataset.samples["file"].to_numpy()
    return [
        (files[left], files[right], int(same))
        for left, right, same in pairs[["left", "right", "same"]].itertuples(index=False)
    ]


def test_rows_stay_as_they_are_and_are_of_the_test(tmp_path: Path) -> None:
    dataset = named()
    rows = rows_of(dataset)
    for number, separator in enumerate(",;\t "):
        given = read_given(written(tmp_path / f"{number}.csv", rows, separator=separator), dataset)
        assert set(given) == {"test"}
        assert files_of(given["test"], dataset) == rows
        assert (given["test"]["fold"] == 0).all()
        check_manifest(given["test"], dataset.samples, "test", "here")


def test_a_forgery_that_is_a_copy_is_refused(tmp_path: Path) -> None:
    dataset = named()
    rows = rows_of(dataset)
    numbers = dataset.samples.set_index("file")["sample"]
    dataset.samples["duplicate_of"] = dataset.samples["duplicate_of"].astype("Int64")
    dataset.samples.loc[numbers[rows[2][1]], "duplicate_of"] = numbers[of(dataset, "train", 0)[0]]
    with pytest.raises(InputError, match=r"row 3: `right` is .*; that forgery is an exact copy"):
        read_given(written(tmp_path / "pairs.csv", rows), dataset)


def test_no_table_gives_no_pairs() -> None:
    assert read_given(Path("data/none"), named()) == {}


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("True", "FALSE"), ("yes", "no")])
def test_what_same_may_be_called(tmp_path: Path, yes: str, no: str) -> None:
    dataset = named()
    rows = [(left, right, yes if same else no) for left, right, same in rows_of(dataset)]
    given = read_given(written(tmp_path / "pairs.csv", rows), dataset)
    assert files_of(given["test"], dataset) == rows_of(dataset)


def test_a_file_may_lack_its_extension(tmp_path: Path) -> None:
    dataset = named()
    rows = [
        (left.removesuffix(".png"), right.removesuffix(".png"), same)
        for left, right, same in rows_of(dataset)
    ]
    given = read_given(written(tmp_path / "pairs.csv", rows), dataset)
    assert files_of(given["test"], dataset) == rows_of(dataset)


def test_parquet_with_folds_and_splits(tmp_path: Path) -> None:
    dataset = named()
    rows = [
        (*row, 7 + number // 2, split)
        for split in ("test", "train", "validation")
        for number, row in enumerate(rows_of(dataset, split))
    ]
    table = pd.DataFrame(rows, columns=["left", "right", "same", "fold", "split"])
    table = table.sample(frac=1, random_state=0, ignore_index=True).astype({"same": bool})
    table.assign(more="x").to_parquet(tmp_path / "pairs.parquet", index=False)
    given = read_given(tmp_path / "pairs.parquet", dataset)
    assert list(given) == ["train", "validation", "test"]
    assert list(given["train"].columns) == ["left", "right", "same"]
    for split, pairs in given.items():
        own = table[table["split"] == split]
        expected = list(own[["left", "right", "same"]].itertuples(index=False, name=None))
        assert files_of(pairs, dataset) == expected
    assert given["test"]["fold"].tolist() == table["fold"][table["split"] == "test"].tolist()
    assert (given["validation"]["fold"] == 0).all()
    for split in ("validation", "test"):
        check_manifest(given[split], dataset.samples, split, "here")


def changed(number: int, **changes: Any) -> Any:
    """Change values of a row, counted from 1."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        for name, value in changes.items():
            if name not in table:
                table[name] = 0 if name == "fold" else "test"
            table[name] = table[name].astype(object)
            table.loc[number - 1, name] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed(2, left="test/a.9.png"),
            r"row 2: `left` is 'test/a.9.png'; there is no such image in data/prepared;"
            r" did you mean 'test/a.\d.png'\?",
        ),
        (changed(3, right="zzz"), r"row 3: `right` is 'zzz'; there is .*prepared, but '.*', say"),
        (changed(1, right="test/a.0"), "row 1: `right` is 'test/a.0'; it is the image at the left"),
        (changed(2, same=1), "row 2: `same` is '1'; but its images are of `class-0` and `class-1`"),
        (changed(3, same=1), "row 3: `same` is '1'; but one of its images is a forgery, which is"),
        (changed(4, same="maybe"), "row 4: `same` is 'maybe'; expected 1 or 0, true or false"),
        (changed(4, same=""), "row 4: `same` is ''; expected 1 or 0"),
        (changed(2, split="Test"), "row 2: `split` is 'Test'; expected one of train, validation"),
        (
            changed(2, split="train"),
            "row 2: `left` is 'test/.*'; that image is in the split `test`, but the row is of"
            " `train`; leave the row out",
        ),
        (changed(3, fold=0.5), "row 3: `fold` is '0.5'; expected a whole number"),
        (changed(3, fold=2**31), "row 3: `fold` is '2147483648'; expected a whole number"),
        (changed(3, fold="x"), "row 3: `fold` is 'x'; expected a whole number"),
        (changed(3, fold=1), "all pairs of fold 1 are unlike; expected like and unlike ones"),
        (lambda table: table[table["same"] == 1], "all pairs of the split `test` are like"),
        (lambda table: table.drop(columns="same"), "it lacks `same`; its columns are `left`, `r"),
        (lambda table: table.iloc[:0], "no row in it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Any, message: str) -> None:
    dataset = named()
    rows = rows_of(dataset)
    table = change(pd.DataFrame(rows, columns=["left", "right", "same"]))
    path = tmp_path / "pairs.csv"
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=rf"pairs\.csv \(pairs\.given\): {message}"):
        read_given(path, dataset)


def test_a_name_of_two_images_is_refused(tmp_path: Path) -> None:
    dataset = named()
    [first, second], rows = of(dataset, "test", 2)[:2], rows_of(dataset)
    files = dataset.samples["file"]
    dataset.samples["file"] = files.replace({first: "test/x.png", second: "test/x.jpg"})
    found = read_given(written(tmp_path / "p", [("test/x.png", "test/x.jpg", 1), *rows]), dataset)
    assert len(found["test"]) == 5
    with pytest.raises(InputError, match="row 1: `left` is 'test/x'; 2 images are called so"):
        read_given(written(tmp_path / "p", [("test/x", "test/x.jpg", 1), *rows]), dataset)
    dataset.samples["file"] = files.replace({first: "test/x.png", second: "test/x.png"})
    with pytest.raises(InputError, match=r"`right` is 'test/x.png'; 2 images are called so"):
        read_given(written(tmp_path / "p", [(rows[0][0], "test/x.png", 0), *rows]), dataset)


def test_an_enrolled_image_is_not_tested(tmp_path: Path) -> None:
    dataset = named(novel=(0,))
    samples = dataset.samples
    names = {kind: samples["file"][samples["enrolled"] == kind] for kind in (True, False)}
    other = of(dataset, "test", 1)[0]
    with pytest.raises(InputError, match=r"row 1: `left` .* is enrolled in the gallery"):
        read_given(written(tmp_path / "p", [(names[True].iloc[0], other, 0)]), dataset)


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    dataset = named()
    with pytest.raises(InputError, match=r"pairs\.given: .*none\.csv: no such file"):
        read_given(tmp_path / "none.csv", dataset)
    for name, content in (
        ("p.csv", b"left,right,same\na,b,1\nc,d,1,2,3\n"),
        ("p.csv", b'left,right,same\n"a,b,1\n'),
        ("p.csv", b"left,right,same\n\xff,b,1\n"),
        ("p.csv", b""),
        ("p.parquet", b"left,right,same\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"\(pairs\.given\): cannot be read \(.*\); expected"):
            read_given(tmp_path / name, dataset)
    (tmp_path / "p.csv").write_text("left,right,same\na,b,1,2\n")
    with pytest.raises(InputError, match="more fields than its first line"):
        read_given(tmp_path / "p.csv", dataset)


def test_training_is_dealt_from_the_given_pairs(tmp_path: Path) -> None:
    dataset = named()
    labels = range(3)
    like = [
        (files[i], files[j], 1, "train")
        for label in labels
        for files in [of(dataset, "train", label)]
        for i, j in ((0, 1), (1, 2), (2, 3))
    ]
    unlike = [
        (genuine, forged, 0, "train")
        for label in labels
        for genuine in of(dataset, "train", label)
        for forged in of(dataset, "train", label, forged=True)
    ]
    path = written(tmp_path / "pairs.csv", like + unlike, "left,right,same,split")
    given = read_given(path, dataset)["train"]
    params = made_params(batch_size=8, batches_per_epoch=5, epochs=3, classes_per_batch=2)
    dealt = deal_given(given, params)
    check_manifest(dealt, dataset.samples, "train", "here")
    assert list(dealt.columns) == ["epoch", "batch", "left", "right", "same"]
    assert len(dealt) == 3 * 5 * 8
    for _, batch in dealt.groupby(["epoch", "batch"]):
        assert batch["same"].tolist() == [True] * 4 + [False] * 4, "in each batch the like first"
    known = {row[:3] for row in like + unlike}
    assert set(files_of(dealt, dataset)) <= known
    orders = []
    for _, epoch in dealt.groupby("epoch"):
        counts = epoch.groupby(["same", "left", "right"]).size()
        # 20 of 9 like pairs: each twice, two of them a third time. 20 of 24 unlike ones: once.
        assert sorted(counts.xs(True)) == [2] * 7 + [3] * 2
        assert counts.xs(False).tolist() == [1] * 20
        firsts = epoch[epoch["same"]][["left", "right"]].to_numpy()
        assert len(np.unique(firsts[:9], axis=0)) == 9, "all, before any comes again"
        orders.append(firsts[:9].tolist())
    assert orders[0] != orders[1] != orders[2]

    pd.testing.assert_frame_equal(deal_given(given, params), dealt)
    fewer = deal_given(given, params.model_copy(update={"epochs": 2}))
    pd.testing.assert_frame_equal(fewer, dealt[dealt["epoch"] < 2])
    other = deal_given(given, params.model_copy(update={"seed": 1}))
    assert not other.equals(dealt)
