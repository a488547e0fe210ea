"""Training: a step, a loop, and what a run needs to be fast, to stop and to go on.

It receives a network and batches and names neither; `recipes` does the wiring.
"""

from convatlas.training.callback import Callback, WeightAverage, described, judged
from convatlas.training.hardware import Hardware, choose, environment
from convatlas.training.learner import Learner
from convatlas.training.lookahead import Lookahead
from convatlas.training.loop import Plan, State, TrainingListener, Validation, fit, resume, save_state
from convatlas.training.step import StepResult, train_step

__all__ = [
    "Callback",
    "Hardware",
    "Lookahead",
    "TrainingListener",
    "Plan",
    "State",
    "StepResult",
    "Learner",
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
