"""A folder of the user's images: which files there are, and their labels.

Either class folders, see `siamese.preparation.class_folders`, or a table, see
`siamese.preparation.table`. No image is opened here.
"""

from pathlib import Path

from siamese.base.data_params import NO_PATH, DataParams
from siamese.base.errors import InputError
from siamese.preparation.class_folders import list_class_folders
from siamese.preparation.listing import Listing, leave_out
from siamese.preparation.table import TABLES, list_table


def list_images(data: DataParams, workspace: Path) -> Listing:
    """List the images of a folder or a table.

    Args:
        data: `path` is class folders, or a table; with a table, `images` is the folder that its
            file names start from.
        workspace: the folder that both are relative to.

    Raises:
        InputError: the path does not exist, has no image, or has something that is not understood.
            The message names the file, or the row of the table.
    """
    path, images = workspace / data.path, workspace / data.images
    if path.is_dir():
        listing = list_class_folders(path, data.label_level, data.forged_suffix)
        return leave_out(listing, data.drop_labels, data.min_images)
    if not path.is_file():
        raise InputError(f"data.path: {path}: no such folder or file")
    if path.suffix.lower() not in TABLES:
        raise InputError(
            f"data.path: {path}: expected a folder of class folders, or a table whose name ends in"
            f" {', '.join(TABLES[:-1])} or {TABLES[-1]}; save another kind of table as CSV"
        )
    if data.images == NO_PATH:
        raise InputError(
            f"data.path is a table, {path}: give the folder that its file names start from,"
            f" {path.parent} perhaps, by `siamese adopt --images` (data.images); DVC watches that"
            " folder for changed images"
        )
    if not images.is_dir():
        raise InputError(f"data.images: {images}: no such folder")
    listing = list_table(path, images, data.table)
    return leave_out(listing, data.drop_labels, data.min_images)
