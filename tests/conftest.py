"""What every test may use: where the real data lies, and a skip with a clear reason where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from convatlas.i18n import set_language

os.environ["CONVATLAS_LANG"] = "en"  # what most tests read, on a Korean machine too; the others ask for their language

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it; a test of a narrow table sets its own

settings.register_profile("convatlas", deadline=None)  # no test fails because the machine was busy
settings.load_profile("convatlas")

SHARED = Path(os.environ.get("CONVATLAS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(autouse=True)
def language_of_the_environment():
    """A command that was run with --lang in this process does not choose the language of the next test."""
    set_language(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write the files of tests/golden/expected anew")


def shared_path(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"real data not on this machine: ../shared/{relative} is absent")
    return path


@pytest.fixture(scope="session")
def shared():
    """``shared("data/mnist")`` is a path below ../shared, or the test is skipped and says what was missing."""
    return shared_path
