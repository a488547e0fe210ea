"""``/openapi.json`` is a valid OpenAPI 3.1 document, and the answers are what it says.

``openapi-3.1.schema.json`` is the schema that the OpenAPI Initiative publishes (2022-10-07).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

SCHEMA = json.loads(Path(__file__).with_name("openapi-3.1.schema.json").read_text())


@pytest.fixture
def document(client) -> dict[str, Any]:
    return dict(client.http.get("/openapi.json").json())


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of one schema of the document, whose references are into the document."""
    return Draft202012Validator({"components": document["components"], **schema})


def schema_of(document: dict[str, Any], route: str, method: str, status: int) -> Draft202012Validator:
    response = document["paths"][route][method]["responses"][str(status)]
    return resolved(document, response["content"]["application/json"]["schema"])


def test_it_is_a_valid_document(document):
    Draft202012Validator(SCHEMA).validate(document)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_check_can_fail(document):
    del document["info"]["title"]
    assert not Draft202012Validator(SCHEMA).is_valid(document)


def test_answers_are_what_it_says(client, served, document):
    several = client.predict_all([served.images[0], b"no image"])
    for route, method, answer in (
        ("/predict", "post", client.predict(served.images[0])),
        ("/predict", "post", several),
        ("/predict", "post", client.predict(b"no image")),
        ("/predict", "post", client.predict_all([b"x", b"y"])),
        ("/predict", "post", client.predict(served.images[0], top=0)),
        ("/predict", "post", client.predict(b"x" * (40 << 20))),
        ("/predict", "post", httpx.post(client.server.url + "/predict")),
        ("/predict", "post", client.http.post("/predict", headers={"Origin": "null"})),
        ("/health", "get", client.http.get("/health")),
        ("/metrics", "get", httpx.get(client.server.url + "/metrics")),
    ):
        schema_of(document, route, method, answer.status_code).validate(answer.json())
    assert not schema_of(document, "/predict", "post", 200).is_valid({"predictions": []})


def test_every_route_is_described(client, document):
    assert list(document["paths"]) == ["/predict", "/health", "/metrics", "/openapi.json"]
    (top,) = [each for each in document["paths"]["/predict"]["post"]["parameters"] if each["name"] == "top"]
    assert top["schema"]["maximum"] == 10


def test_the_metrics_are_the_text_of_prometheus(client, served):
    client.predict_all(list(served.images[:5]))
    client.predict(b"no image")
    answer = client.http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    named = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            float(value)
            family = name.partition("{")[0]
            assert family in named or family.rpartition("_")[0] in named, line
    assert 'convatlas_requests_total{route="/predict",status="200"} 1' in lines
    assert 'convatlas_requests_total{route="/predict",status="422"} 1' in lines
    assert 'convatlas_images_total{result="labelled"} 5' in lines
    assert 'convatlas_images_total{result="unreadable"} 1' in lines
    assert client.metric("convatlas_batch_images_sum") == 5
    buckets = [int(line.rpartition(" ")[2]) for line in lines if line.startswith("convatlas_batch_images_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == client.metric("convatlas_batch_images_count")
