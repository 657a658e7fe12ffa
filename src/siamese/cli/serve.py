"""The command `siamese serve`: the gallery over HTTP, and a page for the browser."""

import argparse
import os
from pathlib import Path
from typing import Any

from siamese.cli.arguments import add
from siamese.gallery.defaults import PREPARED

# Writing needs it; never an argument, which others on the machine could read.
TOKEN = "SIAMESE_TOKEN"


def add_commands(commands: Any) -> None:
    """Add the parser of `serve` to those of `siamese`."""
    serve = commands.add_parser("serve", help="answer over HTTP, and serve a page")
    serve.add_argument("--host", default="127.0.0.1", help="(default: 127.0.0.1, this machine)")
    serve.add_argument("--port", type=int, default=8000, help="(default: 8000)")
    add(serve, "--gallery", "--model")
    serve.add_argument("--workspace", type=Path, default=Path(), metavar="FOLDER")
    serve.add_argument("--prepared", type=Path, default=PREPARED, metavar="FOLDER")
    serve.set_defaults(command=_serve)


def _serve(options: argparse.Namespace) -> None:
    import uvicorn

    from siamese.service.app import create_app
    from siamese.service.settings import Settings

    settings = Settings(
        host=options.host,
        port=options.port,
        gallery=options.gallery,
        model=options.model,
        workspace=options.workspace,
        prepared=options.prepared,
        token=os.environ.get(TOKEN) or None,
    )
    uvicorn.run(create_app(settings), host=options.host, port=options.port)
