"""The balanced pairs of a data set: what training compares, batch by batch, and what verifies it.

Classes are dealt to batches, samples to pairs: see `decks`. The manifests' promises are in
`draw_training` and `draw_fixed`.
"""

from bisect import bisect_right

import numpy as np
import pandas as pd

from siamese.base.dataset import Dataset
from siamese.base.errors import InputError
from siamese.base.progress import progress_bar
from siamese.pairs.decks import Decks, meet_within
from siamese.pairs.forgeries import Forgeries
from siamese.pairs.params import PairsParams

# Numbers the random streams. An epoch's generator is default_rng([seed, stream, epoch]), so that
# the first 8 epochs of 16 are the ones of a run with 8. `novel` is the second half of test.
STREAMS = {"train": 0, "validation": 1, "test": 2, "novel": 3}
# Forgeries are drawn by default_rng([seed, 4, stream, epoch]), so that other pairs stay.
FORGED_STREAM = 4


def draw_training(dataset: Dataset, params: PairsParams, progress: bool = False) -> pd.DataFrame:
    """Draw every pair that training will see, for every epoch that it may run.

    Every batch has exactly `batch_size` pairs, half of them `same`, of exactly `classes_per_batch`
    classes, each in a like and in an unlike pair. No pair is of a sample with itself or its exact
    copy. In an epoch all classes are in equally many batches within one, and in equally many pairs
    within a few, as far as their batches allow. No pair comes twice in an epoch, unless a class, or
    two classes, have fewer different pairs than the epoch takes: then they repeat all of them
    equally often within one. The samples of a class are used about equally often.

    Where there are forgeries, the share `pairs.forged` of the unlike pairs of every batch, its last
    ones, give way to pairs of a genuine sample and a forgery of its class: of classes that the
    batch has anyway, equally often within one. A batch of classes without forgeries keeps its own.
    No such pair comes twice in an epoch while its class has others.

    Args:
        dataset: the prepared data; only samples of the split `train` are used, and no image.
        params: how much to draw.
        progress: show a bar over the epochs, on a terminal.

    Returns:
        `epoch`, `batch` (int32), `left`, `right` (sample numbers, int64) and `same` (bool), in
        batch order, in each batch the like pairs first.

    Raises:
        InputError: there are fewer classes than a batch has, or a class has no like pair.
    """
    decks = Decks.of(dataset, dataset.rows("train"), "the split `train`")
    if params.classes_per_batch > decks.n_classes:
        raise InputError(
            f"`pairs.classes_per_batch` is {params.classes_per_batch}, but the split `train` has"
            f" only {decks.n_classes} classes; lower it to at most that"
        )
    # A class with a like pair has an unlike pair with any other class too: of two samples that are
    # no copies of each other, one at least is no copy of a third.
    for column in np.flatnonzero(decks.like_supply() == 0)[:1]:
        size = int(decks.sizes[column])
        raise InputError(
            f"class `{decks.names[column]}` with {size} sample{'s' * (size != 1)} in {decks.name}"
            " has no like pair of samples that are not exact copies of each other; add samples or"
            " leave the class out (`prepare.validation` and `prepare.test` set the other splits'"
            " shares)"
        )
    epochs = progress_bar("pairs" if progress else None, "epoch", range(params.epochs))
    forgeries = Forgeries.of(dataset, dataset.rows("train"), "train")
    tables = []
    for epoch in epochs:
        drawn = _table(decks, _draw_epoch(decks, params, epoch))
        rng = np.random.default_rng([params.seed, FORGED_STREAM, STREAMS["train"], epoch])
        tables.append(_with_forgeries(drawn, dataset, forgeries, params, rng))
    return in_batches(pd.concat(tables, ignore_index=True), params)


def in_batches(table: pd.DataFrame, params: PairsParams) -> pd.DataFrame:
    """Number the epochs and batches of all pairs, in place; return the table."""
    batches = params.batches_per_epoch
    numbers = np.arange(params.epochs * batches, dtype=np.int32).repeat(params.batch_size)
    table.insert(0, "epoch", numbers // np.int32(batches))
    table.insert(1, "batch", numbers % np.int32(batches))
    return table


def draw_fixed(dataset: Dataset, split: str, params: PairsParams) -> pd.DataFrame:
    """Draw the pairs that stay the same for a whole project, to verify on.

    Half of them are `same`. None is of a sample with itself or its exact copy, none comes twice.
    All classes give equally many like pairs within one, as far as they have them: a class with
    fewer gives all. Each two classes meet equally often within one, as far as they have unlike
    pairs. A class with one sample has no like pair, and stands in unlike pairs alone.

    Where there are forgeries, the share `pairs.forged` of the unlike pairs give way to pairs of a
    genuine sample and a forgery of its class, or as many as there are: classes give equally many
    within one, as far as they have them. Of the other unlike pairs the promise above holds.

    For `test` only queries are paired, not what is enrolled. Where they are of classes that
    training knows and of novel classes, the first half of the table is drawn among the known
    classes and the second among the novel, each with these promises; no pair mixes the two.

    Args:
        dataset: the prepared data; its images are not read.
        split: `validation` or `test`, which is also the parameter that says how many pairs.
        params: how much to draw.

    Returns:
        `left`, `right` (sample numbers, int64) and `same` (bool).

    Raises:
        InputError: the data has not enough classes, like pairs or unlike pairs for what is asked.
    """
    size: int = getattr(params, split)
    parts = _fixed_parts(dataset, split)
    _refuse_too_many_fixed(parts, size, split)
    half = size // len(parts) // 2
    drawn = []
    for stream, decks in parts.items():
        rng = np.random.default_rng([params.seed, STREAMS[stream], 0])
        table = _table(decks, _draw_once(decks, half, rng))
        rng = np.random.default_rng([params.seed, FORGED_STREAM, STREAMS[stream], 0])
        forgeries = Forgeries.of(dataset, decks.numbers, split)
        labels = rng.permutation([*forgeries.forged])
        supply = forgeries.supply(labels)
        count = min(round(params.forged * half), int(supply.sum()))
        if count:
            # Each two classes have their pairs one after the other: they give up the last ones.
            classes = np.sort(dataset.fine()[table[["left", "right"]][half:]], axis=1)
            turn = pd.DataFrame(classes).groupby([0, 1]).cumcount().to_numpy()
            rows = half + np.sort(turn.argsort(kind="stable")[-count:])
            labels = labels.repeat(_share_out(count, supply))
            table.loc[rows, ["left", "right"]] = forgeries.deal(labels, rng)
        drawn.append(table)
    return pd.concat(drawn, ignore_index=True)


def _with_forgeries(
    table: pd.DataFrame,
    dataset: Dataset,
    forgeries: Forgeries,
    params: PairsParams,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Put forgeries into the last pairs of each batch of an epoch, in place; return the table."""
    half = params.batch_size // 2
    count = round(params.forged * half)
    if not forgeries.forged or not count:
        return table
    has_forgeries = np.isin(np.arange(len(dataset.classes.fine)), [*forgeries.forged])
    left = dataset.fine()[table["left"]].reshape(-1, params.batch_size)[:, :half]  # like pairs
    rows, labels = [], []
    for batch, classes in enumerate(map(np.unique, left)):
        possible = rng.permutation(classes[has_forgeries[classes]])
        if len(possible):
            end = (batch + 1) * params.batch_size
            rows.append(np.arange(end - count, end))
            labels.append(np.resize(possible, count))
    if rows:
        pairs = forgeries.deal(np.concatenate(labels), rng)
        table.loc[np.concatenate(rows), ["left", "right"]] = pairs
    return table


def _fixed_parts(dataset: Dataset, split: str) -> dict[str, Decks]:
    """Gather the samples of fixed pairs by random stream: in one part, or in two."""
    name = f"the split `{split}`"
    if split != "test":
        return {split: Decks.of(dataset, dataset.rows(split), name)}
    queries = dataset.queries()
    is_novel = np.isin(dataset.fine()[queries], dataset.novel_classes())
    if is_novel.all() or not is_novel.any():
        return {split: Decks.of(dataset, queries, name)}
    return {
        "test": Decks.of(dataset, queries[~is_novel], f"the known part of {name}"),
        "novel": Decks.of(dataset, queries[is_novel], f"the novel part of {name}"),
    }


def _refuse_too_many_fixed(parts: dict[str, Decks], size: int, split: str) -> None:
    asked = f"`pairs.{split}` is {size}"
    if len(parts) > 1 and size % 4:
        raise InputError(
            f"{asked}, but half of these pairs are of known and half of novel classes, and half of"
            " each are like pairs: expected a multiple of 4"
        )
    for decks in parts.values():
        if decks.n_classes < 2:
            raise InputError(
                f"{asked}, but unlike pairs need two classes or more, and {decks.name} has"
                f" {decks.n_classes}"
            )
    supplies = {
        name: (int(decks.like_supply().sum()), decks.unlike_supply())
        for name, decks in parts.items()
    }
    scarcest = min(supplies, key=lambda name: min(supplies[name]))
    like, unlike = supplies[scarcest]
    most = 2 * len(parts) * min(like, unlike)
    if size > most:
        decks = parts[scarcest]
        lower = f"ask for at most {most} pairs, or " if most else ""
        share = f"`prepare.{split}` sets the split's share"
        if scarcest == "novel":
            share = "a smaller `prepare.enrolled` leaves more, and so do more `data.novel_classes`"
        raise InputError(
            f"{asked}, but the {len(decks.numbers)} samples of {decks.name} give only {like} like"
            f" and {unlike} unlike pairs, and as many of both are needed; {lower}add samples"
            f" ({share})"
        )


def _draw_epoch(decks: Decks, params: PairsParams, epoch: int) -> np.ndarray:
    """Draw the batches of an epoch: positions, int64 `[batches, batch_size, 2]`."""
    rng = np.random.default_rng([params.seed, STREAMS["train"], epoch])
    batches, width = params.batches_per_epoch, params.classes_per_batch
    chosen = _choose_classes(decks.n_classes, batches, width, rng)
    turn = np.arange(params.batch_size // 2)
    like = chosen[:, turn % width, None]  # (batches, half, 1)
    unlike = chosen[:, meet_within(width, turn)]  # (batches, half, 2)
    for columns in (like, unlike):
        _level(columns, decks.n_classes)
    pairs = _deal(decks, like.reshape(-1), unlike.reshape(-1, 2), rng)
    return pairs.reshape(2, batches, -1, 2).swapaxes(0, 1)


def _choose_classes(
    n_classes: int, batches: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Deal different classes to each batch, from a deck that is shuffled when it runs out.

    Returns:
        Columns, int64 `[batches, width]`; each equally often within one.
    """
    deck = np.empty(0, dtype=np.int64)
    chosen = np.empty((batches, width), dtype=np.int64)
    for batch in chosen:
        if len(deck) < width:
            shuffled = rng.permutation(n_classes)
            is_left = np.isin(shuffled, deck)  # not again in the batch that takes what is left
            deck = np.concatenate([deck, shuffled[~is_left], shuffled[is_left]])
        batch[:], deck = deck[:width], deck[width:]
    return chosen


def _level(batches: np.ndarray, n_classes: int) -> None:
    """Let classes with few places in pairs take places from those of their batch that have many.

    A class that is in one batch less than others lacks that batch's places, which may be many. No
    class leaves a batch by this, and no unlike pair gets the same class twice.

    Args:
        batches: columns, int64 `[batches, half, 1 or 2]`, changed in place.
        n_classes: C.
    """
    places = np.bincount(batches.ravel(), minlength=n_classes)
    helped = True
    while helped:
        helped = False
        for batch in batches:
            here = np.bincount(batch.ravel(), minlength=n_classes)
            classes = np.flatnonzero(here)
            for poor in classes[places[classes].argsort()]:
                while places[classes].max() > places[poor] + 1:
                    can_give = (here[batch] > 1) & (batch != poor).all(axis=1, keepdims=True)
                    given = np.where(can_give, places[batch], 0)
                    if given.max() <= places[poor] + 1:
                        break
                    taken = np.unravel_index(given.argmax(), given.shape)
                    here[[batch[taken], poor]] += [-1, 1]
                    places[[batch[taken], poor]] += [-1, 1]
                    batch[taken] = poor
                    helped = True


def _draw_once(decks: Decks, half: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `half` different like and as many unlike pairs: positions, int64 `[2 * half, 2]`."""
    classes = rng.permutation(decks.n_classes)
    like = classes.repeat(_share_out(half, decks.like_supply()[classes]))
    n_couples, n_looked_at = len(classes) * (len(classes) - 1) // 2, half
    while True:  # all couples of thousands of classes, only if need be
        turn = np.arange(min(n_looked_at, n_couples))
        couples = classes[meet_within(len(classes), turn)]
        supply = decks.couple_supply(couples)
        if len(turn) == n_couples or np.count_nonzero(supply) >= half:
            break
        n_looked_at *= 2
    return _deal(decks, like, couples.repeat(_share_out(half, supply), axis=0), rng)


def _share_out(total: int, supply: np.ndarray) -> np.ndarray:
    """Share `total` items as equally as `supply`, int64 `[n]`, allows: int64 `[n]`.

    Each gives what it has up to a common level. The few items that are still wanted come from the
    first that have more. The supplies are enough.
    """
    levels = range(int(supply.max()) + 1)
    level = bisect_right(levels, total, key=lambda level: np.minimum(supply, level).sum()) - 1
    items = np.minimum(supply, level)
    items[np.flatnonzero(supply > level)[: total - items.sum()]] += 1
    return items


def _deal(
    decks: Decks, like: np.ndarray, unlike: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deal pairs of columns `[k]` and `[l, 2]`: positions `[k + l, 2]`, like pairs first."""
    like_pairs = decks.deal_like(like, rng)
    used = np.bincount(like_pairs.ravel(), minlength=len(decks.numbers))
    return np.concatenate([like_pairs, decks.deal_unlike(unlike, used, rng)])


def _table(decks: Decks, pairs: np.ndarray) -> pd.DataFrame:
    """Turn positions `[..., 2]` into sample numbers, one row per pair."""
    pairs = pairs.reshape(-1, 2)
    left, right = decks.numbers[pairs].T
    same = decks.column[pairs[:, 0]] == decks.column[pairs[:, 1]]
    return pd.DataFrame({"left": left, "right": right, "same": same})
