"""The table of a gallery in LanceDB, which describes itself. No model is needed here.

Its columns are those of `siamese.gallery.rows`. The schema's metadata holds strings under keys that
begin with `siamese.`: `siamese.format` is `FORMAT`, the others are what `replace` was given. The
metadata of the column `vector` has `siamese.index`, an `IndexInfo` as JSON, once there is an index.

Every change is one commit of Lance: a reader sees all of it or nothing, and keeps reading the
version that it opened. In a local folder, writers take turns by a lock on a file, which the system
frees when its owner is killed. On object stores there is no such lock: see
`siamese.gallery.address.writing`.
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.address import canonical, local_folder
from siamese.gallery.failures import LANCE_ERRORS, Unreadable, cause, changing, reading
from siamese.gallery.rows import Rows, row_schema
from siamese.gallery.text import storable

if TYPE_CHECKING:  # together they take a second and more, and `--help` need not wait for them
    import pyarrow as pa
    from lancedb.db import DBConnection
    from lancedb.table import Table

FORMAT = "1"
TABLE = "gallery"
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
        address: a folder, or any address that LanceDB takes, such as `s3://bucket/gallery`; in
            its canonical form.
        lance: LanceDB's own table. Whoever calls it stands within `failures.reading` or `changing`.
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
            raise InputError(
                f"{canonical(address)}: there is no gallery; `siamese gallery build` makes one"
            )
        return found

    @classmethod
    def find(cls, address: Path | str) -> Self | None:
        """Open a gallery, or return None if there is none.

        Raises:
            InputError: it cannot be read, or is of another format.
        """
        address = canonical(address)
        folder = local_folder(address)
        with reading(address):
            if folder is not None and not (folder / f"{TABLE}.lance").is_dir():
                return None  # without asking LanceDB, which would make the folder
            connection = _connect(address)
            if TABLE not in connection.list_tables().tables:
                return None
            table = cls(address, connection.open_table(TABLE))
            written_as = table.metadata.get("format")
        if written_as != FORMAT:
            raise InputError(
                f"{address}: a gallery of format {written_as!r}, expected {FORMAT!r}: it was made"
                " by another version; move it away and run `siamese gallery build`"
            )
        return table

    @classmethod
    def create(
        cls, address: Path | str, dimensions: int, metadata: dict[str, str] | None = None
    ) -> Self:
        """Make an empty table where there is none; arguments as of `replace`.

        Raises:
            InputError: there is one, whatever it holds.
        """
        address = canonical(address)
        if cls._exists(address):
            raise InputError(f"{address}: there is a gallery already; open it, without `--new`")
        return cls._write(address, dimensions, [], metadata, "create")

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
            InputError: a vector is not finite, or has other dimensions; or LanceDB cannot write.
        """
        address = canonical(address)
        exists = cls._exists(address)
        return cls._write(address, dimensions, rows, metadata, "overwrite" if exists else "create")

    @classmethod
    def _exists(cls, address: str) -> bool:
        with changing(address):
            return TABLE in _connect(address).list_tables().tables

    @classmethod
    def _write(
        cls,
        address: str,
        dimensions: int,
        rows: Iterable[Rows],
        metadata: dict[str, str] | None,
        mode: Literal["create", "overwrite"],
    ) -> Self:
        import pyarrow as pa

        described = {**(metadata or {}), "format": FORMAT}
        schema = row_schema(dimensions, {f"{PREFIX}{key}": text for key, text in described.items()})
        failures: list[Exception] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for part in rows:
                    yield part.to_batch(schema)
            except Exception as error:
                failures.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        with changing(address):
            try:
                table = _connect(address).create_table(TABLE, reader, schema=schema, mode=mode)
            except Exception:
                if not failures:
                    raise
        # LanceDB returns what the rows raised as text only.
        if failures:
            raise failures[0]
        return cls(address, table)

    def __len__(self) -> int:
        """Count the rows."""
        return self.count()

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

    def newest_commit(self) -> object:
        """Return what differs after every commit of any process; None if there is no gallery."""
        folder = local_folder(self.address)
        if folder is None:
            with reading(self.address):
                versions = self.lance.list_versions()
            return (versions[-1]["version"], versions[-1]["timestamp"]) if versions else None
        # A thousandth of the time. A gallery that was made again has the old names, at a new time.
        manifests = folder / f"{TABLE}.lance" / "_versions"
        try:
            names = frozenset(file.name for file in manifests.iterdir())
            return manifests.stat().st_mtime_ns, names
        except FileNotFoundError:
            return None

    def refresh(self) -> None:
        """See the newest version, with what other processes have written.

        Raises:
            InputError: there is no gallery any more, or it cannot be read.
        """
        # Not by LanceDB's `checkout_latest`: it misses a gallery that was deleted and made again.
        self.lance = self.open(self.address).lance

    @property
    def index(self) -> IndexInfo | None:
        """The index that searches may use; None while there is none."""
        stored = (self.lance.schema.field("vector").metadata or {}).get(INDEX_KEY.encode())
        return None if stored is None else IndexInfo(**json.loads(stored))

    def set_index(self, info: IndexInfo) -> None:
        """Tell searches that the table has an index; the last step of building one."""
        with changing(self.address):
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
        with changing(self.address):
            merge = self.lance.merge_insert("number").when_not_matched_insert_all()
            return merge.execute(pa.Table.from_batches([batch])).num_inserted_rows

    def delete(self, condition: str) -> int:
        """Delete the rows that meet an SQL condition, in one commit; return how many there were.

        Call it within `writing` where others may write too.
        """
        if not self.count(condition):
            return 0
        before = len(self)
        with changing(self.address):
            self.lance.delete(condition)
        return before - len(self)

    def count(self, condition: str | None = None) -> int:
        """Count all rows, or those that meet an SQL condition."""
        with reading(self.address):
            return self.lance.count_rows(condition)

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
        with reading(self.address):
            query = self.lance.search()
            if condition is not None:
                query = query.where(condition)
            yield from query.select(list(columns)).to_batches()

    def slices(self, columns: Sequence[str], n_rows: int) -> Iterator["pa.RecordBatch"]:
        """Read all rows as `batches` does, but no more than so many at once.

        In one go, LanceDB reads far ahead: a million vectors take 300 MB more.
        """
        with reading(self.address):
            for start in range(0, len(self), n_rows):
                query = self.lance.search().select(list(columns)).offset(start).limit(n_rows)
                yield from query.to_batches()

    def rows(self, condition: str | None = None) -> Iterator[Rows]:
        """Read whole rows, one batch at a time, in no set order."""
        for batch in self.batches(self.lance.schema.names, condition):
            yield Rows.from_batch(batch)

    def rewrite(self) -> None:
        """Write all rows anew, in one commit, without an index; call it within `writing`.

        Deleting a row only marks it: the files that hold it, an index among them, stay in use.
        """
        self.replace(self.address, self.dimensions, self.rows(), self.metadata)
        self.refresh()

    def tidy(self, keep: timedelta = KEEP_VERSIONS) -> None:
        """Join small pieces and drop versions that were replaced longer ago than `keep`.

        Call it within `writing`.

        Raises:
            InputError: LanceDB has failed; the rows are as they were before.
        """
        # A killed writer leaves files of no version. In a local folder nobody else can be writing.
        alone = local_folder(self.address) is not None
        with changing(self.address), warnings.catch_warnings():
            # That readers of dropped versions fail: ours open the newest one instead.
            warnings.filterwarnings("ignore", "optimize", UserWarning)
            self.lance.optimize(cleanup_older_than=keep, delete_unverified=alone)

    def is_in_pieces(self) -> bool:
        """Tell whether many small writes have left the rows in many small files."""
        with reading(self.address):
            statistics: Any = self.lance.stats()  # a dictionary, whatever its annotation says
        return statistics["fragment_stats"]["num_small_fragments"] > PIECES


def one_of(column: str, values: Iterable[int | str]) -> str:
    """Return the SQL condition that a column has one of these values."""
    listed = ", ".join(
        str(value) if isinstance(value, int) else "'" + storable(value).replace("'", "''") + "'"
        for value in values
        # LanceDB refuses a number beyond int64, which no row can have.
        if not (isinstance(value, int) and abs(value) >= 2**63)
    )
    return f"{column} IN ({listed})" if listed else "false"


def _connect(address: str) -> "DBConnection":
    import lancedb

    try:
        return lancedb.connect(address)
    except LANCE_ERRORS as error:
        raise Unreadable(
            f"{address}: LanceDB cannot open this address ({cause(error)}); expected a folder or an"
            " object store, such as s3://bucket/gallery"
        ) from None
