"""The wheel of convatlas-runtime in an empty environment: no torch, every module imports, the same numbers.

Downloads what the wheel requires, so it is left out unless asked for:  make test-runtime
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import convatlas as ca

pytestmark = [pytest.mark.slow, pytest.mark.network]

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {"numpy", "pillow", "onnxruntime"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """The ``bin`` folder of an environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("environment")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder / "dist"), str(ROOT / "runtime")]
    subprocess.run(pip, check=True)
    (wheel,) = (folder / "dist").iterdir()
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    programs = folder / "venv" / "bin"
    install = [programs / "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(list(map(str, install)), check=True)
    return programs


def said(environment: Path, *arguments: object) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(environment / "convatlas-runtime"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout


def test_only_three_packages_are_asked_for_and_torch_is_not_there(environment):
    listed = json.loads(subprocess.check_output([environment / "pip", "list", "--format", "json"]))
    names = {each["name"].lower() for each in listed}
    assert names >= NEEDED
    assert names.isdisjoint({"torch", "convatlas", "click", "rich", "scipy", "scikit-learn", "matplotlib", "onnx"})
    shown = subprocess.check_output([environment / "pip", "show", "convatlas-runtime"], text=True)
    requires = next(line for line in shown.splitlines() if line.startswith("Requires:"))
    assert set(requires.removeprefix("Requires: ").split(", ")) == NEEDED


def test_every_module_imports(environment):
    code = (
        "import importlib, pkgutil, convatlas_runtime as package\n"
        "for each in pkgutil.walk_packages(package.__path__, 'convatlas_runtime.'):\n"
        "    if not each.name.endswith('__main__'): importlib.import_module(each.name)\n"
        "package.open_exported"
    )
    subprocess.run([environment / "python", "-c", code], check=True, cwd=environment)


def test_the_numbers_are_those_of_the_run(environment, shipped):
    found = json.loads(said(environment, "evaluate", shipped.pixels, "--data", shipped.new, "--json"))
    expected = ca.evaluate(shipped.run, shipped.new).to_dict()
    for figure in ("n", "top1", "top5", "ci95", "per_class", "mistakes", "confusion"):
        assert found[figure] == expected[figure], figure
    lines = said(environment, "predict", shipped.photo, shipped.new, "--json").splitlines()
    for line, prediction in zip(map(json.loads, lines), ca.predict(shipped.run, shipped.new), strict=True):
        assert line["file"] == prediction.file
        assert line["top"][0][0] == prediction.top[0][0]
        assert line["top"][0][1] == pytest.approx(prediction.top[0][1], abs=1e-5)


def test_bench_of_the_installed_program(environment, shipped):
    (row,) = json.loads(said(environment, "bench", shipped.pixels, "--time", 0.2, "--json"))["rows"]
    assert row["peak_memory_bytes"] > 0
