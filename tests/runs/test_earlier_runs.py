"""A run directory of an earlier program, with the options among the settings of the recipe, is still a run."""

from __future__ import annotations

import signal

import pytest
import torch

from convatlas.errors import Interrupted
from convatlas.runs import directory
from convatlas.runs.evaluate import evaluate
from convatlas.runs.options import RunOptions
from convatlas.runs.run import CONFIG, Run
from convatlas.runs.train import RunListener, resume, train
from convatlas.training import checkpoint

SETTINGS = {"epochs": 2, "batch_size": 64, "pad": 1, "mixup": 0.3, "ema": 0.9, "normalization": "standard",
            "threads": 1, "precision": "fp32", "checkpoint_every_steps": 5}  # fmt: skip


class StopAt(RunListener):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, state, loss, images_per_s) -> None:
        if state.step >= self.step:
            self.step = 10**9
            signal.raise_signal(signal.SIGINT)


def as_written_before(run: Run) -> None:
    """Rewrite config.toml and the checkpoints: one table of settings, their former names and types."""
    tables = dict(run.config)
    settings = tables["recipe"] | tables.pop("options")
    settings["pad"], settings["pixels"] = str(settings["pad"]), settings.pop("normalization")
    del settings["full_precision"]
    directory.write_toml(run.path / CONFIG, tables | {"recipe": settings})
    for path in checkpoint.saved(run.path):
        tensors, state = checkpoint.load(path)
        state["companions"] = state.pop("callbacks")
        renamed = {name.replace("callback.", "companion."): tensor for name, tensor in tensors.items()}
        checkpoint.save(path, renamed, state)


def test_it_opens_evaluates_and_resumes_to_the_same_bits(tmp_path):
    whole = train("mlp", out=tmp_path / "whole", **SETTINGS)
    with pytest.raises(Interrupted):
        train("mlp", out=tmp_path / "cut", listener=StopAt(18), **SETTINGS)
    (folder,) = (tmp_path / "cut").iterdir()
    cut = Run(folder)
    recipe, options = cut.recipe, cut.options
    as_written_before(cut)
    assert (Run(folder).recipe, Run(folder).options) == (recipe, options)
    assert options == RunOptions(threads=1, precision="fp32", channels_last=True, trial=False, compile="off",
                                 checkpoint_every_steps=5)  # fmt: skip
    resumed = resume(folder)
    for name, tensor in whole.network().state_dict().items():
        assert torch.equal(resumed.network().state_dict()[name], tensor), name
    assert evaluate(resumed).top1 == whole.result["test_top1"]
