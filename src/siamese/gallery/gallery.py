"""Ask a gallery: what is this, what resembles it, do these two show the same class? And add to it.

    from siamese import Gallery, load_model

    gallery = Gallery.open("data/gallery", load_model("data/model"))
    [answer] = gallery.classify(["photo.png"])

Images are given as files, or as uint8 `[N, size, size, 3]`, each made by
`siamese.images.reading.load_image`. Nothing heavy is imported before it is needed.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from siamese.base.errors import InputError
from siamese.gallery.answers import (
    ClassifiedImage,
    Enrolment,
    GalleryInfo,
    LabelCount,
    Neighbour,
    Vote,
)
from siamese.gallery.defaults import ADDRESS, VOTERS
from siamese.gallery.model_hash import model_hash
from siamese.gallery.png import decode_png, encode_png
from siamese.gallery.rows import Rows, enrolled_number
from siamese.gallery.search import Searcher
from siamese.gallery.table import IS_ENROLLED, GalleryTable, local_folder, one_of, writing
from siamese.gallery.verdict import Verdict, decide
from siamese.measures.knn import class_ranking

if TYPE_CHECKING:  # torch takes a second or two, and listing labels need not wait for it
    from siamese.model.folder import Model

# Classes named in an answer, at most.
TOP = 5

Images = np.ndarray | Sequence[Path | str]


class Gallery:
    """A gallery as it was when opened, and the model that embeds the images asked about.

    It sees at once what this process enrols and removes; what others write, after `refresh`.
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
            if GalleryTable.find(address) is not None:
                raise InputError(f"{address}: there is a gallery already; open it")
            metadata = {"model": model_hash(model)}
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
        """The distance to the nearest row beyond which an image is unlike anything, or None."""
        stored = self.table.metadata.get("novelty_distance")
        return None if stored is None else float(stored)

    def classify(
        self, images: Images, k: int = VOTERS, exact: bool = False
    ) -> list[ClassifiedImage]:
        """Let the k nearest rows vote for the class of each image.

        The votes are those of `siamese.measures.knn.class_ranking`: of classes with equally many
        votes, the one with the nearer voter comes first.

        Args:
            images: files, or uint8 `[N, size, size, 3]`.
            k: neighbours that vote, from 1 to the number of rows.
            exact: search without the index, if the gallery has one.

        Returns:
            One answer per image, in order.

        Raises:
            InputError: k is out of range, an image cannot be read or is of another size.
        """
        return self.classify_embeddings(self._embed(images), k, exact)

    def classify_embeddings(
        self, embeddings: np.ndarray, k: int = VOTERS, exact: bool = False
    ) -> list[ClassifiedImage]:
        """Do what `classify` does for embeddings, float32 `[N, D]`, of the same model."""
        limit = self.novelty_distance
        answers = []
        for neighbours, ranking in self._vote(embeddings, k, exact):
            shares = [
                Vote(label, sum(one.label == label for one in neighbours) / k) for label in ranking
            ]
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
        self, images: Images, k: int = 10, exact: bool = False
    ) -> list[tuple[Neighbour, ...]]:
        """Find the k nearest rows to each image; arguments and errors as of `classify`."""
        return [neighbours for neighbours, _ in self._vote(self._embed(images), k, exact)]

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
            InputError: a label is missing or empty, an image cannot be read, or another model has
                rebuilt the gallery in the meantime.
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
        """Remove the enrolled rows of one label, file or number; return how many.

        Rows of the pipeline stay: the next build would bring them back.

        Raises:
            InputError: not exactly one of the three is given, or no enrolled row has it.
        """
        given = {"label": label, "file": file, "number": number}
        chosen = [(name, value) for name, value in given.items() if value is not None]
        if len(chosen) != 1:
            raise InputError("expected exactly one of label, file and number to remove by")
        [(name, value)] = chosen
        matching = one_of(name, [value])
        with writing(self.table.address):
            self.refresh()
            removed = self.table.delete(f"{matching} AND {IS_ENROLLED}")
            left = 0 if removed else self.table.lance.count_rows(matching)
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
        counts = {(row["label"], row["source"]): row["count_all"] for row in counted}
        return [
            LabelCount(
                label, counts.get((label, "pipeline"), 0), counts.get((label, "enrolled"), 0)
            )
            for label in sorted({label for label, _ in counts})
        ]

    def info(self) -> GalleryInfo:
        """Return what the gallery holds."""
        labels = self.labels()
        metadata = self.table.metadata
        share = metadata.get("novelty_share")
        folder = local_folder(self.table.address)
        files = [] if folder is None else [file for file in folder.rglob("*") if file.is_file()]
        return GalleryInfo(
            address=self.table.address,
            pipeline=sum(count.pipeline for count in labels),
            enrolled=sum(count.enrolled for count in labels),
            labels=len(labels),
            dimensions=self.table.dimensions,
            model=metadata.get("model", ""),
            novelty_distance=self.novelty_distance,
            novelty_share=None if share is None else float(share),
            bytes=None if folder is None else sum(file.stat().st_size for file in files),
            index=self.table.index,
        )

    def images(self, numbers: Sequence[int]) -> np.ndarray:
        """Return the stored images of rows, uint8 `[n, H, W, 3]`, in the order of `numbers`.

        Raises:
            InputError: there is no such row, or it has no image.
        """
        found = self.table.lookup(np.array(numbers, dtype=np.int64), ["image"]).to_pylist()
        stored = {row["number"]: row["image"] for row in found}
        for number in numbers:
            if stored.get(number) is None:
                raise InputError(f"{self.table.address}: row {number} has no image")
        return np.stack([decode_png(stored[number]) for number in numbers])

    def refresh(self) -> None:
        """See what other processes have written since the gallery was opened.

        Raises:
            InputError: another model has rebuilt the gallery.
        """
        self.table.refresh()
        if self._model is not None:
            self._check_model()

    @cached_property
    def _model_hash(self) -> str:
        return model_hash(self.model)

    def _check_model(self) -> None:
        if self.table.metadata.get("model") != self._model_hash:
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
        self, queries: np.ndarray, k: int, exact: bool
    ) -> Iterator[tuple[tuple[Neighbour, ...], list[str]]]:
        """Yield for each query, float32 `[D]`, its neighbours and the classes with most votes."""
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
