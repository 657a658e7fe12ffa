"""Bringing a data set into the workspace, as `data/raw`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from siamese.base import files
from siamese.base.dataset import Dataset, save_dataset
from siamese.base.errors import InputError
from siamese.sources.canonical import content_hash
from siamese.sources.cifar100 import read_cifar100
from siamese.sources.digits import read_digits
from siamese.sources.fetch import fetch

# What `content_hash` gives for the real CIFAR-100, however it was packed.
CIFAR100_CONTENT = "f8b449bf07b545432c63c984fb1b0c8c2df86822d4b79d174368b940cccbac56"
ARCHIVE_NAME = "cifar-100-python.tar.gz"
HOW_TO_GO_ON = (
    "A transfer that broke goes on where it stopped when you run it again. Or give a copy of the"
    " archive: `make repro ARCHIVE=path-or-URL` (without make, set the environment variable"
    " SIAMESE_ARCHIVE)"
)


def download(
    name: str,
    urls: Sequence[str],
    size: int,
    sha256: str,
    target: Path,
    downloads: Path,
    archive: str | None = None,
) -> None:
    """Write a data set to `target` in canonical order, and print a line about it.

    Args:
        name: `cifar100`, `digits`, or `folder`, of which there is nothing to fetch: the stage
            `prepare` reads it where it lies, and all of it runs again if an image has changed.
        urls: where CIFAR-100's archive can be fetched, in the order of preference.
        size: its bytes.
        sha256: its checksum, 64 lower-case hexadecimal digits.
        target: the folder to write, in the format of `save_dataset`; replaced if it exists.
        downloads: where fetched archives are kept, so that the next run need not fetch them again.
        archive: another copy to use instead, a path or a URL. Its checksum may be another one, if
            only the images and labels in it are CIFAR-100's.

    Raises:
        InputError: nothing can be fetched, or the archive is not CIFAR-100. `target` is then as it
            was.
    """
    if name != "cifar100" and archive:
        print(f"SIAMESE_ARCHIVE={archive} is ignored: data.name is {name}, which needs none")
    if name == "folder":
        with files.new_folder(target) as folder:
            (folder / "source.txt").write_text("The images are read where data.path says.\n")
        print("download: folder, nothing to fetch")
        return
    if name == "digits":
        dataset = read_digits()
    else:
        dataset = _cifar100(urls, size, sha256, downloads, archive)
    with files.new_folder(target) as folder:
        save_dataset(dataset, folder)
    splits = dataset.samples["split"].value_counts()
    print(f"download: {name}, {splits['train']:,} train, {splits['test']:,} test")


def _cifar100(
    urls: Sequence[str], size: int, sha256: str, downloads: Path, archive: str | None
) -> Dataset:
    if not archive:
        place = downloads / ARCHIVE_NAME
        advice = f"{HOW_TO_GO_ON}, or place it at {place} ({size:,} bytes, SHA-256 {sha256})."
        file = fetch(urls, place, size, sha256, advice)
        return _checked(file, sha256)
    if "://" not in archive:
        return _checked(Path(archive).expanduser(), sha256)
    # Named by its URL: without a checksum, what came from one URL says nothing about another.
    key = hashlib.sha256(archive.encode()).hexdigest()[:16]
    file = fetch([archive], downloads / f"copy-{key}.tar.gz", advice=f"{HOW_TO_GO_ON}.")
    try:
        return _checked(file, sha256)
    except InputError:
        # Or the next run would find it here and not fetch what may have been mended since.
        file.unlink()
        raise


def _checked(archive: Path, sha256: str) -> Dataset:
    """Decode an archive and make sure that it holds CIFAR-100."""
    dataset = read_cifar100(archive)
    content = content_hash(dataset)
    if content == CIFAR100_CONTENT:
        return dataset
    if files.sha256(archive) != sha256:
        raise InputError(
            f"{archive}: the images and labels in it are not CIFAR-100's: their hash is {content},"
            f" expected {CIFAR100_CONTENT}. Take another copy, or none to fetch the official one."
        )
    print(
        f"note: {archive} has the checksum in params.yaml, but its images and labels hash to"
        f" {content}, expected {CIFAR100_CONTENT}; going on with what it holds"
    )
    return dataset
