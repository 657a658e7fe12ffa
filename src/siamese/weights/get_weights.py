"""Getting pretrained weights, whichever place they come from."""

import shlex
from pathlib import Path

from siamese.base import files
from siamese.base.errors import InputError, no_such_file
from siamese.base.weights_folder import NONE, Origin, Weights
from siamese.weights.safetensors_file import check_safetensors
from siamese.weights.sources import is_path, place
from siamese.weights.weights_params import WeightsParams

COPY = (
    "`make repro WEIGHTS=path-or-URL` (without make, set the environment variable SIAMESE_WEIGHTS)"
)


def get_weights(params: WeightsParams, downloads: Path, copy: str | None = None) -> Weights | None:
    """Return the weights that the parameters name; they are fetched if they are not there yet.

    Args:
        params: the section `weights`.
        downloads: where what was fetched is kept, so that the next run need not fetch it again.
        copy: another copy of the file to use instead, a path or a URL.

    Returns:
        The weights; None if training starts from random ones.

    Raises:
        InputError: they cannot be fetched, are not what the parameters say, or are no safetensors.
    """
    if params.source == NONE:
        if copy:
            print(f"SIAMESE_WEIGHTS={copy} is ignored: weights.source is {NONE}, which needs none")
        return None
    found = copy or place(params.source)
    if is_path(found):
        named = "SIAMESE_WEIGHTS" if copy else "weights.source"
        file = _at_hand(Path(found), named, params)
    else:
        file = _fetched(found, params, downloads)
    return Weights(file, Origin(params.source, params.sha256, params.license))


def _at_hand(file: Path, named: str, params: WeightsParams) -> Path:
    """Return a file of this machine, which is used where it lies, if it is the right one."""
    if not file.exists():
        advice = f"{named} says that it is there; give a copy of it: {COPY}"
        raise no_such_file(file.absolute(), advice)
    check_safetensors(file)
    size, sha256 = file.stat().st_size, files.sha256(file)
    if (size, sha256) != (params.bytes, params.sha256):
        raise InputError(
            f"{file}: {size:,} bytes with SHA-256 {sha256}, but params.yaml names a file of"
            f" {params.bytes:,} bytes with SHA-256 {params.sha256} (`weights`). Give a copy of that"
            f" very file; or start from this one: `siamese weights --source"
            f" {shlex.quote(str(file))}`."
        )
    return file


def _fetched(url: str, params: WeightsParams, downloads: Path) -> Path:
    """Return the file that a URL delivers."""
    from siamese.sources.fetch import fetch  # not needed where there is nothing to fetch

    file = download_path(downloads, params.sha256)
    advice = (
        "A transfer that broke continues where it stopped when you run it again. Or give a copy of"
        f" the file: {COPY}, or place it at {file} ({params.bytes:,} bytes, SHA-256"
        f" {params.sha256}). If another file has taken its place, `siamese weights --source"
        f" {params.source}` sets params.yaml to that one."
    )
    fetch([url], file, params.bytes, params.sha256, advice)
    check_safetensors(file)
    return file


def download_path(downloads: Path, sha256: str) -> Path:
    """Return where fetched weights are kept."""
    return downloads / f"weights-{sha256[:16]}.safetensors"
