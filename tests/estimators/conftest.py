"""The digits of scikit-learn, as rows and as images, split once."""

from __future__ import annotations

import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


@pytest.fixture(scope="session")
def digits():
    """Rows and labels: X_train, X_test, y_train, y_test."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, train_size=600, test_size=200, random_state=0, stratify=y)
