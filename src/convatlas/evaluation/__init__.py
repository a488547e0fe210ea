"""Metrics, named protocols, and the evaluation of a network on batches."""

from convatlas.evaluation.dense import FullyConvolutional
from convatlas.evaluation.evaluate import Evaluation, ensemble, evaluate, one_protocol, try_out
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
from convatlas.evaluation.protocols import PROTOCOLS, Canvas, Look, Protocol, averaged, get_protocol, log_mean

__all__ = [
    "Evaluation",
    "evaluate",
    "ensemble",
    "one_protocol",
    "try_out",
    "FullyConvolutional",
    "PROTOCOLS",
    "Canvas",
    "Look",
    "Protocol",
    "averaged",
    "get_protocol",
    "log_mean",
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
