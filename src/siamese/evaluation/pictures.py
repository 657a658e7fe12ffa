"""The pictures of an evaluation, to be judged at a glance: PNG, equal for equal data."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from siamese.evaluation.class_table import confusion_counts
from siamese.pictures.style import RIGHT, WRONG, plt, readable, save_picture

MOST_NAMED = 60  # classes that a confusion picture has names and numbers for
MOST_DRAWN = 1000  # classes that it is drawn for: there are no more pixels


def draw_confusion(
    actual: np.ndarray, predicted: np.ndarray, names: Sequence[str], file: Path
) -> None:
    """Draw which classes are taken for which; more than 60 without their names and numbers.

    Of more than 1,000 nothing could be seen: a sentence is drawn instead.

    Args:
        actual: int64 `[Q]`, labels.
        predicted: int64 `[Q]`.
        names: of the labels, in order.
        file: PNG to write.
    """
    if len(names) > MOST_DRAWN:
        draw_sentence(f"{len(names):,} classes are too many to draw: see metrics/classes.csv", file)
        return
    found = confusion_counts(actual, predicted)
    counts = np.zeros((len(names), len(names)))
    counts[found["actual"], found["predicted"]] = found["queries"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    is_named = len(names) <= MOST_NAMED
    side = 2.5 + 0.38 * len(names) if is_named else 8
    picture, axes = plt.subplots(figsize=(side + 1.2, side))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(f"{np.mean(actual == predicted):.1%} of {len(actual):,} test images are right")
    if is_named:
        _name_confusions(axes, shares, [readable(name) for name in names])
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    picture.colorbar(image, ax=axes, fraction=0.046, pad=0.02, label="share of the actual class")
    save_picture(picture, file)


def draw_neighbours(
    queries: np.ndarray,
    query_names: Sequence[str],
    neighbours: np.ndarray,
    neighbour_names: Sequence[Sequence[str]],
    file: Path,
    source: str = "in the gallery",
) -> None:
    """Draw queries, each with its nearest gallery images in a row, framed by right or wrong.

    Args:
        queries: uint8 `[Q, H, W, 3]`.
        query_names: `Q` class names.
        neighbours: uint8 `[Q, K, H, W, 3]`, nearest first.
        neighbour_names: class names, `Q` times `K`.
        file: PNG to write.
        source: where the neighbours are from, for the headline.
    """
    _draw_rows(
        queries,
        query_names,
        neighbours,
        neighbour_names,
        f"A test image (left) and its {neighbours.shape[1]} nearest {source}:"
        " green the same class, red another",
        file,
    )


def draw_mistakes(
    queries: np.ndarray,
    query_names: Sequence[str],
    neighbours: np.ndarray,
    neighbour_names: Sequence[Sequence[str]],
    predicted_names: Sequence[str],
    file: Path,
) -> None:
    """Draw queries that were taken for another class, each with the neighbours that led to it.

    Args:
        queries: uint8 `[Q, H, W, 3]`; if there are none, a sentence says so.
        query_names: `Q` class names, the actual ones.
        neighbours: uint8 `[Q, K, H, W, 3]`, nearest first.
        neighbour_names: class names, `Q` times `K`.
        predicted_names: `Q` class names.
        file: PNG to write.
    """
    if not len(queries):
        draw_sentence("No test image was classified wrong", file)
        return
    _draw_rows(
        queries,
        query_names,
        neighbours,
        neighbour_names,
        "The most confident mistakes: a test image, what it was taken for, and its"
        f" {neighbours.shape[1]} nearest in the gallery",
        file,
        [f"taken for\n{readable(name)}" for name in predicted_names],
    )


def draw_pairs(
    images: np.ndarray,
    names: Sequence[Sequence[str]],
    distances: np.ndarray,
    threshold: float,
    file: Path,
) -> None:
    """Draw the pairs that verification finds hardest, like ones at the left, unlike at the right.

    Args:
        images: of both members of each pair, uint8 `[2, n, 2, H, W, 3]`: like pairs, then unlike
            ones, the hardest first.
        names: the members' classes, two for each pair, the `n` like pairs first.
        distances: of the pairs, floats `[2, n]`.
        threshold: up to which a pair is accepted as one class; what it decides wrong is red.
        file: PNG to write.
    """
    n_pairs = images.shape[1]
    picture, grid = plt.subplots(
        n_pairs, 5, figsize=(6.2, 0.9 + 1.3 * n_pairs), squeeze=False, width_ratios=[3, 3, 1, 3, 3]
    )
    for axes in grid[:, 2]:
        axes.set_axis_off()
    for is_unlike in (0, 1):
        for row in range(n_pairs):
            distance = distances[is_unlike, row]
            is_wrong = (distance <= threshold) == bool(is_unlike)
            color = WRONG if is_wrong else RIGHT
            for member in (0, 1):
                axes = grid[row, 3 * is_unlike + member]
                name = readable(names[n_pairs * is_unlike + row][member])
                _draw_image(axes, images[is_unlike, row, member], name, color, 2.5)
            grid[row, 3 * is_unlike].set_ylabel(f"{distance:.3f} apart", fontsize=7, color=color)
    _add_headline(
        picture,
        "The test pairs of one class that are farthest apart (left), and those of two classes that"
        f" are nearest (right): red what the threshold of {threshold:.3f} decides wrong",
    )
    save_picture(picture, file)


def draw_sentence(sentence: str, file: Path) -> None:
    """Draw a sentence in place of a picture that would be empty."""
    picture = plt.figure(figsize=(6, 1.2))
    picture.text(0.5, 0.5, sentence, ha="center", va="center")
    save_picture(picture, file)


def draw_verification(roc: pd.DataFrame, distances: pd.DataFrame, file: Path) -> None:
    """Draw the ROC, false accepts on a logarithmic scale, and the distances of both kinds of pairs.

    Args:
        roc: the content of `metrics/roc.csv`.
        distances: the content of `metrics/distances.csv`.
        file: PNG to write.
    """
    picture, (rates, histogram) = plt.subplots(1, 2, figsize=(9, 3.4))
    accepted = roc[roc["far"] > 0]
    rates.plot(accepted["far"], accepted["tar"], color="black", label="all pairs of test images")
    rates.plot(accepted["far"], accepted["far"], color="grey", ls=":", label="chance")
    rates.set_xscale("log")
    rates.set_ylim(0, 1.02)
    rates.set_xlabel("false accepts, share of unlike pairs")
    rates.set_ylabel("true accepts, share of like pairs")
    rates.set_title("ROC")
    for kind, color in (("unlike", WRONG), ("like", RIGHT)):
        histogram.fill_between(
            distances["distance"], distances[kind], color=color, alpha=0.3, step="mid"
        )
        histogram.step(
            distances["distance"], distances[kind], color=color, where="mid", label=f"{kind} pairs"
        )
    histogram.set_ylim(bottom=0)
    histogram.set_xlabel("distance")
    histogram.set_ylabel("share of the pairs of a kind")
    histogram.set_title("distances")
    for axes in (rates, histogram):
        axes.grid(alpha=0.3)
        axes.legend()
    save_picture(picture, file)


def _draw_rows(
    queries: np.ndarray,
    query_names: Sequence[str],
    neighbours: np.ndarray,
    neighbour_names: Sequence[Sequence[str]],
    headline: str,
    file: Path,
    row_labels: Sequence[str] = (),
) -> None:
    """Draw a row for each query: itself, then its neighbours, framed by right or wrong."""
    n_queries, k = neighbours.shape[:2]
    picture, grid = plt.subplots(
        n_queries, k + 1, figsize=(1.05 * (k + 1), 0.5 + 1.17 * n_queries), squeeze=False
    )
    for row in range(n_queries):
        cells = zip(
            grid[row],
            [queries[row], *neighbours[row]],
            [query_names[row], *neighbour_names[row]],
            strict=True,
        )
        for column, (axes, image, name) in enumerate(cells):
            is_query = column == 0
            color = "black" if is_query else RIGHT if name == query_names[row] else WRONG
            weight = "bold" if is_query else "normal"
            _draw_image(axes, image, readable(name), color, 1 if is_query else 2.5, weight)
        if row_labels:
            grid[row, 0].set_ylabel(row_labels[row], fontsize=7, color=WRONG)
    _add_headline(picture, headline)
    save_picture(picture, file)


def _draw_image(
    axes: Axes, image: np.ndarray, title: str, color: str, frame: float, weight: str = "normal"
) -> None:
    """Draw one image of a sheet with its title and its frame, `frame` points wide."""
    axes.imshow(image, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(color)
        spine.set_linewidth(frame)
    axes.set_title(title, fontsize=7, color=color, pad=2, fontweight=weight)


def _name_confusions(axes: Axes, shares: np.ndarray, labels: Sequence[str]) -> None:
    """Write names beside the axes, and shares of at least half a per cent into the cells."""
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share > 0.5 else "black",
        )


def _add_headline(picture: Figure, headline: str) -> None:
    """Write a headline, in several lines if the picture is too narrow for one."""
    title = picture.suptitle(headline, fontsize=9)
    share = title.get_window_extent().width / picture.bbox.width
    if share > 0.97:
        # Letters differ in width: lines of nine tenths of what fits on average do fit.
        lines = textwrap.wrap(headline, math.floor(0.9 * len(headline) / share))
        title.set_text("\n".join(lines))
        width, height = picture.get_size_inches()
        picture.set_size_inches(width, height + 0.15 * (len(lines) - 1))
