"""The package convatlas_runtime, as its build writes it: it needs no torch, is whole, and says what convatlas says.

``test_installed_runtime.py`` installs the wheel; here the package is written to a folder and run from there.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import convatlas as ca

ROOT = Path(__file__).resolve().parents[2]
# what the full program needs and the runtime does without; sklearn would be used for the digits
WITHOUT = ("torch", "click", "rich", "scipy", "sklearn", "matplotlib", "safetensors", "filelock", "onnx", "starlette")

Runtime = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def build():
    """The build's own module, runtime/hatch_build.py."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "runtime" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def package(build, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site") / "convatlas_runtime"
    build.write_package(target)
    return target


@pytest.fixture(scope="module")
def runtime(package) -> Runtime:
    """``runtime("predict", ...)`` runs the command in a process that finds neither convatlas nor torch nor the rest."""

    def run(*arguments: object, without: tuple[str, ...] = ()) -> tuple[int, str, str]:
        blocked = dict.fromkeys((*WITHOUT, "convatlas", *without))
        code = (
            f"import sys; sys.path.insert(0, {str(package.parent)!r}); sys.modules.update({blocked!r})\n"
            "from convatlas_runtime.deployed.command import main; main()"
        )
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


# ------------------------------------------------------------------ the package


def test_every_module_imports_where_nothing_else_is(build, package):
    names = [module.replace("convatlas", "convatlas_runtime", 1) for module in build.modules()]
    code = (
        f"import importlib, sys; sys.path.insert(0, {str(package.parent)!r})\n"
        f"sys.modules.update({dict.fromkeys((*WITHOUT, 'convatlas'))!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "import convatlas_runtime; convatlas_runtime.open_exported"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_in_it_names_convatlas_as_a_module(package):
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "convatlas" not in {name.split(".")[0] for name in names}, file


def test_it_shares_no_file_with_convatlas(package):
    """Both can be installed together: everything lies below a folder of another name."""
    assert package.name == "convatlas_runtime"
    assert (ROOT / "src" / "convatlas" / "errors.py").read_text("utf-8").count("convatlas.message") == 1
    assert "convatlas_runtime.message" in (package / "errors.py").read_text("utf-8")


def test_its_version_is_that_of_convatlas(runtime):
    assert runtime("--version") == (0, f"convatlas-runtime {ca.__version__}\n", "")


def test_a_module_that_is_not_listed_is_refused_by_the_build(build):
    shipped = tuple(module for module in build.modules() if module != "convatlas.units")
    with pytest.raises(ValueError, match=r"convatlas\.tables imports convatlas\.units, which is not shipped"):
        build.renamed("convatlas.tables", shipped)


# ------------------------------------------------------------------ it says what the full program says


@pytest.mark.parametrize("which", ["pixels", "photo"])
def test_predict(runtime, convatlas, shipped, which):
    arguments = ("predict", getattr(shipped, which), shipped.new, "--top", 2, "--json")
    assert runtime(*arguments) == convatlas(*arguments)


def test_damaged_and_unusual_images(runtime, convatlas, shipped, shared):
    arguments = ("predict", shipped.photo, shared("data/odd-images"), "--json")
    code, out, err = runtime(*arguments)
    expected = convatlas(*arguments)
    assert (code, out) == expected[:2]
    ours = [line for line in err.splitlines() if line.startswith("convatlas-runtime: ")]  # libtiff prints lines too
    assert [line.replace("convatlas-runtime: ", "convatlas: ") for line in ours] == expected[2].splitlines()


def test_the_table_of_predictions(runtime, convatlas, shipped, tmp_path):
    assert runtime("predict", shipped.pixels, shipped.new, "--csv", tmp_path / "ours.csv")[0] == 0
    convatlas("predict", shipped.pixels, shipped.new, "--csv", tmp_path / "full.csv")
    assert (tmp_path / "ours.csv").read_bytes() == (tmp_path / "full.csv").read_bytes()


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_evaluate(runtime, convatlas, shipped, form, language):
    arguments = ("evaluate", shipped.pixels, "--data", shipped.new, "--lang", language, *form)
    assert runtime(*arguments) == convatlas(*arguments)


def test_bench(runtime, shipped):
    code, out, _ = runtime("bench", shipped.pixels, "--batch", 4, "--threads", 1, "--time", 0.2, "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert (row["batch_size"], row["threads"], row["input"]) == (4, 1, [64, 64, 3])
    assert row["images_per_s"] == pytest.approx(4e3 / row["latency_ms"]["p50"])
    assert len(row["start_ups_s"]) == 3


def test_a_list_on_stdin(package, shipped):
    files = sorted((shipped.new / "red").iterdir())[:2]
    done = subprocess.run(
        [sys.executable, "-m", "convatlas_runtime", "predict", shipped.pixels, "-", "--json"],
        input="\n".join(map(str, files)), capture_output=True, text=True, cwd=package.parent, check=True,
    )  # fmt: skip
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == list(map(str, files))


# ------------------------------------------------------------------ what it cannot do


REFUSED = {
    "train": (("train", "resnet18"), 4, "train is not part of convatlas-runtime"),
    "inspect": (("inspect", "FILE"), 4, "inspect is not part of convatlas-runtime"),
    "a run": (("predict", "RUN", "a.png"), 4, "A run directory needs PyTorch"),
    "weights": (("predict", "WEIGHTS", "a.png"), 4, "is a file of weights, which needs PyTorch"),
    "a network": (("predict", "resnet18", "a.png"), 3, "there is no file resnet18"),
    "bench of a run": (("bench", "RUN"), 4, "A run directory needs PyTorch"),
    "digits": (("evaluate", "FILE", "--data", "digits"), 4, "pip install scikit-learn"),
    "no folder": (("evaluate", "FILE", "--data", "nowhere"), 3, "there is no nowhere"),
    "an empty folder": (("evaluate", "FILE", "--data", "EMPTY"), 3, "is empty"),
    "an empty folder of photos": (("predict", "FILE", "EMPTY"), 3, "contains no image files"),
    "a file of another kind": (("predict", "TEXT", "a.png"), 3, "has no sidecar"),
    "top 0": (("predict", "FILE", "a.png", "--top", "0"), 2, "--top 0"),
    "no threads": (("bench", "FILE", "--threads", "0"), 2, "0 is not a whole number from 1"),
    "no time": (("bench", "FILE", "--time", "nan"), 2, "seconds above 0 are expected"),
    "no data": (("evaluate", "FILE"), 2, "--data"),
    "no command": ((), 2, "COMMAND"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_refuses(runtime, shipped, tmp_path, what):
    arguments, expected, text = REFUSED[what]
    (tmp_path / "empty").mkdir()
    (tmp_path / "net.pth").touch()
    (tmp_path / "notes.txt").write_text("no model")
    put = {"FILE": shipped.pixels, "RUN": shipped.run.path, "EMPTY": tmp_path / "empty",
           "WEIGHTS": tmp_path / "net.pth", "TEXT": tmp_path / "notes.txt"}  # fmt: skip
    code, out, err = runtime(*(put.get(each, each) for each in arguments))
    assert (code, out) == (expected, "")
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["predict", "evaluate", "bench"])
def test_without_onnxruntime(runtime, shipped, command):
    rest = {"predict": [shipped.new], "evaluate": ["--data", shipped.new], "bench": []}[command]
    code, out, err = runtime(command, shipped.pixels, *rest, without=("onnxruntime",))
    assert (code, out) == (4, "")
    assert "running an ONNX file needs the package onnxruntime. Install it:  pip install onnxruntime\n" in err
    assert err.count("\n") == 1


def test_a_file_of_torch_export_needs_torch(runtime, shipped, tmp_path):
    written = ca.export(shipped.run, "torch", out=tmp_path / "torch")
    code, out, err = runtime("predict", written.file, shipped.new)
    assert (code, out) == (4, "")
    assert "running a .pt2 file needs the package torch" in err
    assert "pip install 'convatlas[export]'" in err


def test_a_debugged_error_has_its_traceback(runtime, shipped):
    code, _, err = runtime("predict", shipped.pixels, shipped.new, "--top", 0, "--debug")
    assert code == 1
    assert "Traceback" in err


# ------------------------------------------------------------------ Korean


def test_help_and_errors_are_korean(runtime):
    code, out, _ = runtime("evaluate", "--help", "--lang", "ko")
    assert code == 0
    assert out.startswith("사용법: convatlas-runtime evaluate")
    assert "옵션:" in out
    assert "읽을 수 없는 파일" in out
    for english in ("usage", "options", "show this help", "The ", " the "):
        assert english not in out
    code, _, err = runtime("--lang", "ko", "evaluate")
    assert code == 2
    assert "다음 인수가 필요합니다: FILE, --data" in err
    code, _, err = runtime("train", "--lang", "ko")
    assert code == 4
    assert "PyTorch가 필요한 전체 프로그램을 설치하십시오" in err
