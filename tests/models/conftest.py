"""Peers: other people's networks, installed for tests only (pytest -m peers)."""

from __future__ import annotations

import importlib.util

import pytest
import torch

_libraries: list[torch.library.Library] = []  # a library's definitions live as long as it does


@pytest.fixture(scope="session")
def torchvision():
    """torchvision's wheel for another torch build lacks its operators; two declarations let its networks import."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    return import_torchvision()


def import_torchvision():
    if not _libraries:
        try:
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            _libraries.append(library)
        except RuntimeError:  # torchvision's own operators are there
            pass
    import torchvision

    return torchvision


@pytest.fixture(scope="session")
def timm(torchvision):
    return pytest.importorskip("timm", reason="timm is not installed")
