"""The page: files of the package, served as they are."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FILES = Path(__file__).with_name("page")


class _Page(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        # Asked for again each time: after an upgrade, all files are of one version.
        response.headers["Cache-Control"] = "no-cache"
        return response


def mount(app: FastAPI) -> None:
    """Serve the page at `/`, and each of its files under its name."""
    page = _Page(directory=FILES, html=True)
    names = (file.relative_to(FILES).as_posix() for file in FILES.rglob("*") if file.is_file())
    # One by one: what takes all addresses would answer 404 where another method is meant.
    for name in ("", *names):
        app.router.routes.append(Route(f"/{name}", page, methods=["GET"], include_in_schema=False))
