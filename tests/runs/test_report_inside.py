"""The report of a run shows the inside of its network, and a picture that fails does not fail the training."""

from __future__ import annotations

import pytest

import convatlas as ca
from convatlas.runs import report_inside

SETTINGS = {"epochs": 1, "min_updates": 0, "threads": 1, "trial": False}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    run = ca.train("lenet5@modern", out=tmp_path_factory.mktemp("runs"), gradient_norms=True, **SETTINGS)
    return (run.path / "report.html").read_text("utf-8")


def test_a_report_has_filters_grad_cam_and_gradient_norms(page):
    for heading in ("Grad-CAM of the most confident mistakes", "First-layer filters", "Gradients through depth"):
        assert heading in page
    assert "Filters of C1" in page


def test_a_network_without_convolutions_has_a_report_without_them(tmp_path):
    run = ca.train("mlp", out=tmp_path, **SETTINGS)
    page = (run.path / "report.html").read_text("utf-8")
    assert "First-layer filters" not in page
    assert "Grad-CAM" not in page


def test_a_picture_that_fails_leaves_the_report_without_it(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(report_inside, "grad_cam", broken)
    run = ca.train("lenet5@modern", out=tmp_path, **SETTINGS)
    assert run.finished
    assert "Confusion matrix" in (run.path / "report.html").read_text("utf-8")
