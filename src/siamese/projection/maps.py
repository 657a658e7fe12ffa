"""Maps of a gallery: by its principal components, or by t-SNE computed beforehand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from siamese.base.errors import InputError
from siamese.gallery.rows import vectors_of
from siamese.gallery.table import GalleryTable
from siamese.measures.knn import nearest
from siamese.projection.map_file import FILE, IDENTITY, Layout, load_layout, save_layout
from siamese.projection.plane import fit_plane
from siamese.projection.points import (
    ENROLLED,
    PIPELINE,
    POINTS,
    QUERY,
    Points,
    choose,
    evenly,
    read_rows,
    read_vectors,
)
from siamese.projection.queries import Queries, find_queries
from siamese.projection.tsne import spread_out

# An enrolled row stands amid this many mapped rows of the gallery that are nearest to it.
AMID = 5
FEWEST = 3


@dataclass(frozen=True)
class Map:
    """Points and their places.

    Attributes:
        points: what is shown.
        places: float64 or float32 `[n, 2]`.
        superclass_of: of each class of the gallery that has one, by name.
        explained: the share of the variance along each axis; None if axes mean nothing.
        notes: sentences on what is shown of how much, and on what is missing.
    """

    points: Points
    places: np.ndarray
    superclass_of: dict[str, str]
    explained: tuple[float, float] | None
    notes: list[str]


def principal_map(table: GalleryTable, workspace: Path, prepared: Path) -> Map:
    """Place rows and test images by the principal components of the whole gallery.

    Args:
        table: the gallery.
        workspace: the project's folder, for the test images.
        prepared: the data set's folder, for the names of their classes.

    Raises:
        InputError: a file is damaged.
    """
    rows = read_rows(table)
    queries, notes = find_queries(workspace, prepared, table.metadata)
    points = choose(rows, queries)
    parts = (vectors_of(batch.column("vector")) for batch in table.batches(["vector"]))
    plane = fit_plane(parts, table.dimensions)
    places = plane.place(_vectors(table, points, queries))
    explained = (float(plane.explained[0]), float(plane.explained[1]))
    shown = _shown(points, rows, queries)
    return Map(points, places, _superclasses(rows), explained, [*shown, *notes])


def computed_map(table: GalleryTable, workspace: Path, prepared: Path) -> Map:
    """Return the map that `compute_map` wrote, enrolled rows placed amid their nearest.

    Args:
        table: the gallery.
        workspace: the project's folder.
        prepared: as of `principal_map`.

    Raises:
        InputError: there is none, or it is of other embeddings; or a file is damaged.
    """
    layout = load_layout(workspace / FILE, table.metadata)
    rows = read_rows(table)
    queries, notes = find_queries(workspace, prepared, table.metadata)
    gallery = Points.of_rows(rows)
    pipeline = gallery[np.isin(gallery.numbers, layout.numbers[~layout.is_query])]
    enrolled = gallery[gallery.kinds == ENROLLED]
    enrolled = enrolled[evenly(enrolled.labels, POINTS)]
    points = pipeline.joined(enrolled)
    if queries is not None:
        asked = Points.of_queries(queries)
        points = points.joined(asked[np.isin(asked.numbers, layout.numbers[layout.is_query])])
    places = np.empty((len(points), 2))
    for is_query, kind in ((False, PIPELINE), (True, QUERY)):
        own = layout.is_query == is_query
        order = np.argsort(layout.numbers[own])
        wanted = points.numbers[points.kinds == kind]
        found = order[np.searchsorted(layout.numbers[own], wanted, sorter=order)]
        places[points.kinds == kind] = layout.places[own][found]
    if len(enrolled) and len(pipeline):
        amid, _ = nearest(
            read_vectors(table, pipeline.numbers),
            read_vectors(table, enrolled.numbers),
            min(AMID, len(pipeline)),
        )  # (E, AMID)
        places[points.kinds == ENROLLED] = places[: len(pipeline)][amid].mean(axis=1)
        notes = [f"Enrolled images stand amid the {amid.shape[1]} images nearest to them.", *notes]
    shown = _shown(points, rows, queries)
    return Map(points, places, _superclasses(rows), None, [*shown, *notes])


def compute_map(
    table: GalleryTable,
    workspace: Path,
    prepared: Path,
    limit: int = POINTS,
    seed: int = 0,
    on_step: Callable[[int], object] = lambda step: None,
) -> tuple[Layout, list[str]]:
    """Compute places by t-SNE and write them to `data/map.parquet` of the workspace.

    Args:
        table: the gallery.
        workspace: the project's folder.
        prepared: as of `principal_map`.
        limit: of the points.
        seed: see `siamese.projection.tsne.spread_out`.
        on_step: as there.

    Returns:
        What was written, and sentences on what is missing.

    Raises:
        InputError: the gallery has too few rows of the pipeline, the limit or the seed is out of
            range, or a file is damaged.
    """
    rows = read_rows(table)
    of_pipeline = rows[rows["source"] == PIPELINE]
    if len(of_pipeline) < FEWEST or any(key not in table.metadata for key in IDENTITY):
        raise InputError(
            f"{table.address}: {len(of_pipeline)} rows from the pipeline; expected at least"
            f" {FEWEST} to make a map of. `siamese gallery build` adds them"
        )
    if limit < FEWEST:
        raise InputError(f"{limit} points make no map; expected at least {FEWEST}")
    if not 0 <= seed < 2**32:
        raise InputError(f"the seed is {seed}; expected 0 to {2**32 - 1}")
    queries, notes = find_queries(workspace, prepared, table.metadata)
    points = choose(of_pipeline, queries, limit)
    places = spread_out(_vectors(table, points, queries), seed, on_step)
    layout = Layout(points.numbers, points.kinds == QUERY, places)
    save_layout(layout, table.metadata, workspace / FILE)
    return layout, notes


def _vectors(table: GalleryTable, points: Points, queries: Queries | None) -> np.ndarray:
    """Return the vectors of points, float32 `[n, D]`."""
    is_query = points.kinds == QUERY
    of_rows = read_vectors(table, points.numbers[~is_query])
    if queries is None:
        return of_rows
    chosen = np.searchsorted(queries.samples, points.numbers[is_query])
    return np.concatenate([of_rows, queries.vectors[chosen]])


def _superclasses(rows: pd.DataFrame) -> dict[str, str]:
    known = rows[["label", "superclass"]].dropna().drop_duplicates("label")
    return dict(zip(known["label"], known["superclass"], strict=True))


def _shown(points: Points, rows: pd.DataFrame, queries: Queries | None) -> list[str]:
    """Say how many there are, where not all are shown."""
    totals = {"gallery": len(rows), "test": 0 if queries is None else len(queries.samples)}
    n_queries = int((points.kinds == QUERY).sum())
    shown = {"gallery": len(points) - n_queries, "test": n_queries}
    parts = [
        f"{shown[name]:,} of {totals[name]:,} {name} images"
        for name in totals
        if shown[name] < totals[name]
    ]
    return [f"On the map: {' and '.join(parts)}, evenly of every class."] if parts else []
