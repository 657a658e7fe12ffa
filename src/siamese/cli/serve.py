"""The command `siamese serve`: the gallery over HTTP, and a page for the browser."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from siamese.base.errors import InputError
from siamese.cli.answering import quick_imports
from siamese.cli.arguments import add
from siamese.gallery.defaults import PREPARED

# Writing needs it; never an argument, which others on the machine could read.
TOKEN = "SIAMESE_TOKEN"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MEBIBYTE = 2**20


def add_commands(commands: Any) -> None:
    """Add the parser of `serve` to those of `siamese`."""
    serve = commands.add_parser(
        "serve",
        help="answer over HTTP, and serve a page",
        description="Answer over HTTP, and serve a page. Whoever sends the token in the environment"
        f" variable {TOKEN} may enrol and remove; without one, nobody may.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="(default: 127.0.0.1, this machine)")
    serve.add_argument("--port", type=_number(0, 65535), default=8000, help="(default: 8000)")
    add(serve, "--gallery", "--model")
    serve.add_argument(
        "--workspace",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="the project whose results the page shows (default: here)",
    )
    serve.add_argument(
        "--prepared",
        type=Path,
        default=PREPARED,
        metavar="FOLDER",
        help=f"the data set, for test images on the page (default: {PREPARED})",
    )
    serve.add_argument(
        "--runtime",
        choices=("torch", "onnx"),
        default="torch",
        help="what computes the embeddings (default: torch)",
    )
    serve.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where PyTorch computes, and holds the gallery (default: cpu)",
    )
    serve.add_argument(
        "--max-memory",
        type=_number(0, 2**20),
        default=1024,
        metavar="MIB",
        help="what the gallery may take in memory; a larger one is searched on disk, by its index"
        " (default: 1024)",
    )
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer browsers that know this machine by that name; may be given several times",
    )
    serve.add_argument(
        "--max-upload",
        type=_number(1, 2**20),
        default=32,
        metavar="MIB",
        help="longest request, all its images together (default: 32)",
    )
    serve.add_argument(
        "--max-queue",
        type=_number(1, 2**20),
        default=256,
        metavar="N",
        help="requests that are worked on at once; more are told to come again (default: 256)",
    )
    serve.add_argument(
        "--timeout",
        type=_number(1, 2**20),
        default=30,
        metavar="SECONDS",
        help="after which a request is given up (default: 30)",
    )
    serve.set_defaults(command=_serve)


def _number(least: int, most: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}; expected a number from {least} to {most}")
        return int(text)

    return number


def _serve(options: argparse.Namespace) -> None:
    try:
        from siamese.service.server import listen, serve
        from siamese.service.settings import Settings
    except ModuleNotFoundError as error:
        raise InputError(
            f"the service needs more than is installed ({error.name}); `pip install"
            " 'siamese[serve]'` brings it"
        ) from None

    if options.host not in LOOPBACK:
        print(
            f"note: on {options.host}, whoever reaches this machine may ask; nothing is encrypted",
            file=sys.stderr,
        )
    settings = Settings(
        host=options.host,
        port=options.port,
        gallery=options.gallery,
        model=options.model,
        workspace=options.workspace,
        prepared=options.prepared,
        token=os.environ.get(TOKEN, "").strip() or None,
        runtime=options.runtime,
        device=options.device,
        hold_bytes=options.max_memory * MEBIBYTE,
        allowed_hosts=tuple(options.allow_host),
        request_bytes=options.max_upload * MEBIBYTE,
        queue=options.max_queue,
        timeout=options.timeout,
    )
    listener = listen(settings)  # before anything is loaded
    with quick_imports():
        from siamese.model.description import describe
        from siamese.service.app import create_app

    app = create_app(settings)
    print(f"network: {describe(app.state.newest.gallery().model)}", flush=True)
    serve(app, settings, listener)
