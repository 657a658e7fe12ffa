"""Ask a gallery: what is this, what resembles it, is it of this class? And add to it.

    from siamese import Gallery, load_model

    gallery = Gallery.open("data/gallery", load_model("data/model"))
    [answer] = gallery.classify(["photo.png"])

Images are given as files, or as uint8 `[N, H, W, 3]`, each made by
`siamese.images.reading.load_image`. Nothing heavy is imported before it is needed.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.address import local_folder, writing
from siamese.gallery.answers import (
    ClassifiedImage,
    Enrolment,
    GalleryInfo,
    LabelCount,
    Neighbour,
    Vote,
)
from siamese.gallery.claims import ClaimVerdict, claims_of, judge
from siamese.gallery.defaults import ADDRESS, FOUND, VOTERS
from siamese.gallery.failures import Unreadable
from siamese.gallery.held import Held
from siamese.gallery.model_hash import model_hash
from siamese.gallery.png import decode_png, encode_png, resized
from siamese.gallery.rows import Rows, enrolled_number
from siamese.gallery.search import COLUMNS, Searcher
from siamese.gallery.table import IS_ENROLLED, GalleryTable, one_of
from siamese.gallery.text import is_plain, storable
from siamese.gallery.vector_index import index_if_large
from siamese.gallery.verdict import Verdict, decide
from siamese.images.folder_names import one_form
from siamese.measures.knn import class_ranking

if TYPE_CHECKING:  # torch takes a second or two, and listing labels need not wait for it
    import torch

    from siamese.model.folder import Model

# Classes named in an answer, at most.
TOP = 5
# A reader may meet several writers who one after the other remove the version that it has opened.
TRIES = 5
# Bytes that a gallery in memory may take.
HOLD_LIMIT = 2**30

Images = np.ndarray | Sequence[Path | str]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Version:
    """What answers: a version of the table, and its rows in memory if they are held."""

    searcher: Searcher
    held: Held | None = None

    @property
    def table(self) -> GalleryTable:
        return self.searcher.table


class Gallery:
    """A gallery as it was when opened, and the model that embeds the images asked about.

    It sees at once what this process enrols and removes; what others write, after `refresh`. If
    another process has removed the files of the version that was opened, as `tidy` does, it answers
    from the newest one.

    Any number of threads may use one gallery. Each answer comes from one version: neighbours,
    labels and the distance of novelty belong together, even if another thread changes or refreshes
    the gallery at that moment.

    Attributes:
        patience: seconds that a change waits for other writers; None, as long as they take.
    """

    def __init__(self, table: GalleryTable, model: "Model | None") -> None:
        self.patience: float | None = None
        self._model = model
        self._version = _Version(Searcher(table))
        self._commit: object = None  # of the version, once somebody has looked
        self._hold: tuple[int, torch.device | None] | None = None  # the arguments of `hold`
        self._refreshing = RLock()
        self._made_by = table.metadata.get("model") if model is None else self._model_hash
        self._check_model(table.metadata)

    @classmethod
    def open(cls, address: Path | str = ADDRESS, model: "Model | None" = None) -> Self:
        """Open a gallery.

        Args:
            address: a folder, or any address that LanceDB takes, such as `s3://bucket/gallery`.
            model: that made the gallery; not needed for `info`, `labels` and `remove`.

        Raises:
            InputError: there is no gallery, it cannot be read, or another model made it.
        """
        return cls(GalleryTable.open(address), model)

    @classmethod
    def create(cls, address: Path | str, model: "Model") -> Self:
        """Make an empty gallery, which only `enroll` fills; it calls nothing novel.

        Raises:
            InputError: there is one already.
        """
        with writing(address):
            metadata = {"model": model_hash(model)}
            table = GalleryTable.create(address, model.params.embedding_dim, metadata)
        return cls(table, model)

    @property
    def model(self) -> "Model":
        """The model that images are embedded with.

        Raises:
            InputError: the gallery was opened without one.
        """
        if self._model is None:
            raise InputError(
                "this gallery was opened without a model: Gallery.open(address, model)"
            )
        return self._model

    @property
    def table(self) -> GalleryTable:
        """The version of the table that is asked. To write, open another: this one is shared."""
        return self._version.table

    @property
    def novelty_distance(self) -> float | None:
        """The distance to the nearest row beyond which an image is unlike anything, or None."""
        return _novelty_distance(self.table.metadata)

    def classify(
        self, images: Images, k: int | None = None, exact: bool = False
    ) -> list[ClassifiedImage]:
        """Let the k nearest rows vote for the class of each image.

        The votes are those of `siamese.measures.knn.class_ranking`: of classes with equally many
        votes, the one with the nearer voter comes first.

        Args:
            images: files, or uint8 `[N, H, W, 3]`.
            k: neighbours that vote, from 1 to the number of rows; without it 20, or all rows of a
                smaller gallery.
            exact: search without the index, if the gallery has one.

        Returns:
            One answer per image, in order.

        Raises:
            InputError: k is out of range, an image cannot be read or is of another size.
        """
        return self.classify_embeddings(self._embed(images), k, exact)

    def classify_embeddings(
        self, embeddings: np.ndarray, k: int | None = None, exact: bool = False
    ) -> list[ClassifiedImage]:
        """Do what `classify` does for embeddings, float32 `[N, D]`, of the same model."""
        return self._answered(lambda: self._classify(embeddings, k, exact))

    def _classify(
        self, embeddings: np.ndarray, k: int | None, exact: bool
    ) -> list[ClassifiedImage]:
        found, metadata = self._neighbours(embeddings, k, VOTERS, exact)
        if not found:
            return []
        limit = _novelty_distance(metadata)
        # Any coding of the labels gives the same vote.
        codes: dict[str, int] = {}
        coded = [[codes.setdefault(one.label, len(codes)) for one in each] for each in found]
        names = list(codes)
        answers = []
        for neighbours, ranking in zip(found, class_ranking(np.array(coded), TOP), strict=True):
            labels = [one.label for one in neighbours]
            ranked = [names[code] for code in ranking.tolist() if code >= 0]
            shares = [Vote(label, labels.count(label) / len(labels)) for label in ranked]
            is_novel = limit is not None and neighbours[0].distance > limit
            answers.append(
                ClassifiedImage(
                    label=None if is_novel else shares[0].label,
                    votes=tuple(shares),
                    neighbours=neighbours,
                    is_novel=is_novel,
                    novelty_distance=limit,
                )
            )
        return answers

    def search(
        self, images: Images, k: int | None = None, exact: bool = False
    ) -> list[tuple[Neighbour, ...]]:
        """Find the k nearest rows to each image; arguments and errors as of `classify`.

        Without k they are 10, or all rows of a smaller gallery.
        """
        return self.search_embeddings(self._embed(images), k, exact)

    def search_embeddings(
        self, embeddings: np.ndarray, k: int | None = None, exact: bool = False
    ) -> list[tuple[Neighbour, ...]]:
        """Do what `search` does for embeddings, float32 `[N, D]`, of the same model."""
        return self._answered(lambda: self._neighbours(embeddings, k, FOUND, exact)[0])

    def verify(self, left: Images, right: Images, far: float | None = None) -> list[Verdict]:
        """Decide for each left image and its right one whether they show the same class.

        Args:
            left: files, or uint8 `[N, H, W, 3]`.
            right: as many.
            far: the highest false-accept rate allowed; see `siamese.gallery.verdict.decide`.

        Raises:
            InputError: an image cannot be read, the numbers differ, or no threshold is so strict.
        """
        return verify(self.model, left, right, far)

    def verify_claim(
        self, images: Images, label: str, embeddings: np.ndarray | None = None
    ) -> list[ClaimVerdict]:
        """Decide for each image whether it is accepted as one of a class.

        It is compared with all that the gallery has under the label. Rule and threshold are those
        that were calibrated on validation for so many references.

        Args:
            images: files, or uint8 `[N, H, W, 3]`.
            label: of the class.
            embeddings: of the images, float32 `[N, D]`, where the same model has made them already.

        Raises:
            InputError: the model has no thresholds for claims, the gallery no image of the class,
                or an image cannot be read or is of another size.
        """
        claims = claims_of(self.model.calibration)
        pixels = pixels_of(images, self.model)
        given = self._embed(pixels) if embeddings is None else embeddings

        def judged() -> list[ClaimVerdict]:
            version, _ = self._checked()
            asked = version.held or version.searcher
            return judge(asked, version.table, pixels, given, one_form(label), claims)

        return self._answered(judged)

    def enroll(
        self,
        images: Images,
        labels: str | Sequence[str],
        files: Sequence[str] | None = None,
    ) -> Enrolment:
        """Add labelled images, also of new classes, without training.

        An image that the gallery already has under the same label changes nothing. All are added in
        one commit, or none.

        Args:
            images: files, or uint8 `[N, H, W, 3]`.
            labels: one for all, or one per image.
            files: where images that are given as an array came from.

        Raises:
            InputError: a label is missing or no name of a class, an image cannot be read, another
                model has rebuilt the gallery in the meantime, or nothing can be written there.
        """
        pixels = pixels_of(images, self.model)
        if isinstance(labels, str):
            labels = [labels] * len(pixels)
        if not isinstance(images, np.ndarray):
            files = [str(file) for file in images]
        files = files or [""] * len(pixels)
        if not len(pixels) == len(labels) == len(files):
            raise InputError(
                f"{len(pixels)} images, {len(labels)} labels and {len(files)} files; expected one"
                " label and one file for each image"
            )
        check_labels(labels)
        labels = [one_form(label) for label in labels]
        numbers = [enrolled_number(*pair) for pair in zip(pixels, labels, strict=True)]
        rows = Rows(
            numbers=np.array(numbers, dtype=np.int64),
            vectors=self._embed(pixels),
            labels=labels,
            superclasses=[None] * len(pixels),
            files=[storable(file) for file in files],
            images=[encode_png(image) for image in pixels],
            source=["enrolled"] * len(pixels),
        )
        with writing(self.table.address, self.patience):
            table = self._newest()
            added = table.append(rows)
            if table.is_in_pieces():
                table.tidy()
            self.refresh()
        return Enrolment(added, len(pixels) - added)

    def remove(
        self, label: str | None = None, file: str | None = None, number: int | None = None
    ) -> int:
        """Remove the enrolled rows of one label, file or number; return how many.

        Rows of the pipeline stay: the next build would bring them back. The files of the gallery
        keep what was removed until `tidy`.

        Raises:
            InputError: not exactly one of the three is given, no enrolled row has it, or nothing
                can be written there.
        """
        given = {"label": label, "file": file, "number": number}
        chosen = [(name, value) for name, value in given.items() if value is not None]
        if len(chosen) != 1:
            raise InputError("expected exactly one of label, file and number to remove by")
        [(name, value)] = chosen
        if name == "label":
            value = one_form(str(value))
        matching = one_of(name, [value])
        with writing(self.table.address, self.patience):
            table = self._newest()
            removed = table.delete(f"{matching} AND {IS_ENROLLED}")
            left = 0 if removed else table.count(matching)
            self.refresh()
        if left:
            raise InputError(
                f"{name} {value!r}: {left} rows, all from the pipeline, where the next build would"
                " bring them back; only enrolled rows are removed"
            )
        if not removed:
            raise InputError(f"{name} {value!r}: no row of {self.table.address} has it")
        return removed

    def tidy(self) -> None:
        """Write the gallery anew, so that its files hold nothing that was removed or replaced.

        That takes room for a second copy while it lasts. Whoever has the gallery open goes on with
        the new copy. On an object store, call it only while nobody else writes.

        Raises:
            InputError: nothing can be written there; the rows are as they were.
        """
        with writing(self.table.address, self.patience):
            table = self._newest()
            table.rewrite()
            index_if_large(table)
            table.tidy(keep=timedelta(0))
            self.refresh()

    def labels(self) -> list[LabelCount]:
        """Return every class of the gallery with its rows, by name."""
        return self._answered(self._labels)

    def _labels(self) -> list[LabelCount]:
        table = self.table.read(["label", "source"])
        counted = table.group_by(["label", "source"]).aggregate([([], "count_all")]).to_pylist()
        counts = {(row["label"], row["source"]): row["count_all"] for row in counted}
        return [
            LabelCount(
                label, counts.get((label, "pipeline"), 0), counts.get((label, "enrolled"), 0)
            )
            for label in sorted({label for label, _ in counts})
        ]

    def info(self) -> GalleryInfo:
        """Return what the gallery holds."""
        return self._answered(self._info)

    def _info(self) -> GalleryInfo:
        labels = self._labels()
        metadata = self.table.metadata
        share = metadata.get("novelty_share")
        folder = local_folder(self.table.address)
        return GalleryInfo(
            address=self.table.address,
            pipeline=sum(count.pipeline for count in labels),
            enrolled=sum(count.enrolled for count in labels),
            labels=len(labels),
            dimensions=self.table.dimensions,
            model=metadata.get("model", ""),
            novelty_distance=self.novelty_distance,
            novelty_share=None if share is None else float(share),
            bytes=None if folder is None else _size(folder),
            index=self.table.index,
        )

    def images(self, numbers: Sequence[int]) -> np.ndarray:
        """Return the stored images of rows, uint8 `[n, H, H, 3]`, in the order of `numbers`.

        Where their sizes differ, the smaller ones are enlarged.

        Raises:
            InputError: there is no such row, or it has no image.
        """
        known = np.array([number for number in numbers if 0 <= number < 2**63], dtype=np.int64)
        found = self._answered(lambda: self.table.lookup(known, ["image"])).to_pylist()
        stored = {row["number"]: row["image"] for row in found}
        for number in numbers:
            if stored.get(number) is None:
                raise InputError(f"{self.table.address}: row {number} has no image")
        pictures = [decode_png(stored[number]) for number in numbers]
        # One that was enrolled for an earlier network may have another size.
        sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
        alike = [resized(picture, max(sizes, key=math.prod)) for picture in pictures]
        return np.stack(alike) if alike else np.empty((0, 0, 0, 3), dtype=np.uint8)

    def hold(self, limit: int = HOLD_LIMIT, device: "torch.device | None" = None) -> bool:
        """Answer from memory from now on, and read what is new there at every `refresh`.

        Answers are the same, to the last bit, and LanceDB is not asked for them. Galleries of
        100,000 rows and more get an index in memory, in place of LanceDB's; `exact` does without.

        Args:
            limit: bytes that the rows may take. Beyond it, as after a rebuild, LanceDB answers.
                While a rebuilt gallery is read, the old one stays in memory beside it.
            device: a GPU that holds the vectors, too, and compares them without an index.

        Returns:
            Whether the gallery is within the limit, and now in memory.

        Raises:
            InputError: as `refresh`.
        """
        with self._refreshing:
            self._hold = (limit, device)
            self._version = _Version(self._version.searcher)
            self.refresh()
        return self.is_held

    @property
    def is_held(self) -> bool:
        """Whether answers come from memory."""
        return self._version.held is not None

    def is_outdated(self) -> bool:
        """Tell whether `refresh` may find something new, without opening the gallery again.

        A folder is looked at in a fraction of a millisecond; an object store is asked. Before the
        first `refresh` the answer is yes.

        Raises:
            InputError: an object store cannot be read.
        """
        return self._commit is None or self.table.newest_commit() != self._commit

    def refresh(self) -> None:
        """See what other processes have written since the gallery was opened.

        Other threads are answered from the earlier version until the new one is complete.

        Raises:
            InputError: another model has rebuilt the gallery, or there is none any more.
        """
        with self._refreshing:
            failure: Unreadable | None = None
            for _ in range(TRIES):
                commit = self.table.newest_commit()  # first: what is written meanwhile is newer
                if self.is_held and commit is not None and commit == self._commit:
                    return
                table = GalleryTable.open(self.table.address)
                searcher = Searcher(table)
                try:
                    if self._model is not None:
                        self._check_model(table.metadata)
                    held = self._read_held(table)
                except Unreadable as error:
                    failure = error
                    continue
                except InputError:
                    self._version = _Version(searcher)
                    raise
                self._version, self._commit = _Version(searcher, held), commit
                return
            assert failure is not None
            raise failure

    def _read_held(self, table: GalleryTable) -> Held | None:
        if self._hold is None:
            return None
        limit, device = self._hold
        return Held.read(table, limit, device, self._version.held)

    def _newest(self) -> GalleryTable:
        """Open the newest version to write to it; others do not see it half-way.

        Raises:
            InputError: as `refresh`.
        """
        table = GalleryTable.open(self.table.address)
        if self._model is not None:
            self._check_model(table.metadata)
        return table

    def _answered(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the version that is open; if its files are gone, the newest.

        Raises:
            InputError: the newest version cannot be read, or another model has made it.
        """
        failure: Unreadable | None = None
        for attempt in range(TRIES):
            try:
                if attempt:
                    self.refresh()
                return ask()
            except Unreadable as error:
                failure = error
        assert failure is not None
        raise failure

    @cached_property
    def _model_hash(self) -> str:
        return model_hash(self.model)

    def _check_model(self, metadata: dict[str, str]) -> None:
        if metadata.get("model") != self._made_by:
            raise InputError(
                f"{self.table.address}: another model made this gallery, and distances between the"
                " embeddings of two models mean nothing; run `siamese gallery build`, which embeds"
                " the enrolled images again"
            )

    def _embed(self, images: Images) -> np.ndarray:
        pixels = pixels_of(images, self.model)
        if not len(pixels):
            return np.empty((0, self.table.dimensions), dtype=np.float32)
        return self.model.embed(pixels)

    def _checked(self) -> tuple[_Version, dict[str, str]]:
        """Return the version to ask and its metadata, also after a refusal to `refresh`."""
        version = self._version
        metadata = version.table.metadata if version.held is None else version.held.metadata
        self._check_model(metadata)
        return version, metadata

    def _neighbours(
        self, queries: np.ndarray, k: int | None, default: int, exact: bool
    ) -> tuple[list[tuple[Neighbour, ...]], dict[str, str]]:
        """Return the neighbours of each query, float32 `[D]`, and the metadata of their version.

        Without k, they are as many as the default says and the gallery has.
        """
        version, metadata = self._checked()
        if not len(queries):
            return [], metadata
        asked = version.held or version.searcher
        k = min(default, max(1, len(asked))) if k is None else k
        stored, positions, distances = asked.neighbours(queries, k, exact)
        rows = list(zip(*(stored[name] for name in COLUMNS), strict=True))
        found = [
            tuple(
                Neighbour(*(*rows[position], gap))
                for position, gap in zip(places, gaps, strict=True)
            )
            for places, gaps in zip(positions.tolist(), distances.tolist(), strict=True)
        ]
        return found, metadata


def _novelty_distance(metadata: dict[str, str]) -> float | None:
    stored = metadata.get("novelty_distance")
    return None if stored is None else float(stored)


def _size(folder: Path) -> int:
    """Sum the sizes of all files, in bytes; others may be removing some."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def check_labels(labels: Iterable[str]) -> None:
    """Refuse labels that are no names of classes.

    Raises:
        InputError: one is empty, or not one line of plain text.
    """
    for label in labels:
        if not label.strip():
            raise InputError("a label is empty; expected the name of a class")
        if not is_plain(label):
            raise InputError(
                f"the label {label!r} cannot be the name of a class; expected one line of UTF-8"
                " without control characters"
            )


def verify(model: "Model", left: Images, right: Images, far: float | None = None) -> list[Verdict]:
    """Do what `Gallery.verify` does, without a gallery."""
    from siamese.measures.verification import pair_distances

    first, second = pixels_of(left, model), pixels_of(right, model)
    if len(first) != len(second):
        raise InputError(f"{len(first)} images are to be compared with {len(second)}, one by one")
    embeddings = model.embed(np.concatenate([first, second]))
    rows = np.arange(len(first))
    distances = pair_distances(embeddings, rows, rows + len(first))
    return [decide(distance, model.calibration, far) for distance in distances.tolist()]


def pixels_of(images: Images, model: "Model") -> np.ndarray:
    """Return images at the model's input size; files are read.

    Returns:
        uint8 `[N, H, W, 3]`.

    Raises:
        InputError: a file cannot be read.
    """
    if isinstance(images, np.ndarray):
        return images
    from siamese.images.reading import load_image

    size = model.network.image_size
    loaded = [load_image(file, size, model.fit) for file in images]
    return np.stack(loaded) if loaded else np.empty((0, *size, 3), dtype=np.uint8)
