"""What routes are given: the settings, the gallery and the parts of the application."""

from typing import Annotated

from fastapi import Depends, Request

from siamese.gallery.gallery import Gallery
from siamese.service.engine import Engine
from siamese.service.newest import Newest
from siamese.service.settings import Settings
from siamese.service.writer import Writer


# Coroutines, though they wait for nothing: FastAPI calls plain functions in another thread.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _gallery(request: Request) -> Gallery:
    """Return the newest version; it stays as it is while a route works with it.

    Raises:
        Unavailable: model and gallery do not fit at the moment.
    """
    return request.app.state.newest.gallery()


async def _newest(request: Request) -> Newest:
    return request.app.state.newest


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


async def _writer(request: Request) -> Writer:
    return request.app.state.writer


TheSettings = Annotated[Settings, Depends(_settings)]
TheGallery = Annotated[Gallery, Depends(_gallery)]
TheNewest = Annotated[Newest, Depends(_newest)]
TheEngine = Annotated[Engine, Depends(_engine)]
TheWriter = Annotated[Writer, Depends(_writer)]
