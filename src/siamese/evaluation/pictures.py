"""The pictures of an evaluation, to be judged at a glance: PNG, equal for equal data."""

import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from siamese.evaluation.pair_histogram import PairHistogram
from siamese.pictures.style import RIGHT, WRONG, cell, plt, readable, save_picture

FORGED = "#bf8700"
# The ticks of a DET curve.
DET_SHARES = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
MOST_NAMED = 60  # classes that a confusion picture has names and numbers for
MOST_DRAWN = 1000  # classes that it is drawn for: there are no more pixels


def draw_confusion(
    actual: np.ndarray, predicted: np.ndarray, names: Sequence[str], file: Path
) -> None:
    """Draw which classes are taken for which; more than 60 without their names and numbers.

    Of more than 1,000 nothing could be seen: a sentence is drawn instead. Labels are int64 `[Q]`.
    """
    if len(names) > MOST_DRAWN:
        draw_sentence(f"{len(names):,} classes are too many to draw: see metrics/classes.csv", file)
        return
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (actual, predicted), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    is_named = len(names) <= MOST_NAMED
    side = 2.5 + 0.38 * len(names) if is_named else 8
    picture, axes = plt.subplots(figsize=(side + 1.2, side))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    share_right = np.mean(actual == predicted)
    axes.set(
        xlabel="predicted",
        ylabel="actual",
        title=f"{share_right:.1%} of {len(actual):,} test images are right",
    )
    if is_named:
        _name_confusions(axes, shares, [readable(name) for name in names])
    else:
        axes.set(xticks=[], yticks=[])
    picture.colorbar(image, ax=axes, fraction=0.046, pad=0.02, label="share of the actual class")
    save_picture(picture, file)


def draw_rows(
    images: np.ndarray,
    names: np.ndarray,
    headline: str,
    file: Path,
    row_labels: Sequence[str] = (),
) -> None:
    """Draw rows of a query and its nearest, these framed by right or wrong.

    Args:
        images: uint8 `[Q, 1 + K, H, W, 3]`, the query first, then its neighbours, nearest first.
        names: of their classes, str `[Q, 1 + K]`.
        headline: above all rows.
        file: PNG to write.
        row_labels: beside each row, `Q` of them or none.
    """
    n_rows, n_columns = names.shape
    wide, high = cell(images)
    row_height = 1.17 + 0.8 * (high - 1)
    figsize = 1.05 * wide * n_columns, 0.5 + row_height * n_rows
    picture, grid = plt.subplots(n_rows, n_columns, figsize=figsize, squeeze=False)
    for row in range(n_rows):
        query_axes, *others = grid[row]
        query_name, *other_names = names[row]
        _draw_image(query_axes, images[row, 0], query_name, "black", 1, "bold")
        for axes, image, name in zip(others, images[row, 1:], other_names, strict=True):
            _draw_image(axes, image, name, RIGHT if name == query_name else WRONG)
        for axes in grid[row]:
            _shrink(axes.title, 0.9 * wide)
        if row_labels:
            label = query_axes.set_ylabel(row_labels[row], fontsize=7, color=WRONG)
            _shrink(label, 0.85 * row_height)
    _add_headline(picture, headline)
    save_picture(picture, file)


def draw_pairs(
    images: np.ndarray,
    names: np.ndarray,
    distances: np.ndarray,
    threshold: float,
    file: Path,
    are_forged: bool = False,
) -> None:
    """Draw the pairs that verification finds hardest, like ones at the left, unlike at the right.

    Args:
        images: of both members of each pair, uint8 `[2, n, 2, H, W, 3]`: like pairs, then unlike
            ones, the hardest first.
        names: of their classes, str `[2, n, 2]`.
        distances: of the pairs, floats `[2, n]`.
        threshold: up to which a pair is accepted as one class; what it decides wrong is red.
        file: PNG to write.
        are_forged: whether the unlike pairs are of an image and a forgery of it.
    """
    unlike = "those of two classes that are nearest"
    if are_forged:
        unlike = "the forgeries that are nearest to what they pretend to be"
    n_pairs = images.shape[1]
    wide, high = cell(images)
    figsize = 6.2 * wide, 0.9 + (1.3 + 0.8 * (high - 1)) * n_pairs
    picture, grid = plt.subplots(
        n_pairs, 5, figsize=figsize, squeeze=False, width_ratios=[3, 3, 1, 3, 3]
    )
    for axes in grid[:, 2]:
        axes.set_axis_off()
    for is_unlike, row in np.ndindex(2, n_pairs):
        distance = distances[is_unlike, row]
        color = WRONG if (distance <= threshold) == bool(is_unlike) else RIGHT
        members = grid[row, 3 * is_unlike :][:2]
        for axes, image, name in zip(
            members, images[is_unlike, row], names[is_unlike, row], strict=True
        ):
            _draw_image(axes, image, name, color)
            _shrink(axes.title, 1.2 * wide)
        members[0].set_ylabel(f"{distance:.3f} apart", fontsize=7, color=color)
    _add_headline(
        picture,
        f"The test pairs of one class that are farthest apart (left), and {unlike} (right):"
        f" red what the threshold of {threshold:.3f} decides wrong",
    )
    save_picture(picture, file)


def draw_sentence(sentence: str, file: Path) -> None:
    """Draw a sentence in place of a picture that would be empty."""
    picture = plt.figure(figsize=(6, 1.2))
    picture.text(0.5, 0.5, sentence, ha="center", va="center")
    save_picture(picture, file)


def draw_verification(
    roc: pd.DataFrame,
    distances: pd.DataFrame,
    file: Path,
    skilled: PairHistogram | None = None,
    which: str = "all pairs of test images",
) -> None:
    """Draw the ROC, the DET curve, and the distances of both kinds of pairs.

    Of the ROC, false accepts are on a logarithmic scale. The detection error tradeoff (Martin et
    al., *The DET Curve in Assessment of Detection Task Performance*, 1997) has both error rates on
    the scale of the normal deviate, on which distances of normal distribution give a straight line.

    Args:
        roc: the table of `metrics/roc.csv`.
        distances: the table of `metrics/distances.csv`.
        file: PNG to write.
        skilled: pairs of an image and a forgery of it, which are then drawn beside, in the bins of
            `distances`.
        which: what the pairs of `roc` are.
    """
    picture, (rates, errors, histogram) = plt.subplots(1, 3, figsize=(13.2, 3.6))
    accepted = roc[roc["far"] > 0]
    curves = [(accepted, "black", which)]
    if skilled:
        curves.append((skilled.roc(), FORGED, "against forgeries"))
    for curve, color, label in curves:
        rates.plot(curve["far"], curve["tar"], color=color, label=label)
    _draw_det(errors, curves)
    rates.plot(accepted["far"], accepted["far"], color="grey", ls=":", label="chance")
    rates.set(
        xscale="log",
        ylim=(0, 1.02),
        xlabel="false accepts, share of unlike pairs",
        ylabel="true accepts, share of like pairs",
        title="ROC",
    )
    distance = distances["distance"]
    shares = [
        ("unlike pairs", distances["unlike"], WRONG),
        ("like pairs", distances["like"], RIGHT),
    ]
    if skilled:
        shares.append(("forgeries", skilled.distances()["unlike"], FORGED))
    for label, share, color in shares:
        histogram.fill_between(distance, share, color=color, alpha=0.3, step="mid")
        histogram.step(distance, share, color=color, where="mid", label=label)
    histogram.set(
        ylim=(0, None), xlabel="distance", ylabel="share of the pairs of a kind", title="distances"
    )
    for axes in (rates, errors, histogram):
        axes.grid(alpha=0.3)
        axes.legend()
    save_picture(picture, file)


def _draw_det(axes: Axes, curves: Sequence[tuple[pd.DataFrame, str, str]]) -> None:
    """Draw error rates on axes of the normal deviate, each curve a table, a colour and a label."""
    from scipy.special import ndtri  # the normal deviate of a share

    deviates = []
    for curve, color, label in curves:
        far, frr = curve["far"].to_numpy(), 1 - curve["tar"].to_numpy()
        is_inside = (far > 0) & (far < 1) & (frr > 0) & (frr < 1)  # the ends lie at infinity
        deviates.append(ndtri([far[is_inside], frr[is_inside]]))
        axes.plot(*deviates[-1], color=color, label=label)
    drawn = np.concatenate([ndtri([[0.01, 0.5]] * 2), *deviates], axis=1)
    ends = [drawn.min() - 0.2, drawn.max() + 0.2]
    axes.plot(ends, ends, color="grey", ls=":", label="equal error rates")
    shares = np.array(DET_SHARES)
    places = ndtri(shares)
    is_seen = (places >= ends[0]) & (places <= ends[1])
    names = [f"{share:.4%}".rstrip("0%").rstrip(".") + " %" for share in shares[is_seen]]
    axes.set_xticks(places[is_seen], names, rotation=45)
    axes.set_yticks(places[is_seen], names)
    axes.set(
        xlim=ends,
        ylim=ends,
        xlabel="false accepts",
        ylabel="false rejects",
        title="DET",
    )


def _draw_image(
    axes: Axes, image: np.ndarray, name: str, color: str, frame: float = 2.5, weight: str = "normal"
) -> None:
    """Draw one image of a sheet with the name of its class and its frame, `frame` points wide."""
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(color)
        spine.set_linewidth(frame)
    axes.set_title(readable(name), fontsize=7, color=color, pad=2, fontweight=weight)


def _shrink(text: Text, room: float) -> None:
    """Make letters small enough for `room` in inches, along the line or, turned, upwards."""
    with warnings.catch_warnings():  # of letters that are boxes `save_picture` tells
        warnings.simplefilter("ignore", UserWarning)
        box = text.get_window_extent()
    length = (box.height if text.get_rotation() else box.width) / text.figure.dpi
    if length > room:
        text.set_fontsize(float(text.get_fontsize()) * room / length)


def _name_confusions(axes: Axes, shares: np.ndarray, labels: Sequence[str]) -> None:
    """Write names beside the axes, and shares of at least half a per cent into the cells."""
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        color = "white" if share > 0.5 else "black"
        text = f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)


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
