"""What the steps of a comparison hand on: candidates, trained networks; and the listener that is told of the steps."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.comparison.proposal import Proposal
from convatlas.comparison.result import Failure
from convatlas.evaluation import Evaluation
from convatlas.recipes.recipe import Recipe
from convatlas.runs.run import Run
from convatlas.runs.train import RunListener


class ComparisonListener:
    """Is called as a comparison goes on. The command line overrides the methods to show progress."""

    def training(self, model: str, seed: int, place: int, total: int) -> RunListener:
        """Return the listener of the next training, which is number ``place`` (from 1) of ``total``."""
        return RunListener()

    def proposed(self, proposal: Proposal) -> None:
        """Networks are proposed (``candidates``), before the first training."""

    def stage(self, text: str) -> None:
        """A step other than a training begins; ``text`` describes it."""

    def failed(self, failure: Failure) -> None:
        """The training of a network failed; the comparison goes on with the others."""

    def skipped(self, failure: Failure) -> None:
        """A network is not trained, because it cannot fit the budget."""


@dataclass(frozen=True)
class Candidate:
    """A network before its training: its recipe, parameters and MACs. ``label`` is its name in tables and texts."""

    model: str
    label: str
    recipe: Recipe
    params: int
    macs: int
    tensor_bytes: int  # of the weights; the file has a short header besides
    matrix_values: int  # weights of convolutions and fully connected layers, which every exported file has

    def costs(self, bytes_of_weight: int | None = None) -> dict[str, float]:
        """What is known of its costs before the training; of the size, a lower bound.

        Args:
            bytes_of_weight: of an exported file; None for the weights as they are trained.
        """
        size = self.tensor_bytes if bytes_of_weight is None else self.matrix_values * bytes_of_weight
        return {"params": self.params, "macs": self.macs, "size": size}


@dataclass(frozen=True)
class Trained:
    """A run and its evaluation on the test set."""

    run: Run
    evaluation: Evaluation
