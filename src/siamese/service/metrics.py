"""Figures for Prometheus: what was asked, how long it took, and what the gallery holds."""

import time
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

router = APIRouter(tags=["service"])

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Figures:
    """The figures of one application; two in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def made(kind: Any, name: str, text: str, *labels: str, **options: Any) -> Any:
            return kind(f"siamese_{name}", text, labels, registry=self.registry, **options)

        self.requests = made(Counter, "requests", "Requests answered", "route", "status")
        self.seconds = made(
            Histogram, "request_seconds", "Time to an answer", "route", buckets=SECONDS
        )
        self.batches = made(
            Histogram, "batch_images", "Images that were embedded at once", buckets=IMAGES
        )
        self.waiting = made(Gauge, "requests_waiting", "Requests that wait to be computed")
        self.rows = made(Gauge, "gallery_rows", "Rows of the gallery that answers; 0 without one")
        self.version = made(Gauge, "gallery_version", "Version of the gallery that answers")


class Measured:
    """Counts and times the requests of an application."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self.app = app
        self.figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 499  # as nginx counts a client that has gone; all others get an answer

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = time.perf_counter()
        try:
            await self.app(scope, receive, observed)
        finally:
            # By the pattern of the route: addresses are as many as who asks likes.
            route = getattr(scope.get("route"), "path", "other")
            self.figures.requests.labels(route, status).inc()
            self.figures.seconds.labels(route).observe(time.perf_counter() - start)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return figures in the text format of Prometheus."""
    figures: Figures = request.app.state.figures
    return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_LATEST)
