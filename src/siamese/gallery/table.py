"""The table of a gallery in LanceDB, which describes itself. No model is needed here.

Its columns are those of `siamese.gallery.rows`. The schema's metadata holds strings under keys that
begin with `siamese.`: `siamese.format` is `FORMAT`, the others are what `replace` was given. The
metadata of the column `vector` has `siamese.index`, an `IndexInfo` as JSON, once there is an index.

Every change is one commit of Lance: a reader sees all of it or nothing, and keeps reading the
version that it opened. In a local folder, writers take turns by a lock on a file, which the system
frees when its owner is killed. On object stores there is no such lock: see `writing`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.rows import Rows, row_schema

if TYPE_CHECKING:  # together they take a second and more, and `--help` need not wait for them
    import pyarrow as pa
    from lancedb.db import DBConnection
    from lancedb.table import Table

FORMAT = "1"
TABLE = "gallery"
LOCK = ".gallery.lock"
PREFIX = "siamese."
INDEX_KEY = f"{PREFIX}index"
IS_ENROLLED = "source = 'enrolled'"
# Replaced versions stay this long for readers that have opened them.
KEEP_VERSIONS = timedelta(days=1)
# Up to this many numbers are looked up one by one; for more, whole columns are read.
LOOKUPS = 2000
# More pieces than this are joined after a write: each costs a query some time.
PIECES = 20


@dataclass(frozen=True)
class IndexInfo:
    """An index of the vectors, and what it was measured to find.

    Attributes:
        kind: LanceDB's name of its type.
        probes: partitions that a query looks at.
        recall: share of the ten nearest rows that it finds, over `asked` rows of the gallery.
        asked: how many rows it was measured on.
    """

    kind: str
    probes: int
    recall: float
    asked: int


class GalleryTable:
    """The table at an address, as it was when opened, with its own changes since.

    Attributes:
        address: a folder, or any address that LanceDB takes, such as `s3://bucket/gallery`.
        lance: LanceDB's own table.
    """

    def __init__(self, address: str, lance: "Table") -> None:
        self.address = address
        self.lance = lance

    @classmethod
    def open(cls, address: Path | str) -> Self:
        """Open an existing gallery.

        Raises:
            InputError: there is none, it cannot be read, or it is of another format.
        """
        found = cls.find(address)
        if found is None:
            raise InputError(f"{address}: there is no gallery; `siamese gallery build` makes one")
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
        """Replace the whole table by these rows, in one commit.

        Until that commit, and if the process is killed before it, the old gallery is whole. The
        rows are taken one batch at a time; batches of a few thousand work well. Call it within
        `writing` where others may write too.

        Args:
            address: created if it does not exist.
            dimensions: D, of the vectors.
            rows: all rows. The caller makes sure that no number comes twice.
            metadata: kept in the table; see `metadata`.

        Raises:
            InputError: a vector is not finite, or has other dimensions.
        """
        import pyarrow as pa

        address = str(address)
        described = {**(metadata or {}), "format": FORMAT}
        schema = row_schema(dimensions, {f"{PREFIX}{key}": text for key, text in described.items()})
        connection = _connect(address)
        exists = TABLE in connection.list_tables().tables
        failures: list[Exception] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for part in rows:
                    yield part.to_batch(schema)
            except Exception as error:
                failures.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        try:
            table = connection.create_table(
                TABLE, reader, schema=schema, mode="overwrite" if exists else "create"
            )
        except Exception:
            # LanceDB returns what the rows raised as text only.
            if failures:
                raise failures[0] from None
            raise
        return cls(address, table)

    def __len__(self) -> int:
        """Count the rows."""
        return self.lance.count_rows()

    @property
    def dimensions(self) -> int:
        """D, of the vectors."""
        return self.lance.schema.field("vector").type.list_size

    @property
    def version(self) -> int:
        """The number of the commit that this process sees."""
        return self.lance.version

    @property
    def metadata(self) -> dict[str, str]:
        """What was given to `replace`, and `format`."""
        stored = self.lance.schema.metadata or {}
        return {
            key.decode().removeprefix(PREFIX): value.decode()
            for key, value in stored.items()
            if key.decode().startswith(PREFIX)
        }

    def refresh(self) -> None:
        """See the newest version, with what other processes have written."""
        self.lance.checkout_latest()

    @property
    def index(self) -> IndexInfo | None:
        """The index that searches may use; None while there is none."""
        stored = (self.lance.schema.field("vector").metadata or {}).get(INDEX_KEY.encode())
        return None if stored is None else IndexInfo(**json.loads(stored))

    def set_index(self, info: IndexInfo) -> None:
        """Tell searches that the table has an index; the last step of building one."""
        self.lance.update_field_metadata(
            {"path": "vector", "metadata": {INDEX_KEY: json.dumps(asdict(info))}}
        )

    def append(self, rows: Rows) -> int:
        """Add rows, in one commit; rows whose number exists already change nothing.

        Call it within `writing` where others may write too.

        Returns:
            How many rows are new.

        Raises:
            InputError: a vector is not finite, or has other dimensions.
        """
        import pyarrow as pa

        known = self.lookup(rows.numbers, [])["number"].to_numpy()
        numbers, first = np.unique(rows.numbers, return_index=True)
        new = np.sort(first[~np.isin(numbers, known)])
        if not len(new):
            return 0
        batch = rows.to_batch(self.lance.schema).take(pa.array(new))
        # By number, so that nothing is added twice even if another machine wrote in between.
        merge = self.lance.merge_insert("number").when_not_matched_insert_all()
        done = merge.execute(pa.Table.from_batches([batch]))
        return done.num_inserted_rows

    def delete(self, condition: str) -> int:
        """Delete the rows that meet an SQL condition, in one commit; return how many there were.

        Call it within `writing` where others may write too.
        """
        if not self.lance.count_rows(condition):
            return 0
        before = len(self)
        self.lance.delete(condition)
        return before - len(self)

    def lookup(self, numbers: np.ndarray, columns: Sequence[str]) -> "pa.Table":
        """Return columns of the rows with these numbers, each row once, by ascending number.

        Args:
            numbers: int64, of any shape; an unknown number has no row in the outcome.
            columns: names; `number` is added.
        """
        wanted = np.unique(numbers)
        names = list(dict.fromkeys(["number", *columns]))
        condition = one_of("number", wanted.tolist()) if len(wanted) <= LOOKUPS else None
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
        return pa.schema([self.lance.schema.field(name) for name in columns]).empty_table()

    def batches(
        self, columns: Sequence[str], condition: str | None = None
    ) -> Iterator["pa.RecordBatch"]:
        """Read as `read` does, one batch of rows at a time."""
        query = self.lance.search()
        if condition is not None:
            query = query.where(condition)
        yield from query.select(list(columns)).to_batches()

    def rows(self, condition: str | None = None) -> Iterator[Rows]:
        """Read whole rows, one batch at a time, in no set order."""
        for batch in self.batches(self.lance.schema.names, condition):
            yield Rows.from_batch(batch)

    def tidy(self) -> None:
        """Join small pieces and drop versions that were replaced a day ago or earlier.

        Call it within `writing`.
        """
        # A killed writer leaves files of no version. In a local folder nobody else can be writing.
        alone = local_folder(self.address) is not None
        self.lance.optimize(cleanup_older_than=KEEP_VERSIONS, delete_unverified=alone)

    def is_in_pieces(self) -> bool:
        """Tell whether many small writes have left the rows in many small files."""
        statistics: Any = self.lance.stats()  # a dictionary, whatever its annotation says
        return statistics["fragment_stats"]["num_small_fragments"] > PIECES


@contextmanager
def writing(address: Path | str) -> Iterator[None]:
    """Let one process at a time change the gallery in a local folder; others wait.

    On an object store nothing is locked, and this does nothing. Lance orders the commits there, so
    enrolling from several machines loses nothing. But what is enrolled while a build runs is lost
    with the old gallery, and an image that two machines enrol at the same instant may come twice.
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


def one_of(column: str, values: Iterable[int | str]) -> str:
    """Return the SQL condition that a column has one of these values."""
    listed = ", ".join(
        str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
        for value in values
    )
    return f"{column} IN ({listed})" if listed else "false"


def _connect(address: str) -> "DBConnection":
    import lancedb

    try:
        return lancedb.connect(address)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{address}: LanceDB cannot open this address ({_one_line(error)}); expected a folder"
            " or an object store, such as s3://bucket/gallery"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
