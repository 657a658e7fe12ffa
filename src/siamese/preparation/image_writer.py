"""Writing `images.npy` image by image, however many there are: none is held in memory."""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np


class ImageWriter:
    """Writes a `.npy` file of uint8 `[N, size, size, 3]` without knowing N beforehand.

    NumPy leaves room in the header for the first axis to grow; it is written again at the end. The
    bytes are those of `numpy.save`.

    Args:
        file: to be written.
        size: height and width of the images, in pixels.
    """

    def __init__(self, file: Path, size: int) -> None:
        self.count = 0
        self._shape = (size, size, 3)
        self._stream = file.open("wb", buffering=2**20)
        self._write_header()
        self._length = self._stream.tell()

    def append(self, image: np.ndarray) -> None:
        """Add an image, uint8 `[size, size, 3]`."""
        assert image.dtype == np.uint8
        assert image.shape == self._shape
        self._stream.write(image.tobytes())
        self.count += 1

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the file; after an error leave it as it is, for the caller to remove."""
        if kind is None:
            self._stream.seek(0)
            self._write_header()
            assert self._stream.tell() == self._length
        self._stream.close()

    def _write_header(self) -> None:
        shape = (self.count, *self._shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)
