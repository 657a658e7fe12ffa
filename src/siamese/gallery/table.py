"""The gallery's rows in LanceDB: one table that describes itself. No model is needed here.

Columns, which readers in other languages may count on:

| column | type | content |
|---|---|---|
| `number` | int64 | unique: the sample number, or `ENROLLED` and more for enrolled rows |
| `vector` | fixed-size list of float32 | the embedding |
| `label` | string | the name of the class |
| `superclass` | string or null | |
| `file` | string | where the image came from |
| `image` | binary or null | PNG of the image as the network sees it |
| `source` | string | `pipeline` or `enrolled` |

The schema's metadata holds strings under keys that begin with `siamese.`: `siamese.format` is
`FORMAT`, the others are whatever `replace` was given.

Every change is one commit of Lance: a reader sees all of it or nothing, and goes on reading the
version that it opened. In a local folder, writers take turns by a lock on a file, which the system
frees when its owner is killed. On object stores there is no such lock: see `writing`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from siamese.base.errors import InputError

if TYPE_CHECKING:  # together they take a second and more, and `--help` need not wait for them
    import pyarrow as pa
    from lancedb.db import DBConnection
    from lancedb.table import Table

FORMAT = "1"
TABLE = "gallery"
LOCK = ".gallery.lock"
PREFIX = "siamese."
# Numbers of enrolled rows begin here: no data set has as many samples.
ENROLLED = 2**62
# Replaced versions stay this long for readers that have opened them.
KEEP_VERSIONS = timedelta(days=1)
# Numbers that are looked up one by one; for more, whole columns are read.
LOOKUPS = 2000
# More pieces than this are joined after a write: each costs a query some time.
PIECES = 20

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


def enrolled_number(image: np.ndarray, label: str) -> int:
    """Return the number of an enrolled row: the same image under the same label has the same one.

    So enrolling twice changes nothing, and two writers need not agree on a counter.

    Args:
        image: uint8 `[H, W, 3]`, as the network sees it.
        label: name of the class.

    Returns:
        `ENROLLED` plus the first 62 bits of the SHA-256 of label, zero byte, height and width (four
        bytes each, the lowest first) and pixels. Of a million rows, two share a number with a
        chance of one in ten million.
    """
    shape = np.array(image.shape[:2], dtype="<u4").tobytes()
    content = label.encode() + b"\0" + shape + np.ascontiguousarray(image).tobytes()
    return ENROLLED + (int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 2)


class GalleryTable:
    """A gallery at an address, as of the moment it was opened (and of its own changes since).

    Attributes:
        address: a folder, or any address that LanceDB takes, such as `s3://bucket/gallery`.
    """

    def __init__(self, address: str, table: "Table") -> None:
        self.address = address
        self.table = table

    @classmethod
    def open(cls, address: Path | str) -> Self:
        """Open a gallery that is there.

        Raises:
            InputError: there is none, it cannot be read, or it is of another format.
        """
        address = str(address)
        found = cls.find(address)
        if found is None:
            raise InputError(f"{address}: no gallery is there; `siamese gallery build` makes one")
        return found

    @classmethod
    def find(cls, address: Path | str) -> Self | None:
        """Open a gallery, or return None if there is none.

        Raises:
            InputError: it cannot be read, or is of another format.
        """
        address = str(address)
        folder = local_folder(address)
        if folder is not None and not (folder / f"{TABLE}.lance").is_dir():
            return None  # without asking LanceDB, which would make the folder
        connection = _connect(address)
        try:
            if TABLE not in connection.list_tables().tables:
                return None
            table = cls(address, connection.open_table(TABLE))
            written_as = table.metadata.get("format")
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{address}: the gallery cannot be read ({_one_line(error)}); delete it and run"
                " `siamese gallery build`"
            ) from None
        if written_as != FORMAT:
            raise InputError(
                f"{address}: a gallery of format {written_as!r}, expected {FORMAT!r}: it was made"
                " by another version; move it away and run `siamese gallery build`"
            )
        return table

    @classmethod
    def replace(
        cls,
        address: Path | str,
        dimensions: int,
        rows: Iterable[Rows],
        metadata: dict[str, str] | None = None,
    ) -> Self:
        """Put rows in the place of all that is there, in one commit.

        Until that commit, and if the process is killed before it, the old gallery is whole. The
        rows are taken one batch at a time; batches of some thousand are about right. Call it within
        `writing` where others may write too.

        Args:
            address: made if it is not there.
            dimensions: D, of the vectors.
            rows: all rows; no number twice, which is up to the caller.
            metadata: kept in the table; see `metadata`.

        Raises:
            InputError: a vector is not finite, or has other dimensions.
        """
        import pyarrow as pa

        address = str(address)
        schema = _schema(dimensions, metadata or {})
        connection = _connect(address)
        exists = TABLE in connection.list_tables().tables
        batches, failures = _recorded(to_batch(part, schema) for part in rows)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        try:
            table = connection.create_table(
                TABLE, reader, schema=schema, mode="overwrite" if exists else "create"
            )
        except Exception:
            # What the rows raised comes back from LanceDB as text only.
            if failures:
                raise failures[0] from None
            raise
        return cls(address, table)

    def __len__(self) -> int:
        """Count the rows."""
        return self.table.count_rows()

    @property
    def dimensions(self) -> int:
        """D, of the vectors."""
        return self.table.schema.field("vector").type.list_size

    @property
    def version(self) -> int:
        """The number of the commit that is seen."""
        return self.table.version

    @property
    def metadata(self) -> dict[str, str]:
        """What was given to `replace`, and `format`."""
        stored = self.table.schema.metadata or {}
        return {
            key.decode().removeprefix(PREFIX): value.decode()
            for key, value in stored.items()
            if key.decode().startswith(PREFIX)
        }

    def refresh(self) -> None:
        """See the newest version, with what other processes have written."""
        self.table.checkout_latest()

    def append(self, rows: Rows) -> int:
        """Add rows, in one commit; those whose number is there already change nothing.

        Call it within `writing` where others may write too.

        Returns:
            How many rows are new.

        Raises:
            InputError: a vector is not finite, or has other dimensions.
        """
        import pyarrow as pa

        known = set(self.numbers_among(rows.numbers).tolist())
        new, seen = [], set(known)
        for position, number in enumerate(rows.numbers.tolist()):
            if number not in seen:
                seen.add(number)
                new.append(position)
        if not new:
            return 0
        batch = to_batch(rows, self.table.schema).take(pa.array(new))
        # By number, so that a writer who came between on an object store adds nothing twice either.
        merge = self.table.merge_insert("number").when_not_matched_insert_all()
        done = merge.execute(pa.Table.from_batches([batch]))
        return done.num_inserted_rows

    def delete(self, condition: str) -> int:
        """Delete the rows that meet an SQL condition, in one commit; return how many there were.

        Call it within `writing` where others may write too.
        """
        if not self.table.count_rows(condition):
            return 0
        before = len(self)
        self.table.delete(condition)
        return before - len(self)

    def numbers_among(self, numbers: np.ndarray) -> np.ndarray:
        """Return those of `numbers`, int64 `[n]`, that are in the gallery, ascending."""
        return self.lookup(numbers, ["number"])["number"].to_numpy()

    def lookup(self, numbers: np.ndarray, columns: Sequence[str]) -> "pa.Table":
        """Return columns of the rows with these numbers, each row once, by ascending number.

        Args:
            numbers: int64, of any shape; a number that is not there has no row in the outcome.
            columns: names; `number` is added.
        """
        wanted = np.unique(numbers)
        names = list(dict.fromkeys(["number", *columns]))
        condition = None
        if len(wanted) <= LOOKUPS:
            condition = (
                f"number IN ({', '.join(map(str, wanted.tolist()))})" if len(wanted) else "0=1"
            )
        table = self.read(names, condition).sort_by("number")
        if condition is None:
            table = table.filter(np.isin(table["number"].to_numpy(), wanted))
        return table

    def read(self, columns: Sequence[str], condition: str | None = None) -> "pa.Table":
        """Read columns of all rows, or of those that meet an SQL condition, in no set order."""
        import pyarrow as pa

        batches = list(self.batches(columns, condition))
        if batches:
            return pa.Table.from_batches(batches)
        return pa.schema([self.table.schema.field(name) for name in columns]).empty_table()

    def batches(
        self, columns: Sequence[str], condition: str | None = None
    ) -> Iterator["pa.RecordBatch"]:
        """Read as `read` does, one batch of rows at a time."""
        query = self.table.search()
        if condition is not None:
            query = query.where(condition)
        yield from query.select(list(columns)).to_batches()

    def rows(self, condition: str | None = None) -> Iterator[Rows]:
        """Read whole rows, one batch at a time, in no set order."""
        for batch in self.batches(COLUMNS, condition):
            columns = {name: batch.column(name) for name in COLUMNS}
            yield Rows(
                numbers=columns["number"].to_numpy(),
                vectors=vectors_of(columns["vector"]),
                **{
                    field: columns[name].to_pylist()
                    for field, name in (
                        ("labels", "label"),
                        ("superclasses", "superclass"),
                        ("files", "file"),
                        ("images", "image"),
                        ("source", "source"),
                    )
                },
            )

    def tidy(self) -> None:
        """Join small pieces and drop versions that were replaced a day ago or earlier.

        Call it within `writing`.
        """
        # What a killed writer left is of no version. In a local folder nobody else can be writing.
        alone = local_folder(self.address) is not None
        self.table.optimize(cleanup_older_than=KEEP_VERSIONS, delete_unverified=alone)

    def is_in_pieces(self) -> bool:
        """Tell whether many small writes have left the rows in many small files."""
        statistics: Any = self.table.stats()  # a dictionary, whatever its annotation says
        return statistics["fragment_stats"]["num_small_fragments"] > PIECES


COLUMNS = ("number", "vector", "label", "superclass", "file", "image", "source")


@contextmanager
def writing(address: Path | str) -> Iterator[None]:
    """Let one process at a time change the gallery in a local folder; others wait.

    On an object store nothing is locked, and this does nothing. Lance commits there one after the
    other too, so that enrolling goes on from several machines and loses nothing; but what is
    enrolled between the beginning and the end of a build is lost with the old gallery, and one
    image that two machines enrol in the same instant may be there twice.
    """
    folder = local_folder(str(address))
    if folder is None:
        yield
        return
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        yield


def local_folder(address: str) -> Path | None:
    """Return the folder that an address names, or None for an object store."""
    if address.startswith("file://"):
        return Path(address.removeprefix("file://"))
    return None if "://" in address else Path(address)


def to_batch(rows: Rows, schema: "pa.Schema") -> "pa.RecordBatch":
    """Lay rows out as Arrow.

    Raises:
        InputError: a vector is not finite, or has other dimensions than the schema says.
    """
    import pyarrow as pa

    dimensions = schema.field("vector").type.list_size
    vectors = np.ascontiguousarray(rows.vectors, dtype=np.float32)
    if vectors.shape != (len(rows), dimensions):
        raise InputError(
            f"expected vectors as float32 [{len(rows)}, {dimensions}] for the gallery, found"
            f" {list(vectors.shape)}; were they made by another network?"
        )
    if not np.isfinite(vectors).all():
        row = int((~np.isfinite(vectors).all(axis=1)).argmax())
        raise InputError(
            f"the vector of {rows.files[row]} (number {rows.numbers[row]}) holds a value that is"
            " not finite; the network that made it has diverged: train it anew"
        )
    content: dict[str, Any] = {
        "number": pa.array(rows.numbers, pa.int64()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dimensions),
        "label": pa.array(rows.labels, pa.string()),
        "superclass": pa.array(rows.superclasses, pa.string()),
        "file": pa.array(rows.files, pa.string()),
        "image": pa.array(rows.images, pa.binary()),
        "source": pa.array(rows.source, pa.string()),
    }
    return pa.RecordBatch.from_arrays([content[name] for name in schema.names], schema=schema)


def vectors_of(column: "pa.FixedSizeListArray") -> np.ndarray:
    """Return a column of vectors as float32 `[n, D]`, without a copy."""
    return column.flatten().to_numpy(zero_copy_only=True).reshape(len(column), -1)


def one_of(column: str, values: Iterable[int | str]) -> str:
    """Return the SQL condition that a column has one of these values."""
    listed = ", ".join(
        str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
        for value in values
    )
    return f"{column} IN ({listed})" if listed else "false"


def _schema(dimensions: int, metadata: dict[str, str]) -> "pa.Schema":
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
        metadata={f"{PREFIX}{key}": text for key, text in {**metadata, "format": FORMAT}.items()},
    )


def _connect(address: str) -> "DBConnection":
    import lancedb

    try:
        return lancedb.connect(address)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{address}: LanceDB cannot open this address ({_one_line(error)}); expected a folder"
            " or an object store, such as s3://bucket/gallery"
        ) from None


def _recorded(
    batches: Iterable["pa.RecordBatch"],
) -> tuple[Iterator["pa.RecordBatch"], list[Exception]]:
    """Pass batches on, and keep what making one of them raised."""
    failures: list[Exception] = []

    def passed_on() -> Iterator["pa.RecordBatch"]:
        try:
            yield from batches
        except Exception as error:
            failures.append(error)
            raise

    return passed_on(), failures


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
