"""Setting `params.yaml` to the user's own data set, which is listed and split for that.

The pairs that can be drawn depend on how many images each class has: see `siamese.cli.fitting`.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from siamese.base.data_params import FOLDER, NO_PATH, DataParams, TableParams
from siamese.base.dataset import is_forged
from siamese.base.errors import InputError
from siamese.base.image_size import in_words
from siamese.base.params import PARAMS_FILE, Section, read_sections
from siamese.cli.defaults import DEFAULTS
from siamese.cli.fitting import CUT, cut_with_pairs, fitting
from siamese.cli.looks import Kind, look_at
from siamese.cli.params_file import rewriting, set_values, value_of
from siamese.cli.photographs import images_per_epoch
from siamese.cli.proposals import (
    FORGED,
    FORGED_FROM_NOTHING,
    FORGED_VALIDATION,
    PRETRAINED,
    Proposal,
    propose,
    reasons,
)
from siamese.cli.schema import Params, check_params
from siamese.cli.table_format import found_format
from siamese.cli.weights import choose_weights
from siamese.network.embedding import images_at_once
from siamese.preparation.class_folders import forged_suffix_of
from siamese.preparation.folder import Listing, list_images
from siamese.preparation.places import check_places
from siamese.preparation.splits import PrepareParams, check_splits, left_out_notes
from siamese.preparation.table import OPTIONAL, REQUIRED, TABLES, is_parquet

FEW_PAIRS = 100  # fewer are worth a note
LARGE_ON_DISK = 10**9  # bytes of prepared images that are worth a note

Changes = dict[str, Any]


@dataclass(frozen=True)
class Adopted:
    """What was found, and what was set.

    Attributes:
        found: sentences on the data, and on what it was taken for.
        changes: old and new value of each changed parameter, by dotted name.
        notes: sentences on what is worth knowing.
        is_pretrained: whether training starts from weights.
    """

    found: list[str]
    changes: dict[str, tuple[Any, Any]]
    notes: list[str]
    is_pretrained: bool


class DataSections(Section):
    """The sections that say what the data set is."""

    data: DataParams
    prepare: PrepareParams


def adopt(
    path: Path,
    images: Path | None = None,
    wanted: Changes | None = None,
    workspace: Path = Path(),
    *,
    kind: Kind | None = None,
    weights: str | None = None,
    copy: Path | None = None,
) -> Adopted:
    """Set `params.yaml` to a folder of images, or a table of them.

    Whatever can be set here starts from its default; other parameters stay.

    Args:
        path: class folders or a table; see `siamese.preparation.folder`.
        images: with a table, the folder that its file names start from.
        wanted: further parameters to set, by dotted name.
        workspace: the folder that holds `params.yaml`.
        kind: what the images are, instead of what they look like.
        weights: `none`, `pretrained`, or where they are, instead of what suits that.
        copy: a copy of the weights on this machine; see `siamese.cli.weights.choose_weights`.

    Raises:
        InputError: the images cannot be listed or split, or lie where the pipeline cannot use
            them; or pretrained weights cannot be found. The file is then unchanged.
    """
    wanted = wanted or {}
    _refuse_misplaced(workspace / path, images, wanted)
    path, images = _within(path, workspace), _within(images or Path(NO_PATH), workspace)
    notes = check_places(path, images, workspace)
    values = {"data.name": FOLDER, "data.path": str(path), **DEFAULTS, "data.images": str(images)}
    if wanted.get("data.table.header") is False:
        values |= {"data.table.file": "1", "data.table.label": "2"}
    values |= wanted
    if _is_text_table(workspace / path):
        values |= found_format(workspace / path, values, wanted)
    file = workspace / PARAMS_FILE
    with rewriting(file) as (document, save):
        before = {name: value_of(document, name) for name in values}
        set_values(document, values)
        data = read_sections(DataSections, save()).data
        if (workspace / path).is_dir() and "data.forged_suffix" not in wanted:
            suffix = forged_suffix_of(workspace / path, data.label_level)
            values["data.forged_suffix"] = suffix
            data = data.model_copy(update={"forged_suffix": suffix})
        listing = list_images(data, workspace)
        look = look_at(listing)
        proposal = propose(look, kind, weights, wanted)
        values |= proposal.values | wanted
        has_splits = bool(listing.samples["split"].notna().all())
        if "group" in listing.samples and not has_splits:
            values |= {"prepare.split_by": "group"} | wanted
        if "forged" in listing.samples:
            values |= FORGED | wanted
            if not proposal.is_pretrained:
                values |= FORGED_FROM_NOTHING | wanted
            if values["prepare.split_by"] == "class":
                values |= {"prepare.validation": FORGED_VALIDATION} | wanted
        set_values(document, values)
        params = read_sections(DataSections, save())
        prepare, cut = cut_with_pairs(
            listing.samples, listing.classes, params.data.novel_classes, params.prepare
        )
        notes += [*listing.notes, *check_splits(cut, listing.classes, prepare.split_by)]
        notes += left_out_notes(listing.samples, cut)
        values |= {f"prepare.{split}": getattr(prepare, split) for split in CUT}
        values |= _fitted(cut, values, proposal)
        values["embed.batch_size"] = images_at_once(params.data.image_size)
        if proposal.is_pretrained:
            values |= _weights(proposal, copy)
        set_values(document, values)
        notes += _notes(check_params(save()), wanted, len(cut))
    changes = {name: (before[name], new) for name, new in values.items() if before[name] != new}
    counts = cut.loc[~is_forged(cut), "split"].value_counts()
    found = [
        _described(path, listing),
        ", ".join(f"{counts[name]:,} {name}" for name in ("train", "validation", "test"))
        + (" (the splits it came with)" if has_splits else f" (by {prepare.split_by})"),
    ]
    if n_forged := int(is_forged(cut).sum()):
        found.append(
            f"{n_forged:,} forgeries beside them, in the splits of what they pretend to be: unlike"
            " pairs with it (pairs.forged), and in no gallery"
        )
    if (workspace / path).is_file():
        found.insert(0, _table_described(path, listing, params.data.table))
    if look.longer:
        found.append(
            f"{in_words((look.height, look.width))} pixels, height and width (median of"
            f" {look.share[1]} images), to be brought to {in_words(params.data.image_size)}"
            " (data.image_size)"
        )
        found += reasons(look, kind, proposal, values, int(counts["train"]))
    else:
        notes.append(
            "note: none of the images that were tried can be opened, for example"
            f" {listing.samples['file'].iloc[0]}"
        )
    return Adopted(found, changes, notes, proposal.is_pretrained)


def _fitted(samples: pd.DataFrame, values: Changes, proposal: Proposal) -> Changes:
    """Return what depends on how many images there are, of which classes."""
    if not proposal.is_pretrained:
        return fitting(samples)
    if values["train.freeze"] == "backbone":  # an epoch of the head alone costs next to nothing
        return fitting(samples, values)
    found = fitting(samples, values, images_per_epoch)
    n_train = int(((samples["split"] == "train") & ~is_forged(samples)).sum())
    # Validation embeds them and their mirror images after each epoch: in about half of its time.
    return found | {"train.monitor_gallery": min(DEFAULTS["train.monitor_gallery"], n_train)}


def _weights(proposal: Proposal, copy: Path | None) -> Changes:
    """Return the section `weights` by dotted name."""
    network = proposal.values["network.architecture"]
    source = None if proposal.weights == PRETRAINED else proposal.weights
    try:
        return choose_weights(network, copy, source)
    except InputError as error:
        raise InputError(
            f"{error}\nNothing was changed. {network} was to start from these weights, which suits"
            f" {proposal.kind}; `--weights none` trains a network from random ones"
        ) from None


def _notes(params: Params, wanted: Changes, n_images: int) -> list[str]:
    """Return sentences on what the parameters mean for the data, except those asked for."""
    notes = []
    for split in CUT:
        if (n_pairs := getattr(params.pairs, split)) < FEW_PAIRS:
            notes.append(
                f"note: there are only {n_pairs} pairs of {split} images (pairs.{split}), so what"
                f" is measured on them says little; more images, or a larger prepare.{split}, help"
            )
    size = params.data.image_size
    if (n_bytes := n_images * math.prod(size) * 3) > LARGE_ON_DISK:
        notes.append(
            f"note: data/prepared will take {n_bytes / 10**9:.1f} GB ({n_images:,} images of"
            f" {in_words(size)} pixels, data.image_size), and DVC's cache as much again, unless its"
            " cache.type has links; training reads it memory-mapped"
        )
    if "network.mirror" not in wanted and (params.train.augment.flip or params.network.mirror):
        notes.append(
            "note: mirror images count as the same thing (train.augment.flip, network.mirror);"
            " `--no-mirror` sets both to false, for writing, signs and anything else that has a"
            " left and a right"
        )
    return notes


def _refuse_misplaced(path: Path, images: Path | None, wanted: Changes) -> None:
    """Refuse what goes with a table if there is none, and the other way round."""
    of_tables = [name for name in wanted if name.startswith("data.table.")]
    of_tables += ["data.images"] * (images is not None)
    if path.is_dir() and of_tables:
        raise InputError(
            f"{path}: a folder, whose images have the labels of their folders; {of_tables[0]} goes"
            " with a table: give the table in place of the folder"
        )
    of_folders = [name for name in ("data.label_level", "data.forged_suffix") if name in wanted]
    if path.is_file() and of_folders:
        raise InputError(
            f"{path}: a table, which has the labels in a column (`--label-column`), and what is"
            f" forged in another (`--kind-column`); {of_folders[0]} goes with class folders"
        )


def _is_text_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in TABLES and not is_parquet(path)


def _within(path: Path, workspace: Path) -> Path:
    """Return a path relative to the workspace, if it lies in it."""
    # Not Path.resolve, which raises where links lead to one another.
    place, root = (Path(os.path.realpath(one)) for one in (workspace / path, workspace))
    return place.relative_to(root) if place.is_relative_to(root) else path


def _described(path: Path, listing: Listing) -> str:
    genuine = listing.samples[~is_forged(listing.samples)]
    counts = genuine["fine"].value_counts()
    names = listing.classes.fine
    kinds = f"{len(names)} classes"
    if listing.classes.coarse:
        kinds += f" in {len(listing.classes.coarse)} superclasses"
    if "group" in listing.samples:
        kinds += f", {listing.samples['group'].nunique():,} groups"
    return (
        f"{path}: {len(genuine):,} images of {kinds}"
        f" (`{names[counts.index[-1]]}` {counts.iloc[-1]:,} to `{names[counts.index[0]]}`"
        f" {counts.iloc[0]:,})"
    )


def _table_described(path: Path, listing: Listing, written: TableParams) -> str:
    """Say which columns of a table were taken for what, and how it is written."""
    given = {
        "split": bool(listing.samples["split"].notna().all()),
        "group": "group" in listing.samples,
        "coarse": bool(listing.classes.coarse),
        "kind": "forged" in listing.samples,
    }
    columns = ", ".join(
        f"`{getattr(written, key)}` ({key})" for key in (*REQUIRED, *OPTIONAL) if given.get(key, 1)
    )
    if is_parquet(path):
        return f"{path}: columns {columns}"
    return (
        f"{path}: columns {columns}, separated by {written.separator!r}, in {written.encoding}"
        f"{'' if written.header else ', without a header'}"
    )
