"""The claims of the literature as experiments, each ending in a verdict.

    record = run_experiment("relu-against-tanh", scale="quick")
    record.decision        # "supported", "contradicted" or "not decided"

A claim is a file in ``claims/``; see `convatlas.experiments.form`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas._lazy import resolver

if TYPE_CHECKING:
    from convatlas.experiments.form import Experiment
    from convatlas.experiments.registry import experiment_names, get_experiment
    from convatlas.experiments.run import ExperimentListener, Record, run_experiment
else:
    __getattr__ = resolver(__name__)

__all__ = ["Experiment", "ExperimentListener", "Record", "experiment_names", "get_experiment", "run_experiment"]
