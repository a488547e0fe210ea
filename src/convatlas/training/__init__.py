"""Training: a step, a loop, and what a run needs to be fast, to stop and to go on.

It receives a network and batches and names neither; `recipes` does the wiring.
"""

from convatlas.training.companion import Companion, WeightAverage, described, judged
from convatlas.training.hardware import Hardware, choose, environment
from convatlas.training.lookahead import Lookahead
from convatlas.training.loop import Observer, Plan, State, Validation, fit, resume, save_state
from convatlas.training.step import StepResult, train_step
from convatlas.training.trainee import Trainee

__all__ = [
    "Companion",
    "Hardware",
    "Lookahead",
    "Observer",
    "Plan",
    "State",
    "StepResult",
    "Trainee",
    "Validation",
    "WeightAverage",
    "choose",
    "described",
    "environment",
    "fit",
    "judged",
    "resume",
    "save_state",
    "train_step",
]
