"""Folders of earlier revisions, read out of DVC's cache where they are there, without DVC.

DVC keeps a file under its MD5, `files/md5/AB/CDEF…`, and a folder as a JSON list of its files'
names and MD5s, under an MD5 that ends in `.dir`.
"""

import configparser
import json
from pathlib import Path


def cached_folder(root: Path, md5: str) -> dict[str, bytes] | None:
    """Return the files of a folder by name; None if the cache lacks it, or a part of it.

    Args:
        root: the project's folder.
        md5: of the folder, as in dvc.lock.
    """
    cache = cache_folder(root) / "files" / "md5"
    try:
        listing = json.loads((cache / md5[:2] / md5[2:]).read_bytes())
        return {
            entry["relpath"]: (cache / entry["md5"][:2] / entry["md5"][2:]).read_bytes()
            for entry in listing
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def cache_folder(root: Path) -> Path:
    """Return where DVC's cache is: `.dvc/cache`, unless its configuration says otherwise."""
    config = configparser.ConfigParser(interpolation=None)
    folder = root / ".dvc"
    config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    # Relative to the file that says so; both are in .dvc.
    return folder / config.get("cache", "dir", fallback="cache")
