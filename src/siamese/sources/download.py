"""Getting a data set by its name: fetched, checked and decoded, whichever copy it comes from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from siamese.base import files
from siamese.base.data_params import Archive
from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.sources.canonical import content_hash
from siamese.sources.fetch import fetch
from siamese.sources.registry import DATA_SETS, Fetched, check_names

ADVICE = (
    "A transfer that broke continues where it stopped when you run it again. Or give a copy of the"
    " archive: `make repro ARCHIVE=path-or-URL` (without make, set the environment variable"
    " SIAMESE_ARCHIVE)"
)


def get_data_set(
    name: str, archives: Mapping[str, Archive], downloads: Path, copy: str | None = None
) -> Dataset | None:
    """Return a data set in canonical order; its archive is fetched if there is none yet.

    Args:
        name: a name of the registry; or `folder`, which the stage `prepare` reads where it lies.
        archives: the section `data.archives`.
        downloads: where fetched archives are kept, so that the next run need not fetch them again.
        copy: another copy of the archive to use instead, a path or a URL. Its checksum may differ,
            as long as the images and labels in it are those of the data set.

    Returns:
        The data set; None for a folder.

    Raises:
        InputError: the name is unknown, nothing can be fetched, or the archive is not that of the
            data set.
    """
    check_names(name, archives)
    data_set = DATA_SETS.get(name)
    if not isinstance(data_set, Fetched):
        if copy:
            print(f"SIAMESE_ARCHIVE={copy} is ignored: data.name is {name}, which needs none")
        return data_set() if data_set else None
    archive = archives[name]
    if not copy:
        file = downloads / data_set.file
        size, sha256 = archive.bytes, archive.sha256
        advice = f"{ADVICE}, or place it at {file} ({size:,} bytes, SHA-256 {sha256})."
        fetch(archive.urls, file, size, sha256, advice)
        return _read_checked(name, data_set, archive, file)
    if "://" not in copy:
        return _read_checked(name, data_set, archive, Path(copy).expanduser())
    # Named by its URL: without a checksum, what came from one URL says nothing about another.
    key = hashlib.sha256(copy.encode()).hexdigest()[:16]
    file = fetch([copy], downloads / f"copy-{key}.tar.gz", advice=f"{ADVICE}.")
    try:
        return _read_checked(name, data_set, archive, file)
    except InputError:
        # Or the next run would find it here and not fetch what may have been repaired since.
        file.unlink()
        raise


def _read_checked(name: str, data_set: Fetched, archive: Archive, file: Path) -> Dataset:
    """Decode an archive and make sure that it holds the data set."""
    dataset = data_set.read(file)
    content = content_hash(dataset)
    if content == data_set.content:
        return dataset
    if files.sha256(file) != archive.sha256:
        raise InputError(
            f"{file}: the images and labels in it are not those of {name}: their hash is {content},"
            f" expected {data_set.content}. Take another copy, or none to fetch the official one."
        )
    print(
        f"note: {file} has the checksum in params.yaml, but its images and labels hash to"
        f" {content}, expected {data_set.content}; they are used as they are"
    )
    return dataset
