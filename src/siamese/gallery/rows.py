"""The rows of a gallery, and their layout in Arrow.

Columns, which readers in other languages may count on:

| column | type | content |
|---|---|---|
| `number` | int64 | unique: the sample number, or `FIRST_ENROLLED` and more for enrolled rows |
| `vector` | fixed-size list of float32 | the embedding |
| `label` | string | the name of the class |
| `superclass` | string or null | |
| `file` | string | where the image came from |
| `image` | binary or null | PNG of the image as the network sees it |
| `source` | string | `pipeline` or `enrolled` |
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from siamese.base.errors import InputError

if TYPE_CHECKING:  # it takes half a second, and `--help` need not wait for it
    import pyarrow as pa

# Numbers of enrolled rows begin here: no data set has as many samples.
FIRST_ENROLLED = 2**62

Source = Literal["pipeline", "enrolled"]


@dataclass(frozen=True)
class Rows:
    """Rows to write, or read.

    Attributes:
        numbers: int64 `[n]`.
        vectors: float32 `[n, D]`, finite.
        labels: `n` names of classes.
        superclasses: `n` names or None.
        files: `n` strings.
        images: `n` PNG files, or None where there is no picture.
        source: `n` times `pipeline` or `enrolled`.
    """

    numbers: np.ndarray
    vectors: np.ndarray
    labels: Sequence[str]
    superclasses: Sequence[str | None]
    files: Sequence[str]
    images: Sequence[bytes | None]
    source: Sequence[Source]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.numbers)

    @classmethod
    def from_batch(cls, batch: "pa.RecordBatch") -> Self:
        """Read rows from Arrow; all columns must be there."""
        names = ("label", "superclass", "file", "image", "source")
        return cls(
            batch.column("number").to_numpy(),
            vectors_of(batch.column("vector")),
            *(batch.column(name).to_pylist() for name in names),
        )

    def to_batch(self, schema: "pa.Schema") -> "pa.RecordBatch":
        """Lay rows out as Arrow.

        Raises:
            InputError: a vector is not finite, or has other dimensions than the schema says.
        """
        import pyarrow as pa

        dimensions = schema.field("vector").type.list_size
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        if vectors.shape != (len(self), dimensions):
            raise InputError(
                f"expected vectors as float32 [{len(self)}, {dimensions}] for the gallery, found"
                f" {list(vectors.shape)}; were they made by another network?"
            )
        if not np.isfinite(vectors).all():
            row = int((~np.isfinite(vectors).all(axis=1)).argmax())
            raise InputError(
                f"the vector of {self.files[row]} (number {self.numbers[row]}) holds a value that"
                " is not finite; the network that made it has diverged: train it again"
            )
        columns = {
            "number": self.numbers,
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dimensions),
            "label": self.labels,
            "superclass": self.superclasses,
            "file": self.files,
            "image": self.images,
            "source": self.source,
        }
        return pa.RecordBatch.from_pydict(columns, schema=schema)


def row_schema(dimensions: int, metadata: dict[str, str]) -> "pa.Schema":
    """Return the columns of a gallery whose vectors have `dimensions` values."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("number", pa.int64(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("superclass", pa.string()),
            pa.field("file", pa.string(), nullable=False),
            pa.field("image", pa.binary()),
            pa.field("source", pa.string(), nullable=False),
        ],
        metadata=metadata,
    )


def vectors_of(column: "pa.FixedSizeListArray") -> np.ndarray:
    """Return a column of vectors as float32 `[n, D]`, without a copy."""
    shape = (len(column), column.type.list_size)
    return column.flatten().to_numpy(zero_copy_only=True).reshape(shape)


def enrolled_number(image: np.ndarray, label: str) -> int:
    """Return the number of an enrolled row; equal images with equal labels have equal numbers.

    So enrolling twice changes nothing, and two writers need not agree on a counter.

    Args:
        image: uint8 `[H, W, 3]`, as the network sees it.
        label: name of the class.

    Returns:
        `FIRST_ENROLLED` plus the first 62 bits of the SHA-256 of label, zero byte, height and width
        (four bytes each, the lowest first) and pixels. Of a million rows, two share a number with a
        chance of one in ten million.
    """
    shape = np.array(image.shape[:2], dtype="<u4").tobytes()
    content = label.encode() + b"\0" + shape + np.ascontiguousarray(image).tobytes()
    return FIRST_ENROLLED + (int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 2)
