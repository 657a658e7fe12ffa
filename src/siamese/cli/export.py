"""The command `siamese export`: the network as one ONNX file."""

import argparse
from pathlib import Path
from typing import Any

from siamese.cli.arguments import add
from siamese.gallery.defaults import PREPARED


def add_commands(commands: Any) -> None:
    """Add the parser of `export` to those of `siamese`."""
    export = commands.add_parser(
        "export", help="write the network as one ONNX file, for programs without PyTorch"
    )
    export.add_argument("file", type=Path, metavar="FILE", help="such as model.onnx")
    add(export, "--model")
    export.add_argument(
        "--prepared",
        type=Path,
        default=PREPARED,
        metavar="FOLDER",
        help="images to check the file with, beside random ones, if they are there (default:"
        f" {PREPARED})",
    )
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> None:
    from siamese.export.file import export

    done = export(options.model, options.file, options.prepared)
    high, wide = done.image_size
    print(
        f"{options.file}: {done.network}; {done.bytes / 1e6:.1f} MB; in: uint8"
        f" [batch, {high}, {wide}, 3], out: float32 [batch, {done.embedding_dim}]; within"
        f" {done.difference:.1e} of PyTorch on {done.noise} random images and {done.images} of the"
        " data set"
    )
