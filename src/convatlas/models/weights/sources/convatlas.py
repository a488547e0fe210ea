"""Weights under the names of the atlas: saved from one of its networks. They do not say how images are prepared."""

from __future__ import annotations

from convatlas.models.weights.source import Source

SOURCE = Source(name="convatlas", order=0, convert=lambda tensors, target: dict(tensors))
