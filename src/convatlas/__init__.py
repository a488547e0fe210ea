"""convatlas: a workbench for convolutional image classifiers.

    import convatlas as ca

Every number is labelled *printed* (in a paper), *derived* (by arithmetic on the layers) or *measured* (in a run here).
Importing this package does not import torch; torch is imported with the first name that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the public names: executed by type checkers and editors, parsed by `resolver` at run time
    from convatlas.comparison.compare import compare as compare
    from convatlas.data.sources import open_data as open_data
    from convatlas.estimators.classifier import CNNClassifier as CNNClassifier
    from convatlas.estimators.features import CNNFeatures as CNNFeatures
    from convatlas.explorer.notebook import explore as explore
    from convatlas.exports.check import check_export as check_export
    from convatlas.exports.export import export as export
    from convatlas.models.create import create_model as create_model
    from convatlas.models.registry import card as card
    from convatlas.models.registry import list_models as list_models
    from convatlas.models.weights.load import load_weights as load_weights
    from convatlas.recipes.recipe import Recipe as Recipe
    from convatlas.runs.evaluate import evaluate as evaluate
    from convatlas.runs.inspect import attribute as attribute
    from convatlas.runs.inspect_layers import feature_maps as feature_maps
    from convatlas.runs.options import RunOptions as RunOptions
    from convatlas.runs.overview import list_runs as list_runs
    from convatlas.runs.predict import predict as predict
    from convatlas.runs.pretrained import from_pretrained as from_pretrained
    from convatlas.runs.pretrained import save_pretrained as save_pretrained
    from convatlas.runs.run import Run as Run
    from convatlas.runs.summarize import explain as explain
    from convatlas.runs.summarize import summarize as summarize
    from convatlas.runs.train import train as train
else:
    from convatlas._lazy import resolver

    __getattr__ = resolver(__name__)

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "list_models",
    "create_model",
    "card",
    "load_weights",
    "summarize",
    "explain",
    "open_data",
    "Recipe",
    "RunOptions",
    "Run",
    "list_runs",
    "train",
    "evaluate",
    "predict",
    "attribute",
    "feature_maps",
    "compare",
    "export",
    "check_export",
    "save_pretrained",
    "from_pretrained",
    "explore",
    "CNNClassifier",
    "CNNFeatures",
]


def __dir__() -> list[str]:
    return sorted(__all__)
