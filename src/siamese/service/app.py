"""The application: routes, and what they share."""

from fastapi import FastAPI

from siamese.gallery.gallery import Gallery
from siamese.model.folder import load_model
from siamese.service import ask, gallery_routes, map_routes, page, results_routes
from siamese.service.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Load model and gallery, and return the application that answers from them.

    Raises:
        InputError: one of them cannot be read, or they do not belong together.
    """
    app = FastAPI(title="siamese", docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.gallery = Gallery.open(settings.gallery, load_model(settings.model))
    for module in (ask, gallery_routes, map_routes, results_routes):
        app.include_router(module.router)
    page.mount(app)
    return app
