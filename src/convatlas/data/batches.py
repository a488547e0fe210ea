"""Batches from images in memory: the order depends on (seed, epoch), augmentation on (seed, epoch, sample)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convatlas.batch import Batch
from convatlas.data import geometry, keyed
from convatlas.data.augment import augmented, mix
from convatlas.data.augmentation import Augmentation
from convatlas.data.keyed import Draws
from convatlas.data.normalisation import Normalisation
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.store import ImageStore
from convatlas.errors import ShapeError, UsageError

_MIXES = "mix"


class Batches:
    """Training or evaluation batches over images ``indices`` of a store.

    ``epoch(e)`` yields a `Batch` for each step: images float32 (N, C, H, W), channels_last, normalised;
    targets int64 (N,), or float32 (N, K) with mixup or cutmix. ``epoch(e, start_step=s)`` yields the same batches as
    ``epoch(e)`` from step s on, without computing those before.

    Args:
        store: the decoded images.
        labels: (len(store),) int64, of all images of the store.
        indices: the images of these batches; in this order when ``shuffle`` is off.
        preprocessing: its ``size`` is the crop, its ``mean`` and ``std`` the normalisation; by default the store's own.
        augment: what is done to the images, resolved for ``preprocessing``; None: the centre crop, as in evaluation.
        shuffle: a new order every epoch.
        sampling: "natural" takes every image once per epoch. "balanced" takes the same number of images per epoch, with
            the classes as equal as possible: images of a small class repeat, and a large class is sampled anew.
        repeats: times that an image occurs in a row, each time with another augmentation (Hoffer et al.,
            arXiv:1901.09335); an epoch keeps its number of images, so it has fewer different ones.
        drop_last: leave out a last batch that is smaller.
        merge_last: a last batch of one image joins the one before, which then has one image more; batch norm needs two.
        device: where the batches are made. Pixels in memory are copied there once.
        batch_size: images of a batch; the last may be smaller.
        seed: of the order and the augmentation.
    """

    def __init__(
        self,
        store: ImageStore,
        labels: np.ndarray,
        indices: np.ndarray,
        *,
        batch_size: int,
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
        augment: Augmentation | None = None,
        shuffle: bool = True,
        sampling: str = "natural",
        repeats: int = 1,
        drop_last: bool = False,
        merge_last: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        preprocessing = store.preprocessing if preprocessing is None else preprocessing
        if batch_size < 1:
            raise UsageError("batch_size is {batch_size}; expected at least 1", batch_size=batch_size)
        if len(labels) != len(store):
            raise UsageError(
                "{labels} labels for a store of {store} images; expected one for each",
                labels=len(labels),
                store=len(store),
            )
        if preprocessing.size[0] > store.pixels.shape[1] or preprocessing.size[1] > store.pixels.shape[2]:
            kept = f"{store.pixels.shape[1]} x {store.pixels.shape[2]}"
            raise ShapeError(
                "crops of {height} x {width} do not fit in the stored images of {kept}",
                height=preprocessing.size[0],
                width=preprocessing.size[1],
                kept=kept,
            )
        if preprocessing.channels != store.pixels.shape[3]:
            raise ShapeError(
                "the preprocessing has {channels} channels, the stored images have {stored}",
                channels=preprocessing.channels,
                stored=store.pixels.shape[3],
            )
        if sampling not in ("natural", "balanced") or (sampling == "balanced" and not shuffle):
            raise UsageError("sampling is {sampling!r}; expected natural, or balanced with shuffle", sampling=sampling)
        self.store, self.preprocessing, self.seed = store, preprocessing, seed
        self.augment = None if augment is None else augment.resolved_for(preprocessing)
        self.batch_size, self.shuffle, self.drop_last, self.sampling = batch_size, shuffle, drop_last, sampling
        if repeats < 1 or (repeats > 1 and (not shuffle or sampling == "balanced")):
            raise UsageError(
                "repeats is {repeats}; expected at least 1, and more only with shuffle and natural sampling",
                repeats=repeats,
            )
        self.merge_last, self.repeats = merge_last, repeats
        self.device = torch.device(device)
        self.indices = torch.from_numpy(np.array(indices, dtype=np.int64))
        self.classes = int(labels.max()) + 1 if len(labels) else 0
        self._labels_here = np.array(labels, dtype=np.int64)
        self.labels = torch.from_numpy(self._labels_here).to(self.device)
        self._normalisation = Normalisation(preprocessing, self.device)

    def __len__(self) -> int:
        """Steps per epoch."""
        whole, rest = divmod(len(self.indices), self.batch_size)
        if self.merge_last and rest == 1 and whole:
            return whole
        return whole + (1 if rest and not self.drop_last else 0)

    def end(self, step: int) -> int:
        """The place in the order of an epoch at which the batch of a step ends."""
        last = step == len(self) - 1 and not self.drop_last
        return len(self.indices) if last else (step + 1) * self.batch_size

    def order(self, epoch: int) -> Tensor:
        """The images of an epoch in their order, (n,) int64: indices into the store, plus its length for every time
        that the image occurred before in this epoch, so that it looks different each time."""
        if not self.shuffle:
            return self.indices
        chosen = self.indices if self.sampling == "natural" else self._balanced(epoch)
        order = chosen[keyed.permutation(keyed.key(self.seed, epoch, "order"), len(chosen))]
        if self.repeats == 1:
            return order
        again = torch.arange(self.repeats) * len(self.store)  # each time as another sample, so with other draws
        return (order[: -(-len(order) // self.repeats), None] + again).flatten()[: len(order)]

    def _balanced(self, epoch: int) -> Tensor:
        """Return as many images as there are, the classes equally often; random classes get one image more."""
        labels = torch.from_numpy(self._labels_here)[self.indices]
        present = labels.unique()
        share, rest = divmod(len(self.indices), len(present))
        favoured = keyed.permutation(keyed.key(self.seed, epoch, "favoured classes"), len(present)) < rest
        chosen = []
        for label, more in zip(present.tolist(), favoured.tolist(), strict=True):
            images = self.indices[labels == label]
            shuffled = images[keyed.permutation(keyed.key(self.seed, epoch, "of class", label), len(images))]
            place = torch.arange(share + more)
            chosen.append(shuffled[place % len(images)] + place // len(images) * len(self.store))
        return torch.cat(chosen)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from ``start_step`` on."""
        order = self.order(epoch)
        for step in range(start_step, len(self)):
            samples = order[step * self.batch_size : self.end(step)]
            yield self.batch(samples, epoch, step)

    def batch(self, samples: Tensor, epoch: int = 0, step: int = 0) -> Batch:
        """One batch of the given images (int64, as in ``order``), with the augmentation of ``epoch``."""
        rows = samples % len(self.store)
        labels = self.labels[rows.to(self.device)]
        if self.augment is None:
            crops = geometry.centre_crop(self.store.on(self.device), self.preprocessing.size)
            return Batch(self._normalisation(self._taken(crops, rows)), labels)
        draws = Draws(self.seed, epoch, samples.to(self.device), samples)
        crops = self._cropped(rows, self.augment, draws)
        images = augmented(crops, self.augment, draws, self._normalisation, self._principal_colours)
        if self.augment.mixes:
            stream = keyed.key(self.seed, epoch, _MIXES, step)
            return Batch(*mix(images, labels, self.augment, self.classes, stream))
        return Batch(images, labels)

    def _taken(self, pixels: Tensor, rows: Tensor) -> Tensor:
        """The rows of the store, on the device: from a mapped file, which stays in main memory, batch by batch."""
        return pixels.index_select(0, rows.to(pixels.device)).to(self.device, non_blocking=True)

    def _cropped(self, rows: Tensor, augment: Augmentation, draws: Draws) -> Tensor:
        """uint8 (N, *size, C), of the images ``rows`` of the store."""
        size, background = self.preprocessing.size, self._normalisation.background
        pixels = self.store.on(self.device)
        if not augment.affine and pixels.device.type == self.device.type:
            return geometry.random_crop(pixels, size, augment, draws, background, rows.to(self.device))
        pixels = self._taken(pixels, rows)
        if not augment.affine:
            return geometry.random_crop(pixels, size, augment, draws, background)
        matrix = geometry.affine_boxes(augment, draws, (pixels.shape[1], pixels.shape[2]), size)
        sampled = geometry.sample_affine(pixels.permute(0, 3, 1, 2).float(), matrix, size, background.float())
        return sampled.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    @cached_property
    def _principal_colours(self) -> Tensor | None:
        """(3, 3): eigenvalue times eigenvector of the colours of up to 10,000 of these images; None for grey ones."""
        if self.preprocessing.channels != 3 or self.augment is None or not self.augment.pca_noise:
            return None
        spread = self.indices[torch.linspace(0, len(self.indices) - 1, min(10_000, len(self.indices))).long()]
        sums, products, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64), 0
        for chunk in spread.split(500):
            colours = self.store.pixels[chunk].reshape(-1, 3).double() / 255
            sums, products, count = sums + colours.sum(0), products + colours.T @ colours, count + len(colours)
        mean = sums / count
        values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        return (vectors * values.clamp(min=0)).T.float().to(self.device)


def prepare(images: Sequence[np.ndarray], preprocessing: Preprocessing) -> Tensor:
    """Images from ``preprocessing.apply`` or ``load_file`` as the batch of an evaluation: float32 (N, C, H, W).

    Args:
        images: uint8 (h, w, C) each, of the stored size.
    """
    pixels = torch.from_numpy(np.stack(images))
    return Normalisation(preprocessing, torch.device("cpu"))(geometry.centre_crop(pixels, preprocessing.size))
