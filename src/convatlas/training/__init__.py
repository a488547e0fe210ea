"""Training: the update, the loop around it, and the settings of the machine.

The functions here take a network and batches and know no network of the atlas; `convatlas.runs` connects them.
"""

from convatlas.training.callback import Callback, WeightAverage, describe_weights, evaluation_weights
from convatlas.training.hardware import Hardware, apply, choose, environment
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
    "apply",
    "choose",
    "describe_weights",
    "environment",
    "evaluation_weights",
    "fit",
    "resume",
    "save_state",
    "train_step",
]
