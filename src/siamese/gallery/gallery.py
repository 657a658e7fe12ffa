"""Ask a gallery: what is this, what resembles it, do these two show the same class? And add to it.

    from siamese import Gallery, load_model

    gallery = Gallery.open("data/gallery", load_model("data/model"))
    [answer] = gallery.classify(["photo.png"])

Images are given as files, or as uint8 `[N, size, size, 3]`, each made by
`siamese.images.reading.load_image`. Nothing heavy is imported before it is needed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
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
from siamese.gallery.defaults import ADDRESS, FOUND, VOTERS
from siamese.gallery.failures import Unreadable
from siamese.gallery.model_hash import model_hash
from siamese.gallery.png import decode_png, encode_png, resized
from siamese.gallery.rows import Rows, enrolled_number
from siamese.gallery.search import Searcher
from siamese.gallery.table import IS_ENROLLED, GalleryTable, one_of
from siamese.gallery.text import is_plain, storable
from siamese.gallery.vector_index import index_if_large
from siamese.gallery.verdict import Verdict, decide
from siamese.images.folder_names import one_form
from siamese.measures.knn import class_ranking

if TYPE_CHECKING:  # torch takes a second or two, and listing labels need not wait for it
    from siamese.model.folder import Model

# Classes named in an answer, at most.
TOP = 5
# A reader may meet several writers who one after the other remove the version that it has opened.
TRIES = 5

Images = np.ndarray | Sequence[Path | str]
Answer = TypeVar("Answer")


class Gallery:
    """A gallery as it was when opened, and the model that embeds the images asked about.

    It sees at once what this process enrols and removes; what others write, after `refresh`. If
    another process has removed the files of the version that was opened, as `tidy` does, it answers
    from the newest one.
    """

    def __init__(self, table: GalleryTable, model: "Model | None") -> None:
        self.table = table
        self._model = model
        self._searcher = Searcher(table)
        self._made_by = table.metadata.get("model") if model is None else self._model_hash
        self._check_model()

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
    def novelty_distance(self) -> float | None:
        """The distance to the nearest row beyond which an image is unlike anything, or None."""
        stored = self.table.metadata.get("novelty_distance")
        return None if stored is None else float(stored)

    def classify(
        self, images: Images, k: int | None = None, exact: bool = False
    ) -> list[ClassifiedImage]:
        """Let the k nearest rows vote for the class of each image.

        The votes are those of `siamese.measures.knn.class_ranking`: of classes with equally many
        votes, the one with the nearer voter comes first.

        Args:
            images: files, or uint8 `[N, size, size, 3]`.
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
        limit = self.novelty_distance
        answers = []
        for neighbours, ranking in self._vote(embeddings, k, VOTERS, exact):
            labels = [one.label for one in neighbours]
            shares = [Vote(label, labels.count(label) / len(labels)) for label in ranking]
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
        queries = self._embed(images)
        return self._answered(
            lambda: [neighbours for neighbours, _ in self._vote(queries, k, FOUND, exact)]
        )

    def verify(self, left: Images, right: Images, far: float | None = None) -> list[Verdict]:
        """Decide for each left image and its right one whether they show the same class.

        Args:
            left: files, or uint8 `[N, size, size, 3]`.
            right: as many.
            far: the highest false-accept rate allowed; see `siamese.gallery.verdict.decide`.

        Raises:
            InputError: an image cannot be read, the numbers differ, or no threshold is so strict.
        """
        return verify(self.model, left, right, far)

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
            images: files, or uint8 `[N, size, size, 3]`.
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
        with writing(self.table.address):
            self.refresh()
            added = self.table.append(rows)
            if self.table.is_in_pieces():
                self.table.tidy()
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
        with writing(self.table.address):
            self.refresh()
            removed = self.table.delete(f"{matching} AND {IS_ENROLLED}")
            left = 0 if removed else self.table.count(matching)
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
        with writing(self.table.address):
            self.refresh()
            self.table.rewrite()
            index_if_large(self.table)
            self.table.tidy(keep=timedelta(0))
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
        size = max((picture.shape[0] for picture in pictures), default=0)
        alike = [resized(picture, size) for picture in pictures]
        return np.stack(alike) if alike else np.empty((0, 0, 0, 3), dtype=np.uint8)

    def refresh(self) -> None:
        """See what other processes have written since the gallery was opened.

        Raises:
            InputError: another model has rebuilt the gallery, or there is none any more.
        """
        self.table.refresh()
        if self._model is not None:
            self._check_model()

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

    def _check_model(self) -> None:
        if self.table.metadata.get("model") != self._made_by:
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

    def _vote(
        self, queries: np.ndarray, k: int | None, default: int, exact: bool
    ) -> Iterator[tuple[tuple[Neighbour, ...], list[str]]]:
        """Yield for each query, float32 `[D]`, its neighbours and the classes with most votes.

        Without k, they are as many as the default says and the gallery has.
        """
        self._check_model()  # also after a refusal to `refresh`
        if not len(queries):
            return
        k = min(default, max(1, len(self.table))) if k is None else k
        numbers, distances = self._searcher.nearest(queries, k, exact)
        columns = ["number", "label", "superclass", "file", "source"]
        table = self.table.lookup(numbers, columns)
        stored = {name: table[name].to_pylist() for name in columns}
        # Any coding of the labels gives the same vote; positions are by ascending number.
        names, codes = np.unique(np.array(stored["label"], dtype=object), return_inverse=True)
        positions = np.searchsorted(table["number"].to_numpy(), numbers)  # (Q, k)
        rankings = class_ranking(codes[positions], TOP)
        for row, ranking in enumerate(rankings):
            yield (
                tuple(
                    Neighbour(**{name: stored[name][position] for name in columns}, distance=gap)
                    for position, gap in zip(
                        positions[row].tolist(), distances[row].tolist(), strict=True
                    )
                ),
                [names[code] for code in ranking.tolist() if code >= 0],
            )


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
        uint8 `[N, size, size, 3]`.

    Raises:
        InputError: a file cannot be read.
    """
    if isinstance(images, np.ndarray):
        return images
    from siamese.images.reading import load_image

    size = model.network.image_size
    loaded = [load_image(file, size, model.fit) for file in images]
    return np.stack(loaded) if loaded else np.empty((0, size, size, 3), dtype=np.uint8)
