"""Hand-made features of one image: a vector of fixed length.

Every extractor makes its image grey and square first: bilinear, ``side`` pixels. Settings are those of the papers where
they print them; cells are smaller on small images, so that there are always about eight along a side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convatlas.errors import MissingDependencyError, UsageError
from convatlas.message import Message

Vector = NDArray[np.float32]


def need_skimage() -> None:
    """Raise MissingDependencyError where scikit-image is not installed."""
    try:
        import skimage.feature  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("scikit-image", "features", Message("a baseline of hand-made features")) from error


def grey_square(image: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """(side, side) luma from 0 to 1 of a uint8 image (H, W, C); Pillow's bilinear filter."""
    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    picture = Image.fromarray(pixels).convert("L").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float64) / 255


def side_for(images: Sequence[NDArray[np.uint8]]) -> int:
    """The side for a data set: the median of the shorter sides, from 32 to 128 pixels, a multiple of 8."""
    shorter = float(np.median([min(image.shape[:2]) for image in images]))
    return int(np.clip(round(shorter / 8) * 8, 32, 128))


@dataclass(frozen=True)
class HOG:
    """Histograms of oriented gradients: 9 orientations, blocks of 2 x 2 cells, L2-Hys (Dalal and Triggs 2005, sec. 6).

    The paper's cells have 8 pixels on windows of 64 x 128; here a cell is an eighth of the side.
    """

    side: int

    def fit(self, images: Sequence[NDArray[np.uint8]], seed: int) -> HOG:
        return self

    def __call__(self, image: NDArray[np.uint8]) -> Vector:
        from skimage.feature import hog

        cell = max(2, self.side // 8)
        found = hog(
            grey_square(image, self.side),
            orientations=9,
            pixels_per_cell=(cell, cell),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
        )
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True)
class LBP:
    """Uniform local binary patterns, P = 8 and R = 1, in histograms of 4 x 4 regions. Ojala et al. 2002, section 2.

    The regions are those of Ahonen, Hadid and Pietikainen, ECCV 2004.
    """

    side: int
    regions: int = 4

    def fit(self, images: Sequence[NDArray[np.uint8]], seed: int) -> LBP:
        return self

    def __call__(self, image: NDArray[np.uint8]) -> Vector:
        from skimage.feature import local_binary_pattern

        grey = np.round(grey_square(image, self.side) * 255).astype(np.uint8)
        codes = local_binary_pattern(grey, P=8, R=1, method="nri_uniform").astype(np.int64)
        size = self.side // self.regions
        parts = []
        for top in range(0, size * self.regions, size):
            for left in range(0, size * self.regions, size):
                region = codes[top : top + size, left : left + size]
                parts.append(np.bincount(region.ravel(), minlength=59) / region.size)
        return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True)
class BagOfSIFT:
    """SIFT descriptors assigned to visual words, as a histogram. Lowe 2004; Csurka et al. 2004, section 2.

    Args:
        words: size of the vocabulary, k-means centres of descriptors of the training images.
        centres: (words, 128); None before `fit`.
    """

    side: int
    words: int = 200
    centres: NDArray[np.float32] | None = None

    def fit(self, images: Sequence[NDArray[np.uint8]], seed: int, at_most: int = 1000) -> BagOfSIFT:
        """The vocabulary of the descriptors of at most ``at_most`` images, evenly chosen.

        Raises:
            UsageError: no keypoint was found in any of them.
        """
        from sklearn.cluster import MiniBatchKMeans

        step = max(1, len(images) // at_most)
        found = [descriptors for image in images[::step] if len(descriptors := self.descriptors(image))]
        if not found:
            raise UsageError("SIFT found no keypoint in the training images. Choose another baseline: hog or lbp.")
        stacked = np.concatenate(found)
        words = min(self.words, len(stacked))
        means = MiniBatchKMeans(words, random_state=seed, n_init=1, batch_size=2048).fit(stacked)
        return BagOfSIFT(self.side, words, np.asarray(means.cluster_centers_, dtype=np.float32))

    def descriptors(self, image: NDArray[np.uint8]) -> Vector:
        """(keypoints, 128) of an image, values from 0 to 1; may be empty."""
        from skimage.feature import SIFT

        sift = SIFT(upsampling=2)
        try:
            sift.detect_and_extract(grey_square(image, self.side))
        except RuntimeError:  # scikit-image raises it where there is no keypoint
            return np.zeros((0, 128), dtype=np.float32)
        return np.asarray(sift.descriptors, dtype=np.float32) / np.float32(255)

    def __call__(self, image: NDArray[np.uint8]) -> Vector:
        assert self.centres is not None, "fit comes first"
        histogram = np.zeros(len(self.centres), dtype=np.float32)
        found = self.descriptors(image)
        if len(found):
            distances = (self.centres**2).sum(axis=1) - 2 * found @ self.centres.T  # up to a constant per descriptor
            words, counts = np.unique(distances.argmin(axis=1), return_counts=True)
            histogram[words] = counts / counts.sum()
        return histogram


Extractor = HOG | LBP | BagOfSIFT
EXTRACTORS: dict[str, type[HOG] | type[LBP] | type[BagOfSIFT]] = {"hog": HOG, "lbp": LBP, "sift": BagOfSIFT}


def extracted(extractor: Extractor, images: Iterable[NDArray[np.uint8]]) -> Vector:
    """(N, features) of all images."""
    return np.stack([extractor(image) for image in images]).astype(np.float32)
