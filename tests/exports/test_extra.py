"""Whether the packages of the extra [export] are there; without them the other tests of this folder are left out."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec

import pytest

EXTRA = ("onnx", "onnxscript", "onnxruntime")


def test_the_extra_is_installed() -> None:
    missing = [package for package in EXTRA if find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed, so exports are not tested:  pip install 'convatlas[export]'")
    for name in ("conversion", "quantization", "contract", "export"):
        importlib.import_module(f"convatlas.exports.{name}")


def test_without_the_extra_a_command_says_how_to_install_it() -> None:
    code = "import sys; sys.modules['onnx'] = None\nfrom convatlas.cli import main; main(['export', 'no-run'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "pip install 'convatlas[export]'" in done.stderr
