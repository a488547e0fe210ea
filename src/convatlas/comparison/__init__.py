"""Comparison: train several networks in the same way, measure them, and recommend one with its uncertainty."""

from convatlas.comparison.budget import Budget
from convatlas.comparison.compare import ComparisonListener, compare, default_networks, resume_comparison
from convatlas.comparison.recommend import recommend
from convatlas.comparison.result import Comparison, ComparisonRow, Conditions, Failure, Majority, Recommendation

__all__ = [
    "Budget",
    "Comparison",
    "Conditions",
    "Failure",
    "Majority",
    "Recommendation",
    "ComparisonRow",
    "ComparisonListener",
    "compare",
    "default_networks",
    "recommend",
    "resume_comparison",
]
