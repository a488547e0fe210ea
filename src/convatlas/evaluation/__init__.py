"""Evaluation: metrics, named protocols, and the evaluation of a network on batches."""

from convatlas.evaluation.dense import FullyConvolutional
from convatlas.evaluation.evaluate import (
    check_network,
    common_protocol,
    ensemble,
    evaluate,
)
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
from convatlas.evaluation.protocols import (
    PROTOCOLS,
    ImageRegion,
    Pass,
    Protocol,
    average_views,
    get_protocol,
    log_mean_probability,
)
from convatlas.evaluation.result import Evaluation

__all__ = [
    "Evaluation",
    "evaluate",
    "ensemble",
    "common_protocol",
    "check_network",
    "FullyConvolutional",
    "PROTOCOLS",
    "ImageRegion",
    "Pass",
    "Protocol",
    "average_views",
    "get_protocol",
    "log_mean_probability",
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
