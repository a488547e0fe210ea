"""The public names: lazy at run time, typed for editors, and forgiving in what they take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import convatlas as ca
from convatlas._lazy import declared
from convatlas.errors import ConvAtlasError, DataError, UnknownNameError, UsageError

PUBLIC = [name for name in ca.__all__ if name != "__version__"]
PACKAGES = ("convatlas", "convatlas.arithmetic", "convatlas.data", "convatlas.models", "convatlas.visualization")


def test_importing_imports_no_torch_and_every_name_is_there():
    code = (
        "import sys, convatlas as ca\n"
        "ca.list_models(); ca.card('lenet5'); ca.summarize('lenet5'); ca.explain('alexnet', 'conv1')\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "for name in ca.__all__: getattr(ca, name)\n"
        "try: ca.trian\n"
        "except AttributeError as error: assert 'trian' in str(error)\n"
        "else: raise SystemExit('a name that is not there was found')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_declared_is_what_is_public(package):
    module = sys.modules.get(package) or __import__(package, fromlist=["__all__"])
    lazy = declared(package)
    assert lazy
    assert set(lazy) <= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_editors_complete_names_and_arguments():
    jedi = pytest.importorskip("jedi")
    names = {each.name for each in jedi.Script("import convatlas as ca\nca.").complete(2, 3)}
    assert set(PUBLIC) <= names
    for call, expected in (
        ("train", {"model", "data", "recipe", "seed", "out"}),
        ("summarize", {"what", "input_shape"}),
        ("compare", {"names", "data", "budget"}),
        ("predict", {"what", "images", "top"}),
    ):
        (signature, *_) = jedi.Script(f"import convatlas as ca\nca.{call}(").get_signatures(2, len(call) + 4)
        assert expected <= {parameter.name for parameter in signature.params}, call


def revealed(code: str, folder: Path) -> list[str]:
    """What mypy says of a program, torch and other libraries not followed: their names are Any, ours are not."""
    config = folder / "mypy.ini"
    config.write_text(
        "[mypy]\npython_version = 3.11\n"
        f"mypy_path = {Path(ca.__file__).parents[1]}\nignore_missing_imports = True\n"
        + "".join(
            f"[mypy-{name}.*]\nfollow_imports = skip\n"
            for name in ("torch", "numpy", "scipy", "sklearn", "PIL", "matplotlib", "rich", "click")
        )
    )
    (folder / "program.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith("program.py")]


def test_type_checkers_see_the_real_signatures(tmp_path):
    pytest.importorskip("mypy")
    lines = [f"reveal_type(ca.{name})" for name in PUBLIC]
    said = revealed("\n".join(["import convatlas as ca", *lines, "ca.trian"]), tmp_path)
    types = dict(zip(PUBLIC, said, strict=False))
    for name, line in types.items():
        assert "Revealed type is" in line
        assert '"Any"' not in line
        assert "def (" in line, name
    assert "convatlas.runs.run.Run" in types["train"]
    assert "convatlas.arithmetic.summary.Summary" in types["summarize"]
    assert 'has no attribute "trian"' in said[len(PUBLIC)]


# ------------------------------------------------------------------ what they take


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ca.train("mlp", data="digits", epochs=1, out=tmp_path_factory.mktemp("runs"))


def test_summarize_takes_a_name_a_run_or_a_module(run):
    assert ca.summarize("lenet5").totals.params == 60_000
    assert ca.summarize("lenet5@modern", (3, 64, 64)).inputs == ((3, 64, 64),)
    assert ca.summarize("googlenet", training=True).totals.params > ca.summarize("googlenet").totals.params
    assert ca.summarize(run) == ca.summarize(run.path) == ca.summarize(str(run.path))
    assert ca.summarize(ca.create_model("lenet5")).totals.params == 60_000
    assert ca.summarize(nn.Conv2d(3, 8, 3), (3, 9, 9)).rows[0].output == (8, 7, 7)


def test_explain_takes_a_summary_or_what_summarize_takes(run):
    steps = ca.explain("alexnet", "conv1").steps
    assert steps == ca.explain(ca.summarize("alexnet"), "conv1").steps
    assert ca.explain("lenet5@modern", "C1", (3, 64, 64)).row.params == 3 * 25 * 6 + 6
    assert ca.explain(run, ca.summarize(run).rows[-1].name).steps


def test_predict_takes_paths_pillow_images_arrays_and_tensors(run, tmp_path):
    grey = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)
    path = tmp_path / "image.png"
    Image.fromarray(grey).save(path)
    (expected,) = ca.predict(run, path)
    same = [
        str(path),
        Image.fromarray(grey),
        Image.open(path),
        grey,
        grey[:, :, None],
        np.repeat(grey[:, :, None], 3, axis=2),
        grey.astype(np.int64),
        grey / 255,
        torch.from_numpy(grey),
        torch.from_numpy(grey)[None],
        torch.from_numpy(grey / 255)[None],
        torch.from_numpy(grey)[None, None],
    ]
    for image in same:
        (answer,) = ca.predict(run, image)
        assert answer.top == expected.top, type(image)
    answers = list(
        ca.predict(run, [path, grey, tmp_path / "none.png", torch.from_numpy(np.stack([grey] * 2))[:, None]])
    )
    assert [answer.file for answer in answers] == [str(path), "1", str(tmp_path / "none.png"), "3:0", "3:1"]
    assert [answer.error is None for answer in answers] == [True, True, False, True, True]


def test_evaluate_takes_a_run_its_directory_and_a_data_set(run):
    found = ca.evaluate(run)
    assert np.array_equal(found.logits, ca.evaluate(str(run.path)).logits)
    assert ca.evaluate([run, run]).protocol == "ensemble of 2, centre"
    everything = ca.evaluate(run, ca.open_data("digits"))
    assert everything.n == ca.evaluate(run, "digits").n == 1797


WRONG = {
    "a number is no network": lambda run: ca.train(42),
    "a module is no name": lambda run: ca.train(nn.Linear(2, 2)),
    "nor is it a recipe": lambda run: ca.train("mlp", recipe=3),
    "unknown setting": lambda run: ca.train("mlp", epoch=3),
    "create a number": lambda run: ca.create_model(7),
    "card of nothing": lambda run: ca.card(None),
    "summarize a number": lambda run: ca.summarize(42),
    "summarize nothing": lambda run: ca.summarize(None),
    "a module without a shape": lambda run: ca.summarize(nn.Linear(2, 2)),
    "a shape that is a number": lambda run: ca.summarize(nn.Linear(2, 2), 224),
    "a shape that is a text": lambda run: ca.summarize("lenet5", "1x32x32"),
    "a shape of a name that is a number": lambda run: ca.summarize("lenet5", 32),
    "unknown network": lambda run: ca.summarize("lenet6"),
    "explain a number": lambda run: ca.explain("lenet5", 1),
    "explain in a list": lambda run: ca.explain([1], "C1"),
    "unknown layer": lambda run: ca.explain("lenet5", "C9"),
    "predict with a number": lambda run: list(ca.predict(42, "a.jpg")),
    "predict with a name": lambda run: list(ca.predict("lenet5", "a.jpg")),
    "predict of a number": lambda run: list(ca.predict(run, 42)),
    "predict of numbers": lambda run: list(ca.predict(run, [1, 2])),
    "predict of a volume": lambda run: list(ca.predict(run, np.zeros((2, 3, 4, 5, 6)))),
    "predict of normalised pixels": lambda run: list(ca.predict(run, torch.randn(1, 8, 8))),
    "predict of channels first": lambda run: list(ca.predict(run, np.zeros((3, 8, 8)))),
    "predict of words": lambda run: list(ca.predict(run, np.array([["a", "b"]]))),
    "no batch": lambda run: list(ca.predict(run, [], batch_size=0)),
    "evaluate a number": lambda run: ca.evaluate(42),
    "evaluate numbers": lambda run: ca.evaluate([1, 2]),
    "evaluate nothing": lambda run: ca.evaluate([]),
    "evaluate no run": lambda run: ca.evaluate("no/such/run"),
    "evaluate an untrained network": lambda run: ca.evaluate(nn.Linear(2, 2)),
    "evaluate on a number": lambda run: ca.evaluate(run, 42),
    "compare a number": lambda run: ca.compare(42),
    "compare numbers": lambda run: ca.compare([1]),
    "weights of nothing": lambda run: ca.load_weights(None, "x.pth"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_used_is_one_of_our_errors(run, what):
    with pytest.raises(ConvAtlasError) as caught:
        WRONG[what](run)
    assert isinstance(caught.value, UsageError | UnknownNameError | DataError)
    assert len(str(caught.value)) > 20
