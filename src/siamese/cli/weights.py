"""The command `siamese weights`: which pretrained weights training starts from."""

import argparse
import hashlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamese.base.image_size import Size

DOWNLOADS = Path("data/downloads")  # the stage looks there, too


def add_commands(commands: Any) -> None:
    """Add the parser of `weights` to those of `siamese`."""
    weights = commands.add_parser(
        "weights", help="set params.yaml to a network of timm and its pretrained weights"
    )
    weights.add_argument(
        "architecture",
        nargs="?",
        metavar="timm/NAME",
        help="such as timm/resnet50 (default: network.architecture)",
    )
    given = weights.add_mutually_exclusive_group()
    given.add_argument("--none", action="store_true", help="start from random weights again")
    given.add_argument(
        "--source",
        metavar="SOURCE",
        help="other weights than timm's own: hf:OWNER/NAME on Hugging Face, a URL or a file",
    )
    weights.add_argument(
        "--copy",
        type=Path,
        metavar="FILE",
        help="a copy of the weights, for a machine without a network",
    )
    weights.set_defaults(command=_weights)


def choose_weights(
    architecture: str, copy: Path | None = None, source: str | None = None
) -> dict[str, Any]:
    """Return the parameters of a network of timm that starts from pretrained weights.

    Args:
        architecture: `timm/NAME`; NAME may have a tag, `resnet50.a1_in1k`.
        copy: a copy of the weights on this machine, for one without a network; without, what
            SIAMESE_WEIGHTS names, if it is set, and a line says so.
        source: where the weights are, as in `weights.source`; without, where timm says.

    Returns:
        `network.architecture` and the section `weights`, by dotted name.

    Raises:
        InputError: timm does not know the network, the weights cannot be found, or they are not
            safetensors.
    """
    from siamese.base.errors import InputError
    from siamese.cli.hugging_face import ask
    from siamese.cli.timm_weights import timm_weights
    from siamese.weights.sources import is_path, repository

    own = timm_weights(architecture)
    source = source or own.source
    if not source:
        raise InputError(
            f"{architecture}: timm names no safetensors for it; give some by `--source`, or start"
            " from random weights by `--none`"
        )
    try:
        on_hub = repository(source)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    license = own.license if source == own.source else ""
    if on_hub is None and is_path(source):  # whatever SIAMESE_WEIGHTS names: this one is at hand
        source = _within_project(source)
        size, sha256 = _measured(str(copy or source))
    elif copy:
        size, sha256 = _measured(str(copy))
    elif named := os.environ.get("SIAMESE_WEIGHTS"):
        size, sha256 = _measured(named)
        print(f"Size and checksum of the weights are those of SIAMESE_WEIGHTS={named}")
    elif on_hub:
        found = ask(on_hub)
        source = f"hf:{found.repository.name}@{found.repository.revision}"
        size, sha256, license = found.bytes, found.sha256, found.license or license
    else:
        size, sha256 = _measured(source)
    return {
        "network.architecture": architecture,
        "weights.source": source,
        "weights.bytes": size,
        "weights.sha256": sha256,
        "weights.license": license,
    }


def _weights(options: argparse.Namespace) -> None:
    from siamese.base.errors import InputError
    from siamese.base.params import PARAMS_FILE
    from siamese.base.weights_folder import NONE
    from siamese.cli.params_file import changed_lines, rewriting, set_values, value_of
    from siamese.cli.schema import check_params

    if options.none and options.copy:
        raise InputError("--copy goes with pretrained weights, not with --none")
    with rewriting(PARAMS_FILE) as (document, save):
        name = str(options.architecture or value_of(document, "network.architecture"))
        if options.none:
            values = {"network.architecture": name, "weights.source": NONE, "weights.bytes": 0}
            values |= {"weights.sha256": "", "weights.license": ""}
        else:
            values = choose_weights(name, options.copy, options.source)
        before = {key: value_of(document, key) for key in values}
        set_values(document, values)
        image_size = check_params(save()).data.image_size
    changes = {key: (before[key], new) for key, new in values.items() if before[key] != new}
    for line in changed_lines(changes):
        print(line)
    if not options.none:
        for note in _notes(values, image_size):
            print(note)
    given = f"SIAMESE_WEIGHTS={shlex.quote(str(options.copy))} " if options.copy else ""
    print(f"Next: {given}dvc repro, and siamese show")


def _notes(values: dict[str, Any], image_size: "Size") -> list[str]:
    """Return sentences on what is worth knowing of the weights."""
    from siamese.base.image_size import sides, written
    from siamese.cli.timm_weights import timm_weights

    notes = []
    if not values["weights.license"]:
        notes.append(
            "note: the licence of these weights is not known; find it out and write it down as"
            " weights.license, which goes into the model folder"
        )
    wanted = timm_weights(values["network.architecture"]).image_size
    if image_size != sides(wanted):
        notes.append(
            f"note: timm's own weights of this network were trained on images of {wanted} pixels;"
            f" data.image_size is {written(image_size)}"
        )
    return notes


def _measured(place: str) -> tuple[int, str]:
    """Return size and SHA-256 of weights, once they are known to be safetensors.

    What a URL delivers is kept for the stage.
    """
    from siamese.base import files
    from siamese.sources.fetch import fetch
    from siamese.weights.get_weights import download_path
    from siamese.weights.safetensors_file import check_safetensors
    from siamese.weights.sources import is_path

    if is_path(place):
        file = Path(place).expanduser()
        check_safetensors(file)
        return file.stat().st_size, files.sha256(file)
    # Named by its URL: without a checksum, what came from one URL says nothing about another.
    key = hashlib.sha256(place.encode()).hexdigest()[:16]
    file = fetch([place], DOWNLOADS / f"weights-of-{key}.safetensors")
    try:
        check_safetensors(file)
        size, sha256 = file.stat().st_size, files.sha256(file)
        file.rename(download_path(DOWNLOADS, sha256))
    finally:
        file.unlink(missing_ok=True)  # or it would be found here when its source has been mended
    return size, sha256


def _within_project(source: str) -> str:
    """Return a file's path as params.yaml should have it: absolute, if it lies elsewhere."""
    place, root = Path(os.path.realpath(Path(source).expanduser())), Path.cwd()
    return str(place.relative_to(root) if place.is_relative_to(root) else place)
