"""Training: a step, a loop, and what a run needs to be fast, to stop and to go on.

It receives a network and batches and names neither; `recipes` does the wiring.
"""

from convatlas.training.hardware import Hardware, choose, environment
from convatlas.training.loop import Observer, Plan, State, Validation, fit
from convatlas.training.step import StepResult, train_step

__all__ = [
    "Hardware",
    "Observer",
    "Plan",
    "State",
    "StepResult",
    "Validation",
    "choose",
    "environment",
    "fit",
    "train_step",
]
