"""The command `siamese map`: t-SNE of the gallery, computed beforehand for the page."""

import argparse
import sys
from pathlib import Path
from typing import Any

from siamese.cli.arguments import add
from siamese.gallery.defaults import PREPARED


def add_commands(commands: Any) -> None:
    """Add the parser of `map` to those of `siamese`."""
    parser = commands.add_parser(
        "map",
        help="compute a map of the gallery by t-SNE, for the page of `siamese serve`",
        description=(
            "Place rows of the gallery and test images, evenly of every class, in two dimensions by"
            " t-SNE, and write data/map.parquet. Ten thousand points take about a minute."
        ),
    )
    add(parser, "--gallery")
    parser.add_argument("--workspace", type=Path, default=Path(), metavar="FOLDER")
    parser.add_argument("--prepared", type=Path, default=PREPARED, metavar="FOLDER")
    parser.add_argument("--points", type=int, metavar="N", help="(default: 10,000)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.set_defaults(command=_map)


def _map(options: argparse.Namespace) -> None:
    from siamese.base.progress import progress_bar
    from siamese.gallery.table import GalleryTable
    from siamese.projection.map_file import FILE
    from siamese.projection.maps import compute_map
    from siamese.projection.points import POINTS
    from siamese.projection.tsne import STEPS

    table = GalleryTable.open(options.gallery)
    # Without a terminal there is no bar.
    print("siamese map: ten thousand points take about a minute", file=sys.stderr, flush=True)
    with progress_bar("t-SNE", "step", total=STEPS) as bar:
        layout, notes = compute_map(
            table,
            options.workspace,
            options.prepared,
            POINTS if options.points is None else options.points,
            options.seed,
            lambda step: bar.update(step - bar.n),
        )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    n_queries = int(layout.is_query.sum())
    print(
        f"{options.workspace / FILE}: {len(layout.numbers) - n_queries:,} images of the gallery and"
        f" {n_queries:,} test images"
    )
