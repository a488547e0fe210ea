"""Hand-made features: what they must respond to, their classifier, and their place in a comparison."""

from __future__ import annotations

import numpy as np
import pytest

from convatlas.baselines import BASELINES, baseline
from convatlas.baselines.features import HOG, LBP, BagOfSIFT, grey_square, side_for
from convatlas.comparison import compare
from convatlas.errors import UnknownNameError, UsageError

pytest.importorskip("skimage", reason="hand-made features need scikit-image")


def stripes(side: int, horizontal: bool) -> np.ndarray:
    """(side, side, 1): stripes of four pixels."""
    line = ((np.arange(side) // 4) % 2 * 255).astype(np.uint8)
    picture = np.repeat(line[:, None], side, axis=1)
    return np.ascontiguousarray((picture if horizontal else picture.T)[:, :, None])


def test_hog_of_stripes_has_one_orientation():
    """The gradient of horizontal stripes is vertical: of 9 orientations one holds everything, another for vertical."""
    extract = HOG(side=64)
    found = [extract(stripes(64, horizontal)).reshape(-1, 9).sum(axis=0) for horizontal in (True, False)]
    assert [int(total.argmax()) for total in found] == [4, 0]
    for total in found:
        assert total.max() > 0.99 * total.sum()


def test_lbp_of_a_flat_image_is_one_pattern_and_does_not_depend_on_brightness():
    extract = LBP(side=32)
    dark, bright = (extract(np.full((32, 32, 1), value, np.uint8)) for value in (40, 200))
    assert np.array_equal(dark, bright)
    regions = dark.reshape(4, 4, 59)
    assert regions[1, 1].max() == 1.0  # every pixel away from the border has the same pattern
    assert regions.sum(axis=2).ravel().tolist() == [1.0] * 16


def test_sift_without_keypoints_is_a_histogram_of_zeros_and_refused_for_training():
    flat = np.full((32, 32, 1), 100, np.uint8)
    words = BagOfSIFT(32, 3, np.eye(3, 128, dtype=np.float32))
    assert words(flat).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(UsageError, match="no keypoint"):
        BagOfSIFT(32).fit([flat, flat], seed=0)


def test_images_become_grey_squares_of_about_their_size():
    colour = np.zeros((40, 60, 3), np.uint8)
    colour[..., 1] = 255
    assert grey_square(colour, 32).shape == (32, 32)
    assert grey_square(colour, 32).mean() == pytest.approx(0.587, abs=0.01)  # the luma of green
    assert side_for([colour]) == 40
    assert side_for([np.zeros((500, 375, 3), np.uint8)]) == 128


@pytest.mark.parametrize("classes", [2, 3])
def test_a_baseline_separates_what_its_features_see(classes):
    rng = np.random.default_rng(0)
    images, labels = [], []
    for index in range(30):
        label = index % classes
        noise = rng.integers(0, 60, (32, 32, 1)).astype(np.uint8)
        images.append((stripes(32, horizontal=label == 0) // 2 + noise) if label < 2 else noise)
        labels.append(label)
    labels = np.array(labels, dtype=np.int64)
    fitted = baseline("hog").fit(images, labels, classes)
    logits = fitted.logits(images)
    assert logits.shape == (30, classes)
    assert (logits.argmax(axis=1) == labels).all()
    assert np.array_equal(logits, baseline("hog").fit(images, labels, classes).logits(images))  # repeats exactly


def test_unknown_baselines_are_named():
    with pytest.raises(UnknownNameError, match="hog"):
        baseline("hogg")
    assert set(BASELINES) == {"hog", "lbp", "sift"}


def test_features_stand_beside_networks_in_a_comparison(tmp_path):
    found = compare(["mlp", "hog"], epochs=1, out=tmp_path, threads=1)
    features = next(row for row in found.rows if row.model == "hog")
    assert features.test_top1 > 0.9
    assert features.macs is None
    assert features.size_bytes == (found.folder / "hog.safetensors").stat().st_size
    assert features.latency.p50_s > 0
    assert "hog" in found.report.read_text()
    assert found.conditions.command.startswith("convatlas compare mlp hog ")


def test_features_alone_are_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one network beside hog"):
        compare(["hog"], epochs=1, out=tmp_path)
