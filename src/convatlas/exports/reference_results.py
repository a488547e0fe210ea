"""`compute_reference`: the results of the network itself, in PyTorch, with which an exported file is compared."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from convatlas import data as room
from convatlas.data.dataset import Dataset, printable
from convatlas.data.preprocessing import Preprocessing
from convatlas.exports.reference import Reference, content_digest, dataset_name, digest, prepared, probes
from convatlas.modes import eval_mode

BATCH = 32
NOISE_IMAGES = 4  # on which the rounding noise of the network is measured


def compute_reference(
    net: nn.Module,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    *,
    any_size: bool = False,
    dataset: Dataset | None = None,
    indices: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    part: str | None = None,
    n_of: int | None = None,
    notes: tuple[str, ...] = (),
) -> Reference:
    """Compute the reference of a network on images of a data set, and on the probes.

    Args:
        any_size: whether the probes are of other sizes than the network's input.
        indices: of the images to check; None for the probes alone.
        labels: of all images of the data set, as indices of ``classes``; None if they are not known.
        n_of: number of images of which ``indices`` are a selection.
    """
    indices = np.empty(0, dtype=np.int64) if indices is None else indices
    made = [prepared(each, preprocessing) for each in probes(preprocessing, any_size)]
    probe_logits = logits_of(net, made, preprocessing)
    files, pixels, logits = [], [], [np.empty((0, probe_logits.shape[1]))]
    sample = made[:NOISE_IMAGES]
    for start in range(0, len(indices), BATCH):
        assert dataset is not None, "images belong to a data set"
        batch = []
        for index in indices[start : start + BATCH].tolist():
            files.append(content_digest(dataset, index))
            batch.append(prepared(dataset.read(index, preprocessing.at_least), preprocessing))
            pixels.append(digest(batch[-1].tobytes()))
        logits.append(logits_of(net, batch, preprocessing))
        sample = [*sample, *batch][-2 * NOISE_IMAGES :]
    none = np.empty((0, 32), dtype=np.uint8)
    return Reference(
        classes=classes,
        weights_sha256=weights_digest(net),
        data=None if dataset is None else dataset_name(dataset),
        part=part,
        n_of=len(indices) if n_of is None else n_of,
        names=() if dataset is None else tuple(printable(dataset.names[int(index)]) for index in indices),
        files=np.stack(files) if files else none,
        pixels=np.stack(pixels) if pixels else none,
        labels=np.full(len(indices), -1) if labels is None else labels[indices].astype(np.int64),
        logits=np.concatenate(logits).astype(np.float32),
        probe_logits=probe_logits.astype(np.float32),
        noise=noise_of(net, sample, preprocessing),
        notes=notes,
    )


def weights_digest(net: nn.Module) -> str:
    """SHA-256 over the names and bytes of all tensors of a network, in the order of their names."""
    total = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def noise_of(net: nn.Module, images: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> float:
    """The largest difference that rounding to float32 makes to a logit of the network itself."""
    exact = logits_of(copy.deepcopy(net).double(), images, preprocessing, torch.float64)
    return float(np.abs(logits_of(net, images, preprocessing) - exact).max())


def logits_of(
    net: nn.Module,
    images: Sequence[NDArray[np.uint8]],
    preprocessing: Preprocessing,
    kind: torch.dtype = torch.float32,
) -> NDArray[np.float64]:
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    with eval_mode(net), torch.inference_mode():
        logits = net(room.prepare(images, replace(preprocessing, margin=1.0)).to(device, kind))
    return np.asarray(logits.cpu().numpy(), dtype=np.float64)
