"""The scripts of ../shared/cases, each a kind of fault that users met, end as their first lines say.

Siblings of each case are in test_users_data.py, test_users_runs.py, test_users_cases.py, test_resume_command.py,
test_checkpoints.py, test_checkpoint_commands.py, test_contractions.py and test_own_inputs.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

# a script, and what its output must show, in this order
CASES = {
    "01-no-validation.sh": ["--rare keep-in-training", "has no test set, so no accuracy", "unknown run"],
    "02-last-batch-of-one.sh": ["test top-1", r"\[exit 0\]"],
    "03-folders-that-are-not-classes.sh": [
        "aptos: csv", "aptos/train.csv: csv", "cd: split folders", "t: tiny-imagenet", "fp: csv",
    ],
    "04-links.sh": ["20 links that lead outside .*--follow-links", r"\[exit 3\]"],
    "05-resume-with-other-settings.sh": ["the loss is nan", "batch_size = 4 .*cannot change when a run is resumed"],
    "06-advice-that-cannot-be-taken.sh": ["--rare keep-in-training", "--on-bad skip", "--max-bad", "--max-bad"],
    "07-tables.sh": ["10 images, 2 classes", "line 2: 3 cells, expected 2"],
    "08-checkpoints.sh": [
        *["all 116 tensors fit"] * 6, "is a web page", "Git LFS pointer", "is empty: 0 bytes", "TorchScript archive",
    ],
    "09-names.sh": [r"caf\\xe9", r"\[exit 0\]", "test top-1", "1 hidden files were skipped", r"\[exit 0\]"],
    "10-own-modules.py": [r"\('d', \(5, 5\)\)", r"Totals\(params=224", "Conv2d is a class", "an input shape must be"],
}  # fmt: skip


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """A folder with ``convatlas`` and ``python3``: this interpreter and this source."""
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("convatlas", "-m convatlas"), ("python3", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_case_shows_its_right_behaviour(shared, commands, name):
    script = shared(f"cases/{name}")
    done = subprocess.run(
        ["bash" if name.endswith(".sh") else str(commands / "python3"), str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
    )
    output = done.stdout
    assert "Traceback" not in output
    assert "Warning" not in output
    place = 0
    for pattern in CASES[name]:
        found = re.compile(pattern).search(output, place)
        assert found is not None, f"{pattern!r} is not in what follows:\n{output[place:]}"
        place = found.end()


def test_every_script_is_here(shared):
    folder = shared("cases")
    assert {file.name for file in folder.iterdir()} - {"README.md", "lib.sh"} == set(CASES)
