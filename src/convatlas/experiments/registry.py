"""The experiments by name. A file in ``claims/`` is an experiment; nothing else lists them."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from convatlas.errors import UnknownNameError
from convatlas.experiments import claims
from convatlas.experiments.form import Experiment


@functools.cache
def experiment_names() -> tuple[str, ...]:
    """All names, without importing the claims."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(claims.__path__)))


def get_experiment(name: str) -> Experiment:
    """An experiment by name.

    Args:
        name: a name of `experiment_names`.

    Raises:
        UnknownNameError: no such experiment; similar names are listed.
    """
    if name not in experiment_names():
        raise UnknownNameError("experiment", name, experiment_names())
    module = importlib.import_module(f"convatlas.experiments.claims.{name.replace('-', '_')}")
    experiment: Experiment = module.EXPERIMENT
    return experiment
