"""Comparison: train several networks in the same way, measure them, and recommend one with its uncertainty."""

from convatlas.comparison.budget import Budget
from convatlas.comparison.compare import ComparisonListener, compare, default_networks, resume_comparison
from convatlas.comparison.proposal import Considered, Proposal
from convatlas.comparison.propose import propose_for
from convatlas.comparison.recommend import recommend
from convatlas.comparison.result import Comparison, ComparisonRow, Conditions, Failure, Majority, Recommendation

__all__ = [
    "Budget",
    "Comparison",
    "Conditions",
    "Considered",
    "Failure",
    "Majority",
    "Proposal",
    "Recommendation",
    "ComparisonRow",
    "ComparisonListener",
    "compare",
    "default_networks",
    "propose_for",
    "recommend",
    "resume_comparison",
]
