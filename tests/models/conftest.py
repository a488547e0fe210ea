"""Peers: other people's networks, installed for tests only (make test-peers), and the record of how well ours agree."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

_libraries: list[torch.library.Library] = []  # a library's definitions live as long as it does


def peer(name: str):
    """A peer's package; the test is skipped where it is not installed, and fails where all of them must be there."""
    if importlib.util.find_spec(name) is None:
        message = f"{name} is not installed; make test-peers installs the peers in an environment of their own"
        if os.environ.get("CONVATLAS_PEERS") == "required":
            pytest.fail(message)
        pytest.skip(message)
    with warnings.catch_warnings(action="ignore"):
        return importlib.import_module(name)


@pytest.fixture(scope="session")
def torchvision():
    """torchvision's wheel for another torch build lacks its operators; two declarations let its networks import."""
    if not _libraries:
        try:
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            _libraries.append(library)
        except RuntimeError:  # torchvision's own operators are there
            pass
    return peer("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision):
    return peer("timm")


@pytest.fixture(scope="session")
def keras():
    os.environ["KERAS_BACKEND"] = "torch"
    peer("h5py")
    return peer("keras")


@pytest.fixture(scope="session")
def parity() -> Callable[[dict], None]:
    """Call it with what a comparison measured: it goes to the file that PARITY_RECORD names, if it does."""
    found: list[dict] = []

    def add(pair: dict) -> None:
        found.append(pair)
        if "PARITY_RECORD" in os.environ:
            write_record(Path(os.environ["PARITY_RECORD"]), found)

    return add


def write_record(path: Path, found: list[dict]) -> None:
    """The document; pairs that were measured before with the same versions, and not now, stay in it."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "timm", "keras")}
    each = {(pair["library"], pair["peer"]): pair for pair in [*measured_before(path, versions), *found]}
    pairs = [each[name] for name in sorted(each)]
    document = {
        "schema": 1,
        "what": "difference between a peer's network and ours with the peer's random weights, float32: of logits in "
        "eval mode and in training mode without dropout, the largest, relative to the largest logit; of the gradient "
        "of the cross-entropy by all parameters, its length relative to the gradient's (Keras: running statistics)",
        "command": "make parity",
        "versions": versions,
        "pairs": len(pairs),
        "networks": len({pair["ours"] for pair in pairs}),
        "largest": {name: max(pair[name] for pair in pairs) for name in pairs[0] if name.endswith("_difference")},
        "each": pairs,
    }
    lines = json.dumps(document, indent=1).replace("\n   ", " ").replace("\n  }", " }")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines + "\n", encoding="utf-8")


def measured_before(path: Path, versions: dict[str, str]) -> list[dict]:
    if not path.exists():
        return []
    document = json.loads(path.read_text("utf-8"))
    return document["each"] if document["versions"] == versions else []
