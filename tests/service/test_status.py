"""What the service says of itself: health, figures, and the description of its routes."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from siamese.gallery.gallery import Gallery
from siamese.service.settings import Settings
from tests.support.service import as_files

ONE = as_files([np.zeros((8, 8, 3), dtype=np.uint8)])


def test_health_names_rows_and_version(reader: TestClient, read_only: Settings) -> None:
    table = Gallery.open(read_only.gallery).table
    expected = {"status": "ok", "rows": len(table), "version": table.version}
    assert reader.get("/health").json() == expected


def test_figures_count_what_was_answered_by_route_and_status(reader: TestClient) -> None:
    assert reader.post("/embed", files=ONE * 3).status_code == 200
    assert reader.post("/embed").status_code == 415
    for path in ("/a", "/b/c"):
        assert reader.get(path).status_code == 404
    text = reader.get("/metrics").text
    assert 'siamese_requests_total{route="/embed",status="200"} 1.0' in text
    assert 'siamese_requests_total{route="/embed",status="415"} 1.0' in text
    assert "/b/c" not in text, "an address that anybody makes up is no label"
    assert 'siamese_request_seconds_count{route="/embed"} 2.0' in text
    [images] = re.findall(r"^siamese_batch_images_sum (.*)$", text, re.MULTILINE)
    assert float(images) == 1 + 3, "the first is asked at the start"
    assert f"siamese_gallery_rows {reader.get('/health').json()['rows']:.1f}" in text


def test_openapi_describes_forms_and_answers(reader: TestClient) -> None:
    schema = reader.get("/openapi.json").json()
    form = schema["paths"]["/classify"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["images"]
    assert set(form["schema"]["properties"]) == {"images", "k", "exact"}
    answer = schema["paths"]["/classify"]["post"]["responses"]["200"]["content"]
    name = answer["application/json"]["schema"]["items"]["$ref"].rpartition("/")[2]
    [found] = reader.post("/classify", files=ONE).json()
    assert set(schema["components"]["schemas"][name]["properties"]) == set(found)
    for route in ("/enroll", "/remove"):
        assert schema["paths"][route]["post"]["security"] == [{"token": []}]


def test_no_section_of_a_docstring_is_in_the_description(reader: TestClient) -> None:
    sections = re.compile(r"\b(Args|Attributes|Raises|Returns):")
    texts: list[str] = []

    def collect(schema: Any) -> None:
        if isinstance(schema, dict):
            texts.extend(text for text in [schema.get("description")] if isinstance(text, str))
        if isinstance(schema, dict | list):
            for one in schema.values() if isinstance(schema, dict) else schema:
                collect(one)

    collect(reader.get("/openapi.json").json())
    assert len(texts) > 20
    assert all(texts)
    assert not [text for text in texts if sections.search(text)]
    page = reader.get("/docs").text
    assert not sections.search(page)
    assert "`" not in page


def test_the_page_of_the_api_names_all_routes_and_needs_nothing_from_elsewhere(
    reader: TestClient,
) -> None:
    answer = reader.get("/docs")
    paths = reader.get("/openapi.json").json()["paths"]
    assert all(path in answer.text for path in paths)
    addresses: list[str | None] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            addresses.extend(value for name, value in attrs if name in ("href", "src"))

    Links().feed(answer.text)
    assert {"/", "/icon.svg"} <= set(addresses), "back, and what a browser asks for by itself"
    for address in addresses:
        assert address is not None
        assert address.startswith("/")
        assert reader.get(address).status_code == 200
    assert "<style" not in answer.text, "the policy on content would not let it in"
    assert "<script" not in answer.text
