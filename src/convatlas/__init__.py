"""convatlas: the workbench for convolutional image classifiers.

    import convatlas as ca

Every number is *printed* (in a paper), *derived* (arithmetic on the layers) or *measured* (in a run here), and says
which. Importing this package does not import torch; the first name that needs it does.
"""

from __future__ import annotations

from convatlas._lazy import resolver

__version__ = "0.1.0"

# public name -> the room it lives in; resolved on first use, so that ``import convatlas`` stays cheap
_ROOMS = {
    "list_models": "convatlas.models",
    "create_model": "convatlas.models",
    "card": "convatlas.models",
    "load_weights": "convatlas.models",
    "summarize": "convatlas.arithmetic",
    "explain": "convatlas.arithmetic",
    "open_data": "convatlas.data",
    "Recipe": "convatlas.recipes.recipe",
    "RunOptions": "convatlas.runs.options",
    "Run": "convatlas.runs.run",
    "train": "convatlas.runs.train",
    "evaluate": "convatlas.runs.evaluate",
    "predict": "convatlas.runs.predict",
    "compare": "convatlas.comparison",
}

__all__ = ["__version__", *_ROOMS]


__getattr__ = resolver(__name__, _ROOMS)


def __dir__() -> list[str]:
    return sorted(__all__)
