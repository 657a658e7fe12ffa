"""What routes are given: the settings and the gallery of the application."""

from typing import Annotated

from fastapi import Depends, Request

from siamese.gallery.gallery import Gallery
from siamese.service.settings import Settings


def _settings(request: Request) -> Settings:
    return request.app.state.settings


def _gallery(request: Request) -> Gallery:
    return request.app.state.gallery


TheSettings = Annotated[Settings, Depends(_settings)]
TheGallery = Annotated[Gallery, Depends(_gallery)]
