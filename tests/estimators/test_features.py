"""`CNNFeatures`: the penultimate features of a network as a transformer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import convatlas as ca
from convatlas import CNNClassifier, CNNFeatures
from convatlas.errors import CheckpointError


def test_a_pipeline_with_the_features_of_random_filters(digits):
    X, _, y, _ = digits
    pipeline = make_pipeline(
        CNNFeatures("lenet5@modern", random_state=0), StandardScaler(), LogisticRegression(max_iter=500)
    )
    assert cross_val_score(pipeline, X, y, cv=2).mean() > 0.8


def test_the_features_of_a_fitted_classifier(digits):
    X, X_test, y, _ = digits
    classifier = CNNClassifier(epochs=2, random_state=0).fit(X[:200], y[:200])
    features = CNNFeatures(classifier).fit(X[:200])
    values = features.transform(X_test)
    assert values.shape == (200, 84)
    assert values.dtype == np.float32
    assert list(features.get_feature_names_out()[:2]) == ["cnnfeatures0", "cnnfeatures1"]
    last = [module for module in classifier.module_.modules() if isinstance(module, nn.Linear)][-1]
    logits = values @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(logits, classifier.decision_logits(X_test), atol=1e-4)


def test_the_features_of_a_run(digits, tmp_path):
    _, X, _, _ = digits
    run = ca.train("lenet5@modern", data="digits", epochs=1, out=tmp_path)
    images = np.rint(X.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    by_run, by_path = (CNNFeatures(network).fit(images) for network in (run, str(run.path)))
    np.testing.assert_array_equal(by_run.transform(images), by_path.transform(images))
    assert by_run.preprocessing_ == run.preprocessing


def test_a_module_and_images_of_another_size():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 30, 3), dtype=np.uint8)
    features = CNNFeatures(net, image_size=16).fit(images)
    assert features.transform(images).shape == (6, 5)
    assert features.transform(images[:, :12]).shape == (6, 5)


def test_the_same_random_state_and_a_pickle_give_the_same_features(digits):
    X, _, _, _ = digits
    first, second, other = (CNNFeatures("lenet5@modern", random_state=seed).fit(X) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.transform(X[:5]), second.transform(X[:5]))
    assert not np.array_equal(first.transform(X[:5]), other.transform(X[:5]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first)).transform(X[:5]), first.transform(X[:5]))


def test_a_file_of_weights(digits, tmp_path):
    X, _, _, _ = digits
    run = ca.train("lenet5@modern", data="digits", epochs=1, out=tmp_path)
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        CNNFeatures("lenet5@modern", weights=str(tmp_path / "none.safetensors")).fit(X)
    net = CNNFeatures("lenet5@modern", weights=str(run.path / "model.safetensors")).fit(X)
    assert net.transform(X[:3]).shape == (3, 84)
