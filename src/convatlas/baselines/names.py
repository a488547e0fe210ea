"""The names of the baselines, without importing what computes them."""

from __future__ import annotations

from convatlas.message import Message

# name -> what it is, for tables and reports
BASELINES = {
    "hog": Message("histograms of oriented gradients and a linear SVM (Dalal and Triggs, CVPR 2005)"),
    "lbp": Message("local binary patterns and a linear SVM (Ojala, Pietikainen and Maenpaa, TPAMI 2002)"),
    "sift": Message("SIFT as a bag of visual words and a linear SVM (Lowe, IJCV 2004; Csurka et al., ECCV 2004)"),
}


def is_baseline(name: str) -> bool:
    """Whether a name is that of a baseline, and not of a network.

    Args:
        name: of a baseline or a network.
    """
    return name in BASELINES
