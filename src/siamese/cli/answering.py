"""What the commands that answer about images share: quick imports, reading images, printing."""

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese.gallery.text import one_line

if TYPE_CHECKING:
    import numpy as np

    from siamese.model.folder import Model

# Images that are read, embedded and answered at once; answers appear after each part.
AT_ONCE = 1000


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without the garbage collector, which would search and find nothing to free.

    The collector takes a quarter of the time that importing torch and LanceDB takes.
    """
    gc.disable()
    try:
        yield
        _use_allowed_cores()
    finally:
        gc.freeze()  # imported modules stay, so later collections need not look at them either
        gc.enable()


def _use_allowed_cores() -> None:
    """Compute with as many threads as a container leaves to the process, not as the host has."""
    import joblib
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), joblib.cpu_count()))


def read_images(
    files: Sequence[Path], model: "Model", label: str
) -> "Iterator[tuple[np.ndarray, list[Path], int]]":
    """Yield images, uint8 `[n, H, W, 3]`, their files, and how many could not be read.

    A file that cannot be read gets a line on stderr.
    """
    import numpy as np
    from tqdm import tqdm

    from siamese.base.errors import InputError
    from siamese.base.progress import progress_bar
    from siamese.images.reading import iter_images

    size = model.network.image_size
    with progress_bar(label, "image", total=len(files)) as bar:
        for start in range(0, len(files), AT_ONCE):
            part = files[start : start + AT_ONCE]
            images, named = [], []
            for file, image in zip(part, iter_images(part, size, model.fit), strict=True):
                if isinstance(image, InputError):
                    tqdm.write(f"siamese: {image}", file=sys.stderr)
                else:
                    images.append(image)
                    named.append(file)
            pixels = np.array(images, dtype=np.uint8).reshape(-1, *size, 3)
            yield pixels, named, len(part) - len(named)
            bar.update(len(part))


def print_json(content: dict[str, Any]) -> None:
    """Print an object on one line."""
    _print(json.dumps(content, ensure_ascii=False))


def print_line(text: str) -> None:
    """Print a text on one line, whatever is in it."""
    _print(one_line(text))


def _print(text: str) -> None:
    """Print a line, above the progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
