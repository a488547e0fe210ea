"""The description of the interface as OpenAPI 3.1. Its texts are English in every language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas import __version__
from convatlas.data.decode import FORMATS
from convatlas.serve.options import ServeOptions

ERRORS = {
    "400": "The request is damaged, or a parameter is out of its range.",
    "401": "The token is missing or wrong.",
    "403": "The Host or the Origin of the request is not this server's.",
    "405": "This method is not allowed.",
    "413": "More bytes or more images than the limit.",
    "422": "None of the images can be read.",
    "500": "The model could not compute the images.",
    "503": "Too many images are waiting; Retry-After states the seconds after which to send again.",
}
TOP = 5  # classes of an answer, unless the request asks for another number


def description(model: Mapping[str, str], classes: int, options: ServeOptions) -> dict[str, Any]:
    """The document.

    Args:
        model: what answers state of the model.
        classes: number of classes of the model.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "convatlas serve",
            "version": __version__,
            "description": "Labels for images, by one exported network.",
            "x-model": dict(model),
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            "/predict": {
                "post": {
                    "operationId": "predict",
                    "summary": "Label one image, or several.",
                    "x-limits": {
                        "formats": list(FORMATS),
                        "bytes_of_a_request": options.max_bytes,
                        "images_of_a_request": options.max_images,
                        "pixels_of_an_image": options.max_pixels,
                    },
                    "parameters": [
                        {
                            "name": "top",
                            "in": "query",
                            "description": "Number of classes in the answer, the likeliest first.",
                            "schema": {
                                "type": "integer",
                                "minimum": 1,
                                "maximum": classes,
                                "default": min(TOP, classes),
                            },
                        },
                        {
                            "name": "Accept-Language",
                            "in": "header",
                            "description": "Language of errors.",
                            "schema": {"type": "string", "examples": ["en", "ko"]},
                        },
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/octet-stream": {},
                            "image/*": {},
                            "multipart/form-data": {
                                "schema": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string", "contentMediaType": "image/*"},
                                }
                            },
                        },
                    },
                    "responses": {"200": _answer("The labels.", "Predictions"), **_errors(*ERRORS)},
                }
            },
            "/health": {
                "get": {
                    "operationId": "health",
                    "summary": "Whether the server answers. Needs no token.",
                    "security": [],
                    "responses": {"200": _answer("It answers.", "Health"), **_errors("403", "405")},
                }
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Counters in the text format of Prometheus.",
                    "responses": {
                        "200": {
                            "description": "The counters.",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        },
                        **_errors("401", "403", "405"),
                    },
                }
            },
            "/openapi.json": {
                "get": {
                    "operationId": "openapi",
                    "summary": "This document.",
                    "responses": {
                        "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {}}},
                        **_errors("401", "403", "405"),
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _schemas() -> dict[str, Any]:
    schema = {"const": 1, "description": "Version of this format."}
    model = {name: {"type": "string"} for name in ("network", "precision", "engine", "sha256")}
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 2, "maxItems": 2}
    prediction = {
        "type": "object",
        "properties": {
            "file": {"type": "string", "description": "Name of the file, where the request states one."},
            "top": {"type": "array", "items": pair, "description": "Labels with their probabilities."},
            "error": {"type": "string", "description": "Why the image cannot be read; then there is no top."},
        },
        "required": ["file"],
        "oneOf": [{"required": ["top"]}, {"required": ["error"]}],
    }
    return {
        "Model": {"type": "object", "properties": model, "required": list(model)},
        "Prediction": prediction,
        "Predictions": {
            "type": "object",
            "properties": {
                "schema": schema,
                "model": _reference("Model"),
                "predictions": {"type": "array", "items": _reference("Prediction"), "minItems": 1},
            },
            "required": ["schema", "model", "predictions"],
        },
        "Health": {
            "type": "object",
            "properties": {"schema": schema, "status": {"const": "ok"}, "model": _reference("Model")},
            "required": ["schema", "status", "model"],
        },
        "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
    }


def _answer(about: str, schema: str) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": _reference(schema)}}}


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: _answer(ERRORS[status], "Error") for status in statuses}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
