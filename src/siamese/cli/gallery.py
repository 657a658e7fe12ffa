"""The commands that use a trained model: `gallery`, `enroll`, `classify`, `search`, `verify`."""

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese.gallery.defaults import ADDRESS, EMBEDDINGS, MODEL, NOVELTY_SHARE, PREPARED, VOTERS

if TYPE_CHECKING:
    import numpy as np

    from siamese.gallery.gallery import Classification, Gallery, LabelCount, Neighbour
    from siamese.model.folder import Model

# Images that are read, embedded and answered at once; answers appear after each.
AT_ONCE = 1000
# Nearest examples that a line of text shows.
EXAMPLES = 3


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to those of `siamese`."""
    gallery = commands.add_parser("gallery", help="make, describe and change the gallery")
    actions = gallery.add_subparsers(required=True, metavar="ACTION")

    build = actions.add_parser("build", help="make the gallery from the pipeline's embeddings")
    _add_address(build)
    _add_model(build)
    build.add_argument("--embeddings", type=Path, default=EMBEDDINGS, metavar="FILE")
    build.add_argument("--prepared", type=Path, default=PREPARED, metavar="FOLDER")
    build.add_argument(
        "--novelty-share",
        type=float,
        default=NOVELTY_SHARE,
        metavar="SHARE",
        help="of validation images that are still like something in the gallery (default:"
        f" {NOVELTY_SHARE})",
    )
    build.set_defaults(command=_build)

    info = actions.add_parser("info", help="what the gallery holds")
    _add_address(info)
    _add_json(info)
    info.set_defaults(command=_info)

    listing = actions.add_parser("list", help="the classes and how many images they have")
    _add_address(listing)
    _add_json(listing)
    listing.set_defaults(command=_list)

    remove = actions.add_parser("remove", help="remove enrolled images")
    _add_address(remove)
    which = remove.add_mutually_exclusive_group(required=True)
    which.add_argument("--label", help="all of this class")
    which.add_argument("--file", help="all that came from this file")
    which.add_argument("--number", type=int, help="the row of this number")
    remove.set_defaults(command=_remove)

    enroll = commands.add_parser("enroll", help="add labelled images to the gallery, no training")
    _add_paths(enroll)
    enroll.add_argument("--label", help="of all images (default: the name of each one's folder)")
    enroll.add_argument("--new", action="store_true", help="make an empty gallery first")
    _add_address(enroll)
    _add_model(enroll)
    enroll.set_defaults(command=_enroll)

    classify = commands.add_parser("classify", help="name the class of images")
    _add_paths(classify)
    classify.add_argument(
        "-k", type=int, default=VOTERS, help=f"neighbours that vote (default: {VOTERS})"
    )
    _add_search(classify)
    classify.set_defaults(command=_classify)

    search = commands.add_parser("search", help="find what resembles an image")
    search.add_argument("image", type=Path, metavar="IMAGE")
    search.add_argument("-k", type=int, default=10, help="images to find (default: 10)")
    search.add_argument("--sheet", type=Path, metavar="PNG", help="draw them")
    _add_search(search)
    search.set_defaults(command=_search)

    verify = commands.add_parser("verify", help="tell whether two images show the same class")
    verify.add_argument("left", type=Path, metavar="A")
    verify.add_argument("right", type=Path, metavar="B")
    verify.add_argument(
        "--far",
        type=float,
        metavar="RATE",
        help="of unlike pairs that may be called the same (default: the most pairs decided right)",
    )
    _add_model(verify)
    _add_json(verify)
    verify.set_defaults(command=_verify)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gallery",
        default=ADDRESS,
        metavar="ADDRESS",
        help=f"a folder, or an object store as LanceDB names it (default: {ADDRESS})",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FOLDER", help=f"(default: {MODEL})"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs, one object a line")


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="image files, folders (all in them), or globs"
    )


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exact", action="store_true", help="search without the index")
    _add_address(parser)
    _add_model(parser)
    _add_json(parser)


def _build(options: argparse.Namespace) -> None:
    from siamese.gallery.build import build

    built = build(
        options.gallery,
        options.model,
        options.embeddings,
        options.prepared,
        options.novelty_share,
    )
    if not built.changed:
        print(f"{options.gallery}: built from these very embeddings already; nothing to do")
        return
    anew = ", embedded anew by the new model" if built.embedded_anew else ""
    print(
        f"{options.gallery}: {built.pipeline:,} rows from the pipeline, {built.enrolled:,}"
        f" enrolled{anew}; farther than {built.novelty_distance:.3f} from all of them is unlike"
        " anything"
    )


def _info(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    info = Gallery.open(options.gallery).info()
    if options.json:
        _print_json(asdict(info))
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
        "unlike anything": novelty,
        "search": search,
        "size": "on an object store" if info.bytes is None else f"{info.bytes / 1e6:.1f} MB",
    }
    for name, text in lines.items():
        print(f"{name:<16}{text}")


def _list(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    for count in Gallery.open(options.gallery).labels():
        if options.json:
            _print_json(asdict(count))
            continue
        enrolled = f" ({count.enrolled:,} enrolled)" if count.enrolled else ""
        print(f"{count.pipeline + count.enrolled:>9,}  {count.label}{enrolled}")


def _remove(options: argparse.Namespace) -> None:
    from siamese.gallery.gallery import Gallery

    removed = Gallery.open(options.gallery).remove(options.label, options.file, options.number)
    print(f"{options.gallery}: {removed:,} enrolled rows removed")


def _enroll(options: argparse.Namespace) -> int:
    from siamese.images.files import find_images

    files = find_images(options.paths)
    with _quick_imports():
        from siamese.gallery.gallery import Gallery
        from siamese.model.folder import load_model

    model = load_model(options.model)
    if options.new:
        Gallery.create(options.gallery, model)
    gallery = Gallery.open(options.gallery, model)
    added, known, broken = 0, 0, 0
    enrolled = set()
    for images, named, n_broken in _read(files, model, "enroll"):
        labels = [options.label or file.absolute().parent.name for file in named]
        enrolled.update(labels)
        done = gallery.enroll(images, labels, [str(file) for file in named])
        added, known, broken = added + done.added, known + done.known, broken + n_broken
    already = f", {known:,} were there already" if known else ""
    print(f"{options.gallery}: {added:,} images enrolled{already}")
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


def _classify(options: argparse.Namespace) -> int:
    from siamese.images.files import find_images

    files = find_images(options.paths)
    gallery, model = _open(options)
    broken = 0
    for images, named, n_broken in _read(files, model, "classify"):
        broken += n_broken
        answers = gallery.classify(images, options.k, options.exact)
        for file, answer in zip(named, answers, strict=True):
            if options.json:
                _print_json({"file": str(file), **asdict(answer)})
            else:
                _print_line(_classified(file, answer))
    return 1 if broken else 0


def _search(options: argparse.Namespace) -> None:
    from siamese.images.reading import load_image

    gallery, model = _open(options)
    image = load_image(options.image, model.network.image_size, model.fit)
    [neighbours] = gallery.search(image[None], options.k, options.exact)
    for neighbour in neighbours:
        if options.json:
            _print_json(asdict(neighbour))
        else:
            print(
                f"{neighbour.distance:.4f}  {neighbour.label}  {neighbour.file}"
                f"  (number {neighbour.number}, {neighbour.source})"
            )
    if options.sheet is not None:
        from siamese.gallery.search_sheet import draw_search

        found = gallery.images([neighbour.number for neighbour in neighbours])
        draw_search(image, found, neighbours, options.sheet)


def _verify(options: argparse.Namespace) -> None:
    with _quick_imports():
        from siamese.gallery.gallery import verify
        from siamese.model.folder import load_model

    [verdict] = verify(load_model(options.model), [options.left], [options.right], options.far)
    if options.json:
        _print_json(asdict(verdict))
        return
    relation = "within" if verdict.same else "beyond"
    print(
        f"{'the same' if verdict.same else 'different'}: distance {verdict.distance:.4f},"
        f" {relation} the threshold of {verdict.threshold:.4f}. There, of validation pairs,"
        f" {verdict.far:.2%} of the unlike are called the same, {verdict.frr:.2%} of the like"
        " different"
    )


def _open(options: argparse.Namespace) -> "tuple[Gallery, Model]":
    with _quick_imports():
        # Both are needed in any case; importing them takes most of the time of one answer.
        import lancedb  # noqa: F401

        from siamese.gallery.gallery import Gallery
        from siamese.model.folder import load_model

    model = load_model(options.model)
    return Gallery.open(options.gallery, model), model


@contextmanager
def _quick_imports() -> Iterator[None]:
    """Import without the garbage collector, which finds nothing to free but looks all the same.

    It takes a quarter of the time that importing torch and LanceDB takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what is imported stays: later collections need not look at it either
        gc.enable()


def _read(
    files: Sequence[Path], model: "Model", label: str
) -> "Iterator[tuple[np.ndarray, list[Path], int]]":
    """Yield images, uint8 `[n, size, size, 3]`, their files, and how many could not be read.

    A file that cannot be read gets a line on stderr.
    """
    from tqdm import tqdm

    from siamese.images.reading import load_images

    with tqdm(total=len(files), desc=label, unit="image", disable=None) as bar:
        for start in range(0, len(files), AT_ONCE):
            part = files[start : start + AT_ONCE]
            images, positions, errors = load_images(part, model.network.image_size, fit=model.fit)
            for error in errors:
                tqdm.write(f"siamese: {error}", file=sys.stderr)
            yield images, [part[position] for position in positions], len(errors)
            bar.update(len(part))


def _classified(file: Path, answer: "Classification") -> str:
    best = answer.votes[0]
    vote = f"{best.label}, {best.share:.0%} of {len(answer.neighbours)} votes"
    if answer.is_novel:
        vote = (
            f"unlike anything in the gallery (nearest at {answer.neighbours[0].distance:.3f}, limit"
            f" {answer.novelty_distance:.3f}; if anything: {vote})"
        )
    examples = ", ".join(map(_example, answer.neighbours[:EXAMPLES]))
    return f"{file}: {vote}; nearest: {examples}"


def _example(neighbour: "Neighbour") -> str:
    return f"{neighbour.label} {neighbour.distance:.3f} ({neighbour.file})"


def _print_json(content: dict[str, Any]) -> None:
    _print_line(json.dumps(content, ensure_ascii=False))


def _print_line(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)  # beside the bar, if there is one
