"""Ask a gallery: what is this, what resembles it, do these two show the same? And add to it.

    model = load_model("data/model")
    gallery = Gallery.open("data/gallery", model)
    [answer] = gallery.classify(["photo.png"])

Images are given as files, or as uint8 `[N, size, size, 3]` that `siamese.images.reading` made.
Nothing heavy is imported before it is needed.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.defaults import ADDRESS, VOTERS
from siamese.gallery.index import IndexInfo, index_of
from siamese.gallery.search import Searcher
from siamese.gallery.table import (
    GalleryTable,
    Rows,
    Source,
    enrolled_number,
    local_folder,
    one_of,
    writing,
)
from siamese.gallery.verdict import Verdict, decide
from siamese.measures.knn import class_ranking

if TYPE_CHECKING:  # torch takes a second or two, and whoever lists labels need not wait for it
    from siamese.model.folder import Model

# Classes named in an answer, at most.
TOP = 5

Images = np.ndarray | Sequence[Path | str]


@dataclass(frozen=True)
class Neighbour:
    """A row of the gallery, as near as it is to an image.

    Attributes:
        number: of the row: a sample number, or one from 2⁶² up for an enrolled row.
        label: its class.
        superclass: or None where the data has none.
        file: where its image came from.
        source: `pipeline` or `enrolled`.
        distance: Euclidean, to the image asked about.
    """

    number: int
    label: str
    superclass: str | None
    file: str
    source: Source
    distance: float


@dataclass(frozen=True)
class Vote:
    """A class that neighbours voted for, and the share of the votes it got."""

    label: str
    share: float


@dataclass(frozen=True)
class Classification:
    """What an image is, by a vote of its nearest neighbours.

    Attributes:
        label: the class with the most votes; None for an image unlike anything in the gallery.
        votes: the five classes with the most votes, most first, whether or not `label` is None.
        neighbours: the k rows that voted, nearest first.
        is_novel: the nearest row is farther than `novelty_distance`.
        novelty_distance: None for a gallery that was never calibrated, which calls nothing novel.
    """

    label: str | None
    votes: tuple[Vote, ...]
    neighbours: tuple[Neighbour, ...]
    is_novel: bool
    novelty_distance: float | None


@dataclass(frozen=True)
class Enrolment:
    """How many images were added, and how many were there already under the same label."""

    added: int
    known: int


@dataclass(frozen=True)
class LabelCount:
    """How many rows of each source a class has."""

    label: str
    pipeline: int
    enrolled: int


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery holds.

    Attributes:
        address: where it is.
        pipeline: rows from the pipeline.
        enrolled: rows that were enrolled.
        labels: different classes.
        dimensions: of the vectors.
        model: fingerprint of the model that made them.
        novelty_distance: see `Classification`.
        novelty_share: of validation samples that lie within that distance.
        bytes: on disk, replaced versions included; None on an object store.
        index: None while searches are exact.
    """

    address: str
    pipeline: int
    enrolled: int
    labels: int
    dimensions: int
    model: str
    novelty_distance: float | None
    novelty_share: float | None
    bytes: int | None
    index: IndexInfo | None


class Gallery:
    """A gallery as of the moment it was opened, and the model to ask it with.

    What this process enrols and removes is seen at once; what others write, after `refresh`.
    """

    def __init__(self, table: GalleryTable, model: "Model | None") -> None:
        self.table = table
        self._model = model
        self._searcher = Searcher(table)
        if model is not None:
            self._check_model()

    @classmethod
    def open(cls, address: Path | str = ADDRESS, model: "Model | None" = None) -> Self:
        """Open a gallery.

        Args:
            address: a folder, or any address that LanceDB takes, such as `s3://bucket/gallery`.
            model: the one that made it; needed for images, not for `info`, `labels` and `remove`.

        Raises:
            InputError: there is no gallery, it cannot be read, or another model made it.
        """
        return cls(GalleryTable.open(address), model)

    @classmethod
    def create(cls, address: Path | str, model: "Model") -> Self:
        """Make an empty gallery, to be filled by `enroll` alone; it calls nothing novel.

        Raises:
            InputError: there is one already.
        """
        from siamese.gallery.fingerprint import fingerprint

        with writing(address):
            if GalleryTable.find(address) is not None:
                raise InputError(f"{address}: a gallery is there already; open it")
            metadata = {"model": fingerprint(model)}
            table = GalleryTable.replace(address, model.params.embedding_dim, [], metadata)
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
        """The distance to the nearest row beyond which an image is unlike anything."""
        stored = self.table.metadata.get("novelty_distance")
        return None if stored is None else float(stored)

    def classify(
        self, images: Images, k: int = VOTERS, exact: bool = False
    ) -> list[Classification]:
        """Let the k nearest rows vote for the class of each image.

        The votes are those of `siamese.measures.knn.class_ranking`: of classes with equally many
        the one whose nearest voter is nearer comes first.

        Args:
            images: files, or uint8 `[N, size, size, 3]`.
            k: neighbours that vote, from 1 to the number of rows.
            exact: search without the index, if the gallery has one.

        Returns:
            One answer an image, in order.

        Raises:
            InputError: k is out of range, an image cannot be read or is of another size.
        """
        return self.classify_embeddings(self._embed(images), k, exact)

    def classify_embeddings(
        self, embeddings: np.ndarray, k: int = VOTERS, exact: bool = False
    ) -> list[Classification]:
        """Do what `classify` does for embeddings, float32 `[N, D]`, that the same model made."""
        limit = self.novelty_distance
        answers = []
        for neighbours, ranking in self._vote(embeddings, k, exact):
            shares = [
                Vote(label, sum(one.label == label for one in neighbours) / k) for label in ranking
            ]
            is_novel = limit is not None and neighbours[0].distance > limit
            answers.append(
                Classification(
                    label=None if is_novel else shares[0].label,
                    votes=tuple(shares),
                    neighbours=neighbours,
                    is_novel=is_novel,
                    novelty_distance=limit,
                )
            )
        return answers

    def search(
        self, images: Images, k: int = 10, exact: bool = False
    ) -> list[tuple[Neighbour, ...]]:
        """Find the k nearest rows to each image; arguments and errors as of `classify`."""
        return [neighbours for neighbours, _ in self._vote(self._embed(images), k, exact)]

    def verify(self, left: Images, right: Images, far: float | None = None) -> list[Verdict]:
        """Decide of each left image and its right one whether they show the same class.

        Args:
            left: files, or uint8 `[N, size, size, 3]`.
            right: as many.
            far: the false-accept rate allowed; see `siamese.gallery.verdict.decide`.

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
        """Add labelled images, of new classes too; nothing is trained.

        An image that is there already under the same label changes nothing. All are added in one
        commit, or none.

        Args:
            images: files, or uint8 `[N, size, size, 3]`.
            labels: one for all, or one an image.
            files: where images that are given as an array came from.

        Raises:
            InputError: a label is missing or empty, an image cannot be read, or the gallery has
                been built anew by another model in the meantime.
        """
        pixels = self._pixels(images)
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
        if not all(label.strip() for label in labels):
            raise InputError("a label is empty; expected the name of a class")
        numbers = [enrolled_number(*pair) for pair in zip(pixels, labels, strict=True)]
        rows = Rows(
            numbers=np.array(numbers, dtype=np.int64),
            vectors=self._embed(pixels),
            labels=labels,
            superclasses=[None] * len(pixels),
            files=files,
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
        """Remove enrolled rows by exactly one of label, file and number; return how many.

        Rows of the pipeline stay: the next build would bring them back.

        Raises:
            InputError: nothing enrolled is meant.
        """
        given = {"label": label, "file": file, "number": number}
        chosen = [(name, value) for name, value in given.items() if value is not None]
        if len(chosen) != 1:
            raise InputError("expected exactly one of label, file and number to remove by")
        [(name, value)] = chosen
        matching = one_of(name, [value])
        with writing(self.table.address):
            self.refresh()
            removed = self.table.delete(f"{matching} AND source = 'enrolled'")
            left = 0 if removed else self.table.table.count_rows(matching)
        if left:
            raise InputError(
                f"{name} {value!r}: {left} rows, all from the pipeline, where the next build would"
                " bring them back; only enrolled rows are removed"
            )
        if not removed:
            raise InputError(f"{name} {value!r}: no row of {self.table.address} has it")
        return removed

    def labels(self) -> list[LabelCount]:
        """Return every class of the gallery with its rows, by name."""
        table = self.table.read(["label", "source"])
        counted = table.group_by(["label", "source"]).aggregate([([], "count_all")]).to_pylist()
        counts: dict[str, dict[str, int]] = {}
        for entry in counted:
            counts.setdefault(entry["label"], {})[entry["source"]] = entry["count_all"]
        return [
            LabelCount(label, by_source.get("pipeline", 0), by_source.get("enrolled", 0))
            for label, by_source in sorted(counts.items())
        ]

    def info(self) -> GalleryInfo:
        """Return what the gallery holds."""
        labels = self.labels()
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
            index=index_of(self.table),
        )

    def images(self, numbers: Sequence[int]) -> np.ndarray:
        """Return the stored images of rows, uint8 `[n, H, W, 3]`, in the order of `numbers`.

        Raises:
            InputError: one has none, or is not there.
        """
        found = self.table.lookup(np.array(numbers, dtype=np.int64), ["image"]).to_pylist()
        stored = {row["number"]: row["image"] for row in found}
        pictures = []
        for number in numbers:
            content = stored.get(number)
            if content is None:
                raise InputError(f"{self.table.address}: row {number} has no image")
            pictures.append(decode_png(content))
        return np.stack(pictures)

    def refresh(self) -> None:
        """See what other processes have written since the gallery was opened.

        Raises:
            InputError: another model has made the gallery anew.
        """
        self.table.refresh()
        if self._model is not None:
            self._check_model()

    @cached_property
    def _fingerprint(self) -> str:
        from siamese.gallery.fingerprint import fingerprint

        return fingerprint(self.model)

    def _check_model(self) -> None:
        if self.table.metadata.get("model") != self._fingerprint:
            raise InputError(
                f"{self.table.address}: another model made this gallery, and distances between the"
                " embeddings of two models mean nothing; run `siamese gallery build`, which embeds"
                " what was enrolled anew"
            )

    def _pixels(self, images: Images) -> np.ndarray:
        return pixels_of(images, self.model)

    def _embed(self, images: Images) -> np.ndarray:
        pixels = self._pixels(images)
        if not len(pixels):
            return np.empty((0, self.table.dimensions), dtype=np.float32)
        return self.model.embed(pixels)

    def _vote(
        self, queries: np.ndarray, k: int, exact: bool
    ) -> Iterator[tuple[tuple[Neighbour, ...], list[str]]]:
        """Yield for each query, float32 `[D]`, its neighbours and their classes by votes."""
        if not len(queries):
            return
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


def verify(model: "Model", left: Images, right: Images, far: float | None = None) -> list[Verdict]:
    """Do what `Gallery.verify` does; no gallery is needed for it."""
    from siamese.measures.verification import pair_distances

    first, second = pixels_of(left, model), pixels_of(right, model)
    if len(first) != len(second):
        raise InputError(f"{len(first)} images are to be compared with {len(second)}, one by one")
    embeddings = model.embed(np.concatenate([first, second]))
    rows = np.arange(len(first))
    distances = pair_distances(embeddings, rows, rows + len(first))
    return [decide(distance, model.calibration, far) for distance in distances.tolist()]


def pixels_of(images: Images, model: "Model") -> np.ndarray:
    """Return images as the model wants them, read from their files if need be.

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


def encode_png(image: np.ndarray) -> bytes:
    """Return an image, uint8 `[H, W, 3]`, as the bytes of a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    return stream.getvalue()


def decode_png(content: bytes) -> np.ndarray:
    """Return what `encode_png` was given."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
