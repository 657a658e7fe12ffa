"""Setting `params.yaml` to a data set of one's own, by a look at which files there are.

The pairs that can be drawn depend on how many images there are of how many classes. What is set
here are the defaults for CIFAR-100, cut down to what the data gives; comments stay.
"""

import math
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from yaml import safe_load

from siamese.data.data_params import NONE, DataParams
from siamese.data.dataset import Classes
from siamese.data.folder import Listing, check_place, list_images, untracked_note
from siamese.data.splits import PrepareParams, TooSmallShare, check_splits, cut_splits
from siamese.errors import InputError
from siamese.files import new_file
from siamese.params import PARAMS_FILE, read_document, read_sections
from siamese.schema import check_params

# The splits that are cut, in this order, and what their shares are raised to where data is scarce.
CUT = ("test", "validation")
SHARES = (0.15, 0.2, 0.25, 0.33, 0.4, 0.5)
# Like pairs of a split: a pair for every other class will do, or so many.
ENOUGH_LIKE_PAIRS = 50
FEW_PAIRS = 100  # are worth a note
CLASSES_PER_BATCH, BATCH_SIZE, FEWEST_BATCHES = 32, 128, 16
VALIDATION_PAIRS, TEST_PAIRS = 10_000, 20_000
K, CURVE_K, SHEET_NEIGHBOURS = (1, 5, 20), (1, 2, 5, 10, 20, 50, 100), 9
# Of the like pairs that a split has: some may turn out to be of exact copies.
SHARE_OF_LIKE_PAIRS = 0.8
OPENED = 50  # images whose size is looked at

Changes = dict[str, Any]


@dataclass(frozen=True)
class Adopted:
    """What was found, and what was set.

    Attributes:
        found: sentences on the data.
        changes: by dotted name of a parameter its old and its new value.
        notes: sentences on what is worth knowing.
    """

    found: list[str]
    changes: dict[str, tuple[Any, Any]]
    notes: list[str]


def adopt(
    path: Path,
    images: Path | None = None,
    wanted: Changes | None = None,
    workspace: Path = Path(),
) -> Adopted:
    """Set `params.yaml` to a folder of images, or a table of them.

    Args:
        path: class folders or a table; see `siamese.data.folder`.
        images: with a table, the folder that its file names start from.
        wanted: further parameters to set, by dotted name.
        workspace: the folder that holds `params.yaml`.

    Raises:
        InputError: the images cannot be listed or split, or lie where the pipeline cannot have
            them. Nothing is changed then.
    """
    path, images = _within(path, workspace), _within(images or Path(NONE), workspace)
    notes: list[str] = []
    places = {"data.path": path} | ({} if images == Path(NONE) else {"data.images": images})
    for key, place in places.items():
        check_place(place, key, workspace)
        if note := untracked_note(place, key, workspace):
            notes.append(note)
    listing = list_images(workspace / path, None if images == Path(NONE) else workspace / images)
    has_splits = bool(listing.samples["split"].notna().all())
    values = {"data.name": "folder", "data.path": str(path), "data.images": str(images)}
    file = workspace / PARAMS_FILE
    with _rewriting(file) as (document, save):
        changes = _set(document, values, {})
        split_by = _section(document, "prepare.split_by")["split_by"]
        if "group" in listing.samples and not has_splits:
            split_by = "group"
        elif "group" not in listing.samples and split_by == "group":
            split_by = "sample"  # it was another data set that had groups
        changes = _set(document, {"prepare.split_by": split_by} | (wanted or {}), changes)
        params = read_sections(save(), data=DataParams, prepare=PrepareParams)
        prepare, cut = cut_with_pairs(
            listing.samples, listing.classes, params.data.novel_classes, params.prepare
        )
        notes += [*listing.notes, *check_splits(cut, listing.classes, prepare.split_by)]
        shares = {f"prepare.{split}": getattr(prepare, split) for split in CUT}
        changes = _set(document, shares | fitting(cut), changes)
        notes += _notes(check_params(save()))
    counts = cut["split"].value_counts()
    found = [
        _described(path, listing),
        ", ".join(f"{counts[name]:,} {name}" for name in ("train", "validation", "test"))
        + (" (the splits it came with)" if has_splits else f" (by {prepare.split_by})"),
    ]
    size = f"{params.data.image_size} x {params.data.image_size} pixels (data.image_size)"
    if sides := _sides(listing):
        width, height = np.median(sides, axis=0).astype(int)
        found.append(
            f"{width} x {height} pixels by the median of {len(sides)} looked at, to be brought to"
            f" {size}"
        )
    else:
        notes.append(
            f"note: none of the images looked at can be opened, {listing.samples['file'].iloc[0]}"
            f" for one{'; is data.images right?' if images != Path(NONE) else ''}"
        )
    return Adopted(found, changes, notes)


@contextmanager
def _rewriting(file: Path) -> Iterator[tuple[Any, Callable[[], Path]]]:
    """Yield the content of a parameter file, and what writes it to a file beside, for a check.

    The last one written takes the file's place if the block succeeds; it keeps the file's ends of
    lines and its permissions.
    """
    read_document(file)  # says what is wrong with it, if anything is
    yaml = YAML()
    yaml.width = 1000
    newline = "\r\n" if b"\r\n" in file.read_bytes() else "\n"
    document = yaml.load(file.read_text(encoding="utf-8"))
    with new_file(file) as partial:

        def save() -> Path:
            with partial.open("w", encoding="utf-8", newline=newline) as stream:
                yaml.dump(document, stream)
            shutil.copymode(file, partial)
            return partial

        try:
            yield document, save
        except InputError as error:
            raise InputError(str(error).replace(str(partial), str(file))) from None


def fitting(samples: pd.DataFrame) -> Changes:
    """Return parameters that the data can fill, by dotted name.

    Args:
        samples: with `split`, `fine` and, with novel classes, `enrolled`.

    Raises:
        InputError: validation or test has no two images of one class.
    """
    enrolled = samples.get("enrolled", pd.Series(False, index=samples.index))
    train = samples.loc[samples["split"] == "train", "fine"]
    queries = samples[(samples["split"] == "test") & ~enrolled]
    n_classes = train.nunique()
    classes_per_batch = min(CLASSES_PER_BATCH, n_classes)
    batch_size = max(2 * classes_per_batch, min(BATCH_SIZE, len(train) // 4 * 2))
    # Else classes might not come up equally often: equal shares in a batch, and two rounds of all
    # classes, were enough in each of hundreds of random cases of up to 2,500 classes.
    if n_classes > classes_per_batch:
        batch_size -= batch_size % (2 * classes_per_batch)
    two_rounds = 2 * math.ceil(n_classes / classes_per_batch)
    batches = max(FEWEST_BATCHES, two_rounds, round(len(train) / (2 * batch_size)))
    gallery = len(samples) - len(queries)
    k = [k for k in K if k <= gallery]
    is_mixed = 0 < queries["fine"].isin(train).sum() < len(queries)
    halves = [queries]
    if is_mixed:  # never-seen classes among others: half of the test pairs each
        is_seen = queries["fine"].isin(train)
        halves = [queries[is_seen], queries[~is_seen]]
    test = min(_n_pairs(half["fine"], TEST_PAIRS // len(halves), "test") for half in halves)
    validation = samples.loc[samples["split"] == "validation", "fine"]
    return {
        "pairs.batch_size": batch_size,
        "pairs.classes_per_batch": classes_per_batch,
        "pairs.batches_per_epoch": batches,
        "pairs.validation": _n_pairs(validation, VALIDATION_PAIRS, "validation"),
        "pairs.test": test * len(halves),
        "floor.k": k[-1],
        "evaluate.k": k,
        "evaluate.vote_k": k[-1],
        "evaluate.curve_k": [k for k in CURVE_K if k <= gallery],
        "evaluate.sheet_neighbours": min(SHEET_NEIGHBOURS, gallery),
    }


def cut_with_pairs(
    samples: pd.DataFrame, classes: Classes, novel_classes: int, params: PrepareParams
) -> tuple[PrepareParams, pd.DataFrame]:
    """Cut the splits as `cut_splits` does, by larger shares where those asked for give few pairs.

    Returns:
        The parameters, with the shares that were taken, and what `cut_splits` returns for them.

    Raises:
        InputError: as `cut_splits`, whatever the shares.
    """
    given = set(samples["split"].dropna())
    while True:
        try:
            cut = cut_splits(samples, classes, novel_classes, params)
            scarce = [split for split in CUT if split not in given and _is_scarce(cut, split)]
            error = None
        except TooSmallShare as raised:
            scarce, error = [raised.split], raised
        larger = [
            (split, share)
            for split in scarce
            for share in SHARES
            if split in CUT and share > getattr(params, split)
        ]
        if not larger:
            if error:
                raise error
            return params, cut
        split, share = larger[0]
        params = params.model_copy(update={split: share})


def _is_scarce(samples: pd.DataFrame, split: str) -> bool:
    counts = samples.loc[samples["split"] == split, "fine"].value_counts()
    return _n_like(counts.to_numpy()) < min(ENOUGH_LIKE_PAIRS, len(counts) / 2)


def _n_like(counts: np.ndarray) -> int:
    """Return how many like pairs there are, by how many images each class has."""
    return int((counts * (counts - 1) // 2).sum())


def _n_pairs(labels: pd.Series, most: int, split: str) -> int:
    """Return how many fixed pairs to draw: half of them like ones, which are the scarcer."""
    counts = labels.value_counts().to_numpy()
    like = _n_like(counts)
    unlike = int((len(labels) ** 2 - (counts**2).sum()) // 2)
    if not like or not unlike:
        raise InputError(
            f"the split `{split}` has {len(labels)} images of {len(counts)} classes, and so no pair"
            f" of {'one class' if not like else 'two classes'}; add images: a class takes six to"
            " have two in each split. Or, to verify images of classes that training has never"
            " seen, cut by class (`--split-by class`)"
        )
    half = min(most // 2, max(1, int(like * SHARE_OF_LIKE_PAIRS)), unlike)
    return 2 * half


def _notes(params: Any) -> list[str]:
    """Return sentences on what the parameters, all of them, mean for the data."""
    notes = []
    for split in CUT:
        if (n_pairs := getattr(params.pairs, split)) < FEW_PAIRS:
            notes.append(
                f"note: there are only {n_pairs} pairs of {split} images (pairs.{split}), so what"
                f" is measured on them says little; more images, or a larger prepare.{split}, help"
            )
    if params.train.augment.flip or params.network.mirror:
        notes.append(
            "note: mirror images count as the same thing (train.augment.flip, network.mirror);"
            " `--no-mirror` sets both to false, for writing, signs and whatever else has a left and"
            " a right"
        )
    return notes


def _within(path: Path, workspace: Path) -> Path:
    """Return a path relative to the workspace, if it lies in it."""
    place, root = (workspace / path).resolve(), workspace.resolve()
    return place.relative_to(root) if place.is_relative_to(root) else path


def _section(document: Any, name: str) -> dict[str, Any]:
    """Return the part of a parameter file that has a parameter, given by dotted name."""
    content = document
    *sections, key = name.split(".")
    for section in sections:
        content = content.get(section) if isinstance(content, dict) else None
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{PARAMS_FILE}: key `{name}` is missing")
    return content


def _set(
    document: Any, values: Changes, changes: dict[str, tuple[Any, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Set parameters by dotted name; return all changes made so far."""
    for name, value in values.items():
        content, key = _section(document, name), name.split(".")[-1]
        old = content[key]
        if old == value:
            continue
        before = list(old) if isinstance(old, list) else old
        changes[name] = (changes.get(name, (before,))[0], value)
        if isinstance(value, list) and isinstance(old, list):
            old[:] = value  # in place: it stays on one line, if it was
        elif isinstance(value, str) and safe_load(value) != value:
            # Stages read by the rules of YAML 1.1, where `yes` without quotes is no text.
            content[key] = SingleQuotedScalarString(value)
        else:
            content[key] = value
    return changes


def _described(path: Path, listing: Listing) -> str:
    counts = listing.samples["fine"].value_counts()
    names = listing.classes.fine
    groups = ""
    if "group" in listing.samples:
        groups = f", {listing.samples['group'].nunique():,} groups"
    superclasses = ""
    if listing.classes.coarse:
        superclasses = f" in {len(listing.classes.coarse)} superclasses"
    return (
        f"{path}: {len(listing.samples):,} images of {len(names)} classes{superclasses}{groups}"
        f" (`{names[counts.index[-1]]}` {counts.iloc[-1]:,} to `{names[counts.index[0]]}`"
        f" {counts.iloc[0]:,})"
    )


def _sides(listing: Listing) -> list[tuple[int, int]]:
    """Return width and height of some of the images, as far as they can be opened."""
    chosen = np.unique(np.linspace(0, len(listing.samples) - 1, OPENED).round().astype(int))
    sides = []
    for name in listing.samples["file"].iloc[chosen]:
        with suppress(Exception), warnings.catch_warnings():  # `prepare` says what is wrong
            warnings.simplefilter("ignore")
            with Image.open(listing.root / name) as image:
                sides.append(image.size)
    return sides
