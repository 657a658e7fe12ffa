"""What a gallery answers: neighbours, votes, counts. Plain values that go to JSON as they are."""

from dataclasses import dataclass

from siamese.gallery.rows import Source
from siamese.gallery.table import IndexInfo


@dataclass(frozen=True)
class Neighbour:
    """A row of the gallery, and its distance to an image.

    Attributes:
        number: of the row: a sample number, or one from 2⁶² up for an enrolled row.
        label: its class.
        superclass: None where the data has none.
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
    """A class that neighbours voted for, and its share of the votes."""

    label: str
    share: float


@dataclass(frozen=True)
class ClassifiedImage:
    """The class of one image, by a vote of its nearest neighbours.

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
    """How many images were added, and how many the gallery already had under the same label."""

    added: int
    known: int


@dataclass(frozen=True)
class LabelCount:
    """How many rows a class has from each source."""

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
        labels: number of classes.
        dimensions: of the vectors.
        model: hash of the model that made them; see `siamese.gallery.model_hash`.
        novelty_distance: see `ClassifiedImage`.
        novelty_share: share of the validation samples within that distance.
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
