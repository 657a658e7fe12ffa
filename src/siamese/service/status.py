"""Routes that say whether the service works, and how to ask it."""

import json
import re
from dataclasses import dataclass
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from siamese.service.shared import TheGallery

router = APIRouter(tags=["service"])

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
h2, p, li { overflow-wrap: anywhere; }
.box { overflow-x: auto; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid gray; }
table { border-collapse: collapse; }
td, th { padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; }
"""


@dataclass(frozen=True)
class Health:
    """That the service answers, and from what."""

    status: str
    rows: int
    version: int


@router.get("/health")
def health(gallery: TheGallery) -> Health:
    """Say that the service answers, with the rows and the version of its gallery."""
    return Health("ok", len(gallery.table), gallery.table.version)


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Return a page that describes all routes, from `/openapi.json`; it loads nothing else."""
    schema: dict[str, Any] = request.app.openapi()
    base = str(request.base_url).rstrip("/")
    routes = [
        _route(base, method, path, route, schema)
        for path, methods in schema["paths"].items()
        for method, route in methods.items()
    ]
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>siamese: HTTP</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/docs.css">'
        '<p><a href="/">To the page</a></p><h1>siamese over HTTP</h1>'
        '<p>For programs: <a href="/openapi.json">openapi.json</a>. Errors are'
        " <code>{&quot;detail&quot;: &quot;one sentence&quot;}</code> with a status of 4xx or 5xx."
        f"</p>{''.join(routes)}</html>"
    )


@router.get("/docs.css", include_in_schema=False)
async def style() -> Response:
    """Return the style of `/docs`, apart from it: the page may hold none."""
    return Response(STYLE, media_type="text/css")


def _route(base: str, method: str, path: str, route: Any, schema: Any) -> str:
    """Describe one route in HTML."""
    rows, options = [], []
    for one in route.get("parameters", []):
        rows.append((one["name"], one["in"], one["schema"], one.get("description", "")))
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        form = body["schema"]
        for name, field in form.get("properties", {}).items():
            place = "form, required" if name in form.get("required", []) else "form"
            rows.append((name, place, field, field.get("description", "")))
            if name == "images":
                options += ["-F images=@photo.png"] * field.get("minItems", 1)
            elif name in form.get("required", []):
                options.append(f"-F {name}=...")
        if "multipart" not in kind:
            options.append("-d label=...")
    if "security" in route:
        options.insert(0, '-H "Authorization: Bearer $SIAMESE_TOKEN"')
    listed = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(place)}<td>{escape(_type(shape))}"
        f"<td>{_prose(text)}"
        for name, place, shape, text in rows
    )
    answer = route["responses"].get("200", {}).get("content", {}).get("application/json", {})
    fields = _fields(answer.get("schema", {}), schema)
    command = " ".join(["curl", *options, base + path])
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{_prose(route.get('description', route['summary']))}</p>"
        f"<pre>{escape(command)}</pre>"
        + (f'<div class="box"><table>{listed}</table></div>' if listed else "")
        + (f"<p>Answer: <code>{escape(fields)}</code></p>" if fields else "")
    )


def _prose(text: str) -> str:
    """Return sentences as HTML: what stands in `backticks` is code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _type(shape: dict[str, Any]) -> str:
    """Name the type of a value."""
    kinds = [one.get("type", "") for one in shape.get("anyOf", [shape])]
    return " or ".join(kind for kind in kinds if kind not in ("", "null"))


def _fields(shape: dict[str, Any], schema: Any) -> str:
    """Outline what an answer holds."""
    if "$ref" in shape:
        named = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        inner = {
            name: _fields(field, schema) for name, field in named.get("properties", {}).items()
        }
        return "{" + ", ".join(f"{name}: {text}" for name, text in inner.items()) + "}"
    if "anyOf" in shape:
        return " or ".join(_fields(one, schema) for one in shape["anyOf"])
    if shape.get("type") == "array":
        return f"[{_fields(shape.get('items', {}), schema)}, ...]"
    if "enum" in shape:
        return " or ".join(json.dumps(value) for value in shape["enum"])
    return str(shape.get("type", ""))
