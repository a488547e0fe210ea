"""Completion of names: by the real bash and zsh, with the lines of docs/en/how-to/completion.md, and without torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import convatlas
from convatlas.cli._completion import PROTOCOLS
from convatlas.evaluation import PROTOCOLS as KNOWN
from convatlas.evaluation import get_protocol
from convatlas.recipes.registry import recipe_for

DOCS = (Path(__file__).parents[2] / "docs/en/how-to/completion.md").read_text()


@pytest.fixture
def place(tmp_path):
    """A folder with a run and a comparison's training in ``runs``, and the command ``convatlas`` on the path."""
    for run in ("lenet5-mnist-001", "compare-mnist-001/mlp-mnist-001"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "config.toml").touch()
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "convatlas"
    check = "import atexit, sys; atexit.register(lambda: 'torch' in sys.modules and open('torch-was-imported', 'w'));"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{check} from convatlas.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    return tmp_path


def shell(place: Path, *command: str) -> str:
    environment = os.environ | {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(convatlas.__file__).parents[1]),
        "HOME": str(place),
        "ZDOTDIR": str(place),
    }
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def line_for(name: str) -> str:
    """The documented line of a shell."""
    (line,) = re.findall(rf"^.*_CONVATLAS_COMPLETE={name}_source.*$", DOCS, re.MULTILINE)
    return line


# what is typed, with the cursor at its end -> some of what is offered, and something that is not
TYPED = [
    ("tra", {"train"}, "show"),
    ("train resnet2", {"resnet20_cifar"}, "resnet50"),
    ("train mlp --recipe fine", {"finetune"}, "modern"),
    (
        "compare resnet20_cifar densenet100_k",
        {"densenet100_k12_cifar", "densenet100_k24_cifar"},
        "densenet40_k12_cifar",
    ),
    ("train --resume l", {"latest", "lenet5-mnist-001"}, "compare-mnist-001/mlp-mnist-001"),
    ("runs show compare", {"compare-mnist-001/mlp-mnist-001"}, "latest"),
    ("runs re", {"rename"}, "delete"),
    ("evaluate runs/l", {"runs/lenet5-mnist-001"}, "lenet5"),
    ("evaluate runs/lenet5-mnist-001 --protocol ten", {"ten-crop"}, "centre"),
    ("train lenet5 --optimizer ada", {"adamw"}, "sgd"),
    ("nonsense a", set(), "alexnet"),
]


@pytest.mark.parametrize(("typed", "offered", "absent"), TYPED)
def test_bash_offers_names(place, typed, offered, absent):
    words = ["convatlas", *typed.split()]
    script = (
        f"{line_for('bash')}\n"
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}\n"
        'compopt() { :; }\n_convatlas_completion convatlas\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    found = set(shell(place, "bash", "--norc", "-c", script).split("\n"))
    assert offered <= found
    assert absent not in found
    assert not (place / "torch-was-imported").exists()


@pytest.mark.parametrize(("typed", "offered", "absent"), TYPED)
def test_zsh_offers_names(place, typed, offered, absent):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed here (Debian: apt-get install zsh)")
    words = ["convatlas", *typed.split()]
    # the functions with which the completion hands its names to zsh's menu print them instead
    script = (
        "autoload -U compinit; compinit -u -d $PWD/.zcompdump\n"
        f"{line_for('zsh')}\n"
        'compadd() { local a; for a in "${(@P)@[-1]}"; do print -r -- "$a"; done }\n'
        '_describe() { local a; for a in "${(@P)3}"; do print -r -- "${a%%:*}"; done }\n'
        "_path_files() { : }\n"
        f"words=({' '.join(words)}); CURRENT={len(words)}\n"
        "_convatlas_completion\n"
    )
    found = set(shell(place, "zsh", "-f", "-c", script).split("\n"))
    assert offered <= found
    assert absent not in found


def test_the_protocols_offered_are_those_that_exist():
    assert {name.partition("@")[0] for name in KNOWN} <= set(PROTOCOLS)
    for name in PROTOCOLS:
        get_protocol(name)


def test_the_recipes_offered_for_a_network_are_recipes_of_it():
    from convatlas.cli import train
    from convatlas.cli._completion import recipe_names

    context = train.command.make_context("train", ["vgg16"], resilient_parsing=True)
    offered = [item.value for item in recipe_names(context, context.command.params[0], "")]
    assert {"modern", "paper", "finetune"} <= set(offered)
    for name in offered:
        recipe_for("vgg16", name)
