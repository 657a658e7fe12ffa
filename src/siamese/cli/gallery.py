"""The commands that build, describe and change a gallery: `gallery` and `enroll`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese.base.errors import InputError
from siamese.cli.answering import print_json, print_line, quick_imports, read_images
from siamese.cli.arguments import add
from siamese.gallery.defaults import EMBEDDINGS, NOVELTY_SHARE, PREPARED, VOTERS

if TYPE_CHECKING:
    from siamese.gallery.answers import LabelCount


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to those of `siamese`."""
    gallery = commands.add_parser("gallery", help="make, describe and change the gallery")
    actions = gallery.add_subparsers(required=True, metavar="ACTION")

    build = actions.add_parser("build", help="make the gallery from the pipeline's embeddings")
    add(build, "--gallery", "--model")
    build.add_argument("--embeddings", type=Path, default=EMBEDDINGS, metavar="FILE")
    build.add_argument("--prepared", type=Path, default=PREPARED, metavar="FOLDER")
    build.add_argument(
        "--novelty-share",
        type=float,
        default=NOVELTY_SHARE,
        metavar="SHARE",
        help="share of validation images that count as like something in the gallery (default:"
        f" {NOVELTY_SHARE})",
    )
    build.set_defaults(command=_build)

    info = actions.add_parser("info", help="what the gallery holds")
    add(info, "--gallery", "--model", "--json")
    info.set_defaults(command=_info)

    listing = actions.add_parser("list", help="the classes and how many images they have")
    add(listing, "--gallery", "--json")
    listing.set_defaults(command=_list)

    remove = actions.add_parser("remove", help="remove enrolled images")
    add(remove, "--gallery")
    which = remove.add_mutually_exclusive_group(required=True)
    which.add_argument("--label", help="all of this class")
    which.add_argument("--file", help="all that came from this file")
    which.add_argument("--number", type=int, help="the row of this number")
    remove.set_defaults(command=_remove)

    tidy = actions.add_parser(
        "tidy", help="write the gallery anew, without what was removed or replaced"
    )
    add(tidy, "--gallery")
    tidy.set_defaults(command=_tidy)

    enroll = commands.add_parser("enroll", help="add labelled images to the gallery, no training")
    add(enroll, "paths")
    labels = enroll.add_mutually_exclusive_group()
    labels.add_argument(
        "--label", help="label of all images (default: by the folders that each lies in)"
    )
    add(labels, "--label-level")
    enroll.add_argument("--new", action="store_true", help="make an empty gallery first")
    add(enroll, "--gallery", "--model")
    enroll.set_defaults(command=_enroll)


def _build(options: argparse.Namespace) -> None:
    from siamese.gallery.build import build

    built = build(
        options.gallery, options.model, options.embeddings, options.prepared, options.novelty_share
    )
    if not built.changed:
        print(f"{options.gallery}: built from the same embeddings already; nothing to do")
        return
    again = ", embedded again by the new model" if built.embedded_again else ""
    print(
        f"{options.gallery}: {built.pipeline:,} rows from the pipeline, {built.enrolled:,}"
        f" enrolled{again}; farther than {built.novelty_distance:.3f} from all of them is unlike"
        " anything"
    )


def _info(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    info = Gallery.open(options.gallery).info()
    if options.json:
        print_json(asdict(info))
        return
    share = "" if info.novelty_share is None else f", {info.novelty_share:.4g} of validation within"
    novelty = "none calibrated"
    if info.novelty_distance is not None:
        novelty = f"farther than {info.novelty_distance:.4f} from all rows{share}"
    search = "exact"
    if info.index is not None:
        search = (
            f"{info.index.kind}, {info.index.probes} probes: finds {info.index.recall:.2%} of the"
            f" ten nearest (measured on {info.index.asked} rows)"
        )
    lines = {
        "gallery": info.address,
        "rows": f"{info.pipeline + info.enrolled:,} ({info.pipeline:,} from the pipeline,"
        f" {info.enrolled:,} enrolled) of {info.labels:,} classes",
        "vectors": f"{info.dimensions} dimensions, made by model {info.model[:12]}…",
        "network": _network(options.model, info.model),
        "unlike anything": novelty,
        "search": search,
        "size": "on an object store" if info.bytes is None else f"{info.bytes / 1e6:.1f} MB",
    }
    for name, text in lines.items():
        print(f"{name:<16}{text}")


def _network(folder: Path, made_by: str) -> str:
    """Describe the network of a model folder, if it is the one whose hash is given."""
    from siamese.gallery.model_hash import model_folder_hash
    from siamese.model.description import describe_folder

    try:
        if model_folder_hash(folder) == made_by:
            return describe_folder(folder)
    except InputError:  # there is none: what the gallery holds can be told without it
        pass
    return f"not known: {folder} is not that model"


def _list(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    for count in Gallery.open(options.gallery).labels():
        if options.json:
            print_json(asdict(count))
            continue
        enrolled = f" ({count.enrolled:,} enrolled)" if count.enrolled else ""
        print_line(f"{count.pipeline + count.enrolled:>9,}  {count.label}{enrolled}")


def _remove(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    removed = Gallery.open(options.gallery).remove(options.label, options.file, options.number)
    print(f"{options.gallery}: {removed:,} enrolled rows removed")
    print(
        "note: the gallery's files still hold them; `siamese gallery tidy` clears these",
        file=sys.stderr,
    )


def _tidy(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    gallery = Gallery.open(options.gallery)
    gallery.tidy()
    print(f"{options.gallery}: its files hold its {len(gallery.table):,} rows and nothing else")


def _enroll(options: argparse.Namespace) -> int:
    from siamese.images.files import find, passed_over_note
    from siamese.images.folder_names import labels_of

    found = find(options.paths)
    label_of = dict.fromkeys(found.files, options.label or "")
    notes = passed_over_note(found.passed_over)
    if options.label is None:
        label_of, nested = labels_of(found.files, options.label_level or "top")
        notes += nested
    for line in notes:
        print(line, file=sys.stderr)
    with quick_imports():
        from siamese.gallery.gallery import Gallery, check_labels
        from siamese.model.folder import load_model

    check_labels(label_of.values())  # before anything is made
    model = load_model(options.model)
    open_or_create = Gallery.create if options.new else Gallery.open
    gallery = open_or_create(options.gallery, model)
    added, known, broken = 0, 0, 0
    enrolled = set()
    for images, named, n_broken in read_images(list(found.files), model, "enroll"):
        labels = [label_of[file] for file in named]
        enrolled.update(labels)
        done = gallery.enroll(images, labels, [str(file) for file in named])
        added, known, broken = added + done.added, known + done.known, broken + n_broken
    already = f", {known:,} were there already" if known else ""
    print(f"{options.gallery}: {added:,} image{'s' * (added != 1)} enrolled{already}")
    if note := _outvoted(gallery.labels(), enrolled):
        print(note, file=sys.stderr)
    return 1 if broken else 0


def _outvoted(counts: Sequence["LabelCount"], enrolled: set[str]) -> str | None:
    """Say which enrolled classes have too few images to win a vote against a larger one."""
    sizes = {count.label: count.pipeline + count.enrolled for count in counts}
    largest = max(sizes.values(), default=0)
    enough = VOTERS // 2
    small = {label: n for label, n in sizes.items() if label in enrolled and n < enough}
    if not small or min(small.values()) == largest:
        return None
    least = min(small, key=lambda label: small[label])
    others = f" and {len(small) - 1:,} more of the enrolled classes" if len(small) > 1 else ""
    return (
        f"note: fewer than {enough} images in the gallery: `{least}` ({small[least]}){others}; the"
        f" largest class has {largest:,}. Where {VOTERS} neighbours vote, a larger class can win"
        f" even if a small one is nearest: ask fewer (`siamese classify -k"
        f" {2 * small[least] - 1}`), or enrol {enough} images or more of each"
    )
