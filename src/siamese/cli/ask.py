"""The commands that ask a trained model about images: `classify`, `search`, `verify`."""

import argparse
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese.base.errors import InputError
from siamese.cli.answering import print_json, print_line, quick_imports, read_images
from siamese.cli.arguments import add
from siamese.gallery.defaults import FOUND, ONE_THRESHOLD, VOTERS

if TYPE_CHECKING:
    from siamese.gallery.answers import ClassifiedImage
    from siamese.gallery.claims import ClaimVerdict
    from siamese.gallery.gallery import Gallery
    from siamese.model.folder import Model

# Nearest examples that a line of text shows.
EXAMPLES = 3
# What a rule makes of the distances to several images.
RULE_WORDS = {"min": "least", "mean": "mean", "relative": "relative"}
FALSE_WORDS = {"forgery": "forgeries", "stranger": "strangers"}


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to those of `siamese`."""
    classify = commands.add_parser("classify", help="name the class of images")
    add(classify, "paths")
    classify.add_argument(
        "-k", type=int, help=f"neighbours that vote (default: {VOTERS}, or all rows if fewer)"
    )
    _add_search(classify)
    classify.set_defaults(command=_classify)

    search = commands.add_parser("search", help="find what resembles an image")
    search.add_argument("image", type=Path, metavar="IMAGE")
    search.add_argument("-k", type=int, help=f"images to find (default: {FOUND}, or all if fewer)")
    search.add_argument("--sheet", type=Path, metavar="PNG", help="draw them")
    _add_search(search)
    search.set_defaults(command=_search)

    verify = commands.add_parser(
        "verify", help="tell whether two images show the same class, or one is of a class claimed"
    )
    verify.add_argument(
        "paths",
        nargs="+",
        metavar="IMAGE",
        help="two images; with --as any number of image files, folders (all in them), or globs",
    )
    verify.add_argument(
        "--as",
        dest="label",
        metavar="LABEL",
        help="compare each image with all that the gallery has under this label",
    )
    verify.add_argument(
        "--far",
        type=float,
        metavar="RATE",
        help="share of unlike pairs that may be called the same (default: the threshold that"
        " decides most pairs right); not with --as",
    )
    add(verify, "--gallery", "--model", "--json")
    verify.set_defaults(command=_verify)


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exact", action="store_true", help="search without the index")
    add(parser, "--gallery", "--model", "--json")


def _classify(options: argparse.Namespace) -> int:
    from siamese.images.files import find_images

    files = find_images(options.paths)
    gallery, model = _open(options)
    broken = 0
    for images, named, n_broken in read_images(files, model, "classify"):
        broken += n_broken
        answers = gallery.classify(images, options.k, options.exact)
        for file, answer in zip(named, answers, strict=True):
            if options.json:
                print_json({"file": str(file), **asdict(answer)})
            else:
                print_line(_classified(file, answer))
    return 1 if broken else 0


def _search(options: argparse.Namespace) -> None:
    from siamese.images.reading import load_image

    gallery, model = _open(options)
    image = load_image(options.image, model.network.image_size, model.fit)
    [neighbours] = gallery.search(image[None], options.k, options.exact)
    # Before anything is printed: who reads that may stop, as `head` does.
    if options.sheet is not None:
        from siamese.gallery.search_sheet import draw_search

        found = gallery.images([neighbour.number for neighbour in neighbours])
        with redirect_stdout(sys.stderr):  # a note on letters is no part of the answer
            draw_search(image, found, neighbours, options.sheet)
    for neighbour in neighbours:
        if options.json:
            print_json(asdict(neighbour))
        else:
            print_line(
                f"{neighbour.distance:.4f}  {neighbour.label}  {neighbour.file}"
                f"  (number {neighbour.number}, {neighbour.source})"
            )


def _verify(options: argparse.Namespace) -> int:
    if options.label is not None:
        return _verify_claims(options)
    _verify_pair(options)
    return 0


def _verify_claims(options: argparse.Namespace) -> int:
    from siamese.images.files import find_images

    if options.far is not None:
        raise InputError(f"--far: {ONE_THRESHOLD}")
    files = find_images(options.paths)
    gallery, model = _open(options)
    broken = 0
    for images, named, n_broken in read_images(files, model, "verify"):
        broken += n_broken
        verdicts = gallery.verify_claim(images, options.label)
        for file, verdict in zip(named, verdicts, strict=True):
            if options.json:
                print_json({"file": str(file), **asdict(verdict)})
            else:
                print_line(_claimed(file, verdict))
    return 1 if broken else 0


def _verify_pair(options: argparse.Namespace) -> None:
    if len(options.paths) != 2:
        raise InputError(
            f"{len(options.paths)} image{'s' * (len(options.paths) != 1)} to verify; expected two,"
            " or `--as LABEL` to compare each with what the gallery has under a label"
        )
    with quick_imports():
        from siamese.gallery.gallery import verify
        from siamese.model.folder import load_model

    [verdict] = verify(load_model(options.model), options.paths[:1], options.paths[1:], options.far)
    if options.json:
        print_json(asdict(verdict))
        return
    relation = "within" if verdict.same else "beyond"
    print(
        f"{'the same' if verdict.same else 'different'}: distance {verdict.distance:.4f},"
        f" {relation} the threshold of {verdict.threshold:.4f}. There, of validation pairs,"
        f" {verdict.far:.2%} of the unlike are called the same, {verdict.frr:.2%} of the like"
        " different"
    )


def _open(options: argparse.Namespace) -> "tuple[Gallery, Model]":
    with quick_imports():
        # Both are needed in any case; importing them takes most of the time of one answer.
        import lancedb  # noqa: F401

        from siamese.gallery.gallery import Gallery
        from siamese.model.folder import load_model

    model = load_model(options.model)
    return Gallery.open(options.gallery, model), model


def _classified(file: Path, answer: "ClassifiedImage") -> str:
    best = answer.votes[0]
    vote = f"{best.label}, {best.share:.0%} of {len(answer.neighbours)} votes"
    if answer.is_novel:
        vote = (
            f"unlike anything in the gallery (nearest at {answer.neighbours[0].distance:.3f}, limit"
            f" {answer.novelty_distance:.3f}; if anything: {vote})"
        )
    examples = ", ".join(
        f"{one.label} {one.distance:.3f} ({one.file})" for one in answer.neighbours[:EXAMPLES]
    )
    return f"{file}: {vote}; nearest: {examples}"


def _claimed(file: Path, verdict: "ClaimVerdict") -> str:
    count = verdict.references
    relation = "within" if verdict.accepted else "beyond"
    copy = "; the gallery has an exact copy of it" if verdict.is_copy else ""
    nearest = verdict.nearest
    return (
        f"{file}: {'accepted' if verdict.accepted else 'rejected'} as {verdict.label}:"
        f" {RULE_WORDS[verdict.rule]} distance {verdict.distance:.4f} to {count:,}"
        f" image{'s' * (count != 1)}, {relation} the threshold of {verdict.threshold:.4f}; nearest:"
        f" {nearest.distance:.4f} ({nearest.file}){copy}. There, of validation claims against"
        f" {verdict.calibrated_references}, {verdict.far:.2%} of the"
        f" {FALSE_WORDS[verdict.against]} are accepted, {verdict.frr:.2%} of the true rejected"
    )
