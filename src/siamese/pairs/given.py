"""Pairs that are given: the table of a protocol, in place of drawn pairs.

The table `pairs.given` has a row per pair: `left` and `right`, the files of its images, and `same`.
A row belongs to the split that its `split` names, else to the test, and there to a part of the
protocol, its `fold`.
"""

import difflib
import io
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from siamese.base.data_params import NO_PATH
from siamese.base.dataset import SPLITS, Dataset, is_forged
from siamese.base.errors import InputError, no_such_file
from siamese.base.parquet import read_frame
from siamese.pairs.drawing import in_batches
from siamese.pairs.params import PairsParams

REQUIRED, OPTIONAL = ("left", "right", "same"), ("fold", "split")
SAME = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
SEPARATORS = ",;\t "  # of what is there most often in the first line
# Given pairs are shuffled by default_rng([seed, 5, epoch]); see `siamese.pairs.drawing`.
GIVEN_STREAM = 5


def read_given(path: Path, dataset: Dataset) -> dict[str, pd.DataFrame]:
    """Read the table of given pairs, and find their samples.

    Args:
        path: text with a separator between its columns, or Parquet; `data/none` has none.
        dataset: the prepared data; its images are not read.

    Returns:
        By split, for each that has pairs, in the order of the table: `left`, `right` (sample
        numbers, int64) and `same` (bool); for validation and test also `fold` (int32), 0 where the
        table has none.

    Raises:
        InputError: the table is missing or cannot be read; or a row names no image or several, an
            image twice or one of another split, has a value that is not understood, or a `same`
            that the labels contradict; or a split, or a fold, has one kind of pairs alone.
    """
    if path == Path(NO_PATH):
        return {}
    table = _read_table(path)
    split = table["split"] if "split" in table else pd.Series("test", index=table.index)
    _refuse(path, table, "split", ~split.isin(SPLITS), f"expected one of {', '.join(SPLITS)}")
    same = table["same"].str.lower().map(SAME)
    _refuse(path, table, "same", same.isna(), "expected 1 or 0, true or false, yes or no")
    pairs = pd.DataFrame(
        {side: _numbers(path, table, side, dataset) for side in ("left", "right")}
    ).assign(same=same.astype(bool), fold=np.int32(0))
    if "fold" in table:
        pairs.loc[split == "test", "fold"] = _folds(path, table[split == "test"])
    _check_images(path, table, pairs, split, dataset)
    given = {}
    for name in SPLITS:
        chosen = pairs[split == name].reset_index(drop=True)
        if len(chosen):
            _check_kinds(path, chosen, name)
            given[name] = chosen.drop(columns="fold") if name == "train" else chosen
    return given


def deal_given(pairs: pd.DataFrame, params: PairsParams) -> pd.DataFrame:
    """Deal given pairs to the batches of every epoch.

    Every batch has exactly `batch_size` pairs, half of them `same`. In an epoch no pair comes again
    before all of its kind have come.

    Args:
        pairs: `left`, `right`, `same`, of both kinds.
        params: how many, of how many epochs.

    Returns:
        A table as `siamese.pairs.drawing.draw_training` returns it.
    """
    same = pairs["same"].to_numpy()
    half = params.batch_size // 2
    rows = []
    for epoch in range(params.epochs):
        rng = np.random.default_rng([params.seed, GIVEN_STREAM, epoch])
        kinds = [
            _shuffled(np.flatnonzero(kind), params.batches_per_epoch * half, rng)
            for kind in (same, ~same)
        ]
        rows.append(np.stack(kinds).reshape(2, -1, half).swapaxes(0, 1).ravel())
    return in_batches(pairs.iloc[np.concatenate(rows)].reset_index(drop=True), params)


def _shuffled(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` of the rows in random order; all of them, before any comes again."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count]


def _read_table(path: Path) -> pd.DataFrame:
    """Return the columns of a table as text without blanks around it."""
    if not path.is_file():
        raise no_such_file(f"pairs.given: {path}", "expected a table of pairs, CSV or Parquet")
    try:
        if path.suffix.lower() == ".parquet":
            table = read_frame(path).reset_index(drop=True)
        else:
            text = path.read_bytes().decode("utf-8-sig")
            first = text.partition("\n")[0]
            table = pd.read_csv(
                io.StringIO(text),
                sep=max(SEPARATORS, key=first.count),
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
            )
    except ValueError as error:  # Arrow's and pandas' own are of this kind
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{path} (pairs.given): cannot be read ({reason}); expected CSV in UTF-8, or Parquet"
        ) from None
    table.columns = table.columns.map(str).str.strip()
    if missing := [name for name in REQUIRED if name not in table]:
        found = ", ".join(f"`{name}`" for name in table.columns[:12])
        raise InputError(
            f"{path} (pairs.given): it lacks {' and '.join(f'`{name}`' for name in missing)}; its"
            f" columns are {found or 'without names'}: give the first line the names `left`,"
            " `right` and `same`"
        )
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(
            f"{path} (pairs.given): its rows have more fields than its first line; give each"
            " column a name, and put text that holds a separator into double quotes"
        )
    if not len(table):
        raise InputError(f"{path} (pairs.given): no row in it; expected one per pair")
    wanted = [name for name in REQUIRED + OPTIONAL if name in table]
    table = table[wanted].astype("string").fillna("").astype(object)
    return table.apply(lambda column: column.str.strip())


def _numbers(path: Path, table: pd.DataFrame, side: str, dataset: Dataset) -> pd.Series:
    """Return the samples of one column of files, int64; a file may lack its extension."""
    files = dataset.samples["file"]
    stems = files.map(lambda file: str(PurePosixPath(file).with_suffix("")))
    found = pd.Series(pd.NA, index=table.index, dtype="Int64")
    for names in (files, stems):
        unique = names[~names.duplicated(keep=False)]
        found = found.fillna(table[side].map(pd.Series(unique.index, index=unique)).astype("Int64"))
    if (is_missing := found.isna()).any():
        name = table[side][is_missing].iloc[0]
        alike = files[(files == name) | (stems == name)]
        if len(alike):
            advice = f"{len(alike)} images are called so, {alike.iloc[0]!r} for one; give them"
            advice += " different names"
        else:
            close = difflib.get_close_matches(name, files, n=1)
            advice = "there is no such image in data/prepared"
            advice += f"; did you mean {close[0]!r}?" if close else f", but {files.iloc[0]!r}, say"
        _refuse(path, table, side, is_missing, advice)
    return found.astype(np.int64)


def _folds(path: Path, table: pd.DataFrame) -> pd.Series:
    folds = pd.to_numeric(table["fold"], errors="coerce")
    is_wrong = ~(folds % 1 == 0) | (folds.abs() >= 2**31)
    _refuse(path, table, "fold", is_wrong, "expected a whole number")
    return folds.astype(np.int32)


def _check_images(
    path: Path, table: pd.DataFrame, pairs: pd.DataFrame, split: pd.Series, dataset: Dataset
) -> None:
    """Refuse pairs of one image, of images of other splits, or that the labels contradict."""
    samples = dataset.samples
    fine, forged = dataset.fine(), is_forged(samples)
    is_copy = forged.copy()
    is_copy[dataset.forged(*SPLITS)] = False
    left, right = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    _refuse(path, table, "right", left == right, "it is the image at the left; expected two images")
    for side, numbers in (("left", left), ("right", right)):
        own = samples["split"].to_numpy()[numbers]
        for name in SPLITS:
            is_other = (split == name).to_numpy() & (own != name)
            found = own[is_other.argmax()]
            what = f"that image is in the split `{found}`, but the row is of `{name}`"
            advice = "; leave the row out, or set the splits of images by a table (data.path)"
            _refuse(path, table, side, is_other, what + advice)
        what = "that forgery is an exact copy of a genuine image; leave the row out"
        _refuse(path, table, side, is_copy[numbers], what)
        if "enrolled" in samples:
            is_enrolled = samples["enrolled"].to_numpy(dtype=bool)[numbers]
            what = "that image is enrolled in the gallery (prepare.enrolled); leave the row out"
            _refuse(path, table, side, (split == "test").to_numpy() & is_enrolled, what)
    has_forgery = forged[left] | forged[right]
    is_same = (fine[left] == fine[right]) & ~has_forgery
    is_wrong = is_same != pairs["same"].to_numpy()
    first = is_wrong.argmax()
    names = [f"`{dataset.classes.fine[fine[side[first]]]}`" for side in (left, right)]
    what = f"its images are of {names[0]} and {names[1]}"
    if has_forgery[first]:
        what = "one of its images is a forgery, which is like nothing"
    _refuse(path, table, "same", is_wrong, f"but {what}; correct the table or the labels")


def _check_kinds(path: Path, pairs: pd.DataFrame, split: str) -> None:
    if (is_single := pairs.groupby("fold")["same"].nunique() < 2).any():
        fold = is_single.idxmax()
        part = f"fold {fold}" if pairs["fold"].any() else f"the split `{split}`"
        kind = "like" if pairs["same"][pairs["fold"] == fold].iloc[0] else "unlike"
        raise InputError(
            f"{path} (pairs.given): all pairs of {part} are {kind}; expected like and unlike ones"
        )


def _refuse(
    path: Path, table: pd.DataFrame, column: str, where: pd.Series | np.ndarray, advice: str
) -> None:
    """Refuse the first row that is marked, counted from 1."""
    where = np.asarray(where)
    if where.any():
        row = table.index[int(where.argmax())]
        value = table.loc[row, column]
        raise InputError(f"{path} (pairs.given): row {row + 1}: `{column}` is {value!r}; {advice}")
