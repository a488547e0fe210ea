"""Embeddings: the features are those before the classifier; planes and neighbours of points whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.errors import UsageError
from convatlas.inspection.embedding import features, neighbours, pca, t_sne


def test_the_classifier_reads_the_features():
    torch.manual_seed(0)
    net = ca.create_model("resnet20_cifar").eval()
    images = torch.randn(5, 3, 32, 32)
    found = features(net, images.split(2))
    assert found.values.shape == (5, 64)
    with torch.no_grad():
        torch.testing.assert_close(net.fc(torch.from_numpy(found.values)), net(images), rtol=1e-4, atol=1e-5)


def test_the_features_of_a_convolutional_classifier_are_the_mean_of_the_maps_before_it():
    torch.manual_seed(0)
    found = features(ca.create_model("squeezenet1_1"), [torch.randn(2, 3, 64, 64)])
    assert found.values.shape == (2, 512)


def test_pca_finds_the_direction_of_the_points():
    points = np.outer(np.arange(10.0), [3.0, 4.0, 0.0])
    found = pca(points)
    assert found.explained[0] == pytest.approx(1)
    assert np.abs(np.diff(found.points[:, 0])) == pytest.approx(np.full(9, 5.0))


def test_t_sne_keeps_groups_together_and_repeats():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 0.1, (10, 5)), rng.normal(5, 0.1, (10, 5))]).astype(np.float32)
    found = t_sne(points, seed=3)
    first, second = found.points[:10].mean(axis=0), found.points[10:].mean(axis=0)
    assert np.linalg.norm(first - second) > 2 * found.points[:10].std()
    assert (t_sne(points, seed=3).points == found.points).all()


def test_the_nearest_neighbour_points_the_same_way():
    order, similar = neighbours(np.array([[0.0, 1], [5, 5], [1, 0]]), np.array([[2.0, 2.1]]), count=2)
    assert order.tolist() == [[1, 0]]
    assert similar[0, 0] == pytest.approx(1, abs=1e-3)
    with pytest.raises(UsageError, match="at least 2 images; got 1"):
        pca(np.zeros((1, 3)))
