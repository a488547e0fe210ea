"""Metrics, named protocols, and the evaluation of a network on batches."""

from convatlas.evaluation.evaluate import Evaluation, eval_mode, evaluate
from convatlas.evaluation.metrics import (
    ClassScore,
    Interval,
    ReliabilityBin,
    confusion_matrix,
    expected_calibration_error,
    mean_nll,
    most_confused,
    per_class,
    probabilities,
    ranks,
    reliability,
    topk_hits,
    wilson,
)
from convatlas.evaluation.protocols import PROTOCOLS, Protocol, averaged, get_protocol

__all__ = [
    "Evaluation",
    "evaluate",
    "eval_mode",
    "PROTOCOLS",
    "Protocol",
    "averaged",
    "get_protocol",
    "ClassScore",
    "Interval",
    "ReliabilityBin",
    "confusion_matrix",
    "expected_calibration_error",
    "mean_nll",
    "most_confused",
    "per_class",
    "probabilities",
    "ranks",
    "reliability",
    "topk_hits",
    "wilson",
]
