"""The application: routes, and what they share."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from siamese import __version__
from siamese.service import (
    ask,
    changes,
    gallery_routes,
    map_routes,
    metrics,
    page,
    results_routes,
    status,
)
from siamese.service.engine import Engine
from siamese.service.errors import answer_errors
from siamese.service.metrics import Figures, Measured
from siamese.service.newest import Newest
from siamese.service.protection import Protection
from siamese.service.settings import Settings
from siamese.service.writer import Writer

log = logging.getLogger("siamese.service")

# Of a docstring: what follows stands in sections.
SECTION = re.compile(r"^\s*(?:Args|Attributes|Raises|Returns):", re.MULTILINE)
ROUTES = (ask, changes, gallery_routes, map_routes, results_routes, status, metrics)


def create_app(settings: Settings) -> FastAPI:
    """Load model and gallery, and return the application that answers from them.

    Its threads run from the start to the end of its lifespan.

    Raises:
        InputError: one of them cannot be read, or they do not belong together.
    """
    app = FastAPI(
        title="siamese",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    figures = Figures()
    newest = Newest(settings, figures)
    app.state.settings = settings
    app.state.figures = figures
    app.state.newest = newest
    app.state.engine = Engine(newest, settings, figures)
    app.state.writer = Writer(newest)
    for module in ROUTES:
        app.include_router(module.router)
    page.mount(app)
    answer_errors(app)
    app.add_middleware(Protection, settings=settings)
    app.add_middleware(Measured, figures=figures)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    await app.state.engine.start()
    looking = asyncio.create_task(_look(app.state.newest, app.state.settings.poll))
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await asyncio.to_thread(app.state.writer.stop)
        await app.state.engine.stop()


async def _look(newest: Newest, seconds: float) -> None:
    """Look for new versions of the gallery, again and again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(newest.renew)
        except Exception:  # of a disk that is away for a moment, say
            log.exception("the newest version of the gallery could not be looked for")


def _without_sections(schema: Any) -> Any:
    """Cut what docstrings say to programmers of the service: arguments, errors and the like."""
    if isinstance(schema, list):
        return [_without_sections(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    cut = {name: _without_sections(value) for name, value in schema.items()}
    if isinstance(text := cut.get("description"), str):
        cut["description"] = SECTION.split(text, maxsplit=1)[0].rstrip()
    return cut


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the routes, the token and the one form of all errors."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Error"] = {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string", "description": "One sentence."}},
        }
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        answer = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        for methods in schema["paths"].values():
            for route in methods.values():
                route["responses"].pop("422", None)
                route["responses"]["default"] = {"description": "An error", "content": answer}
        app.openapi_schema = _without_sections(schema)
    return app.openapi_schema
