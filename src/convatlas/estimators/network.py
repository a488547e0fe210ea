"""The network of an estimator: training without a run directory, logits of images, and the form in which it is kept."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from convatlas import models, training
from convatlas.data import Batches, Dataset, Preprocessing, Split, load_images, prepare
from convatlas.errors import Interrupted, UsageError
from convatlas.models import own
from convatlas.modes import eval_mode
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.registry import recipe_for
from convatlas.runs.evaluation_images import batch_size
from convatlas.runs.options import RunOptions, apply
from convatlas.runs.prepare import Setup, entry_for, validator
from convatlas.runs.prepare import prepare as prepare_training
from convatlas.runs.train import loop_plan
from convatlas.runs.training_data import TrainingData
from convatlas.training import Learner, checkpoint, losses, optim
from convatlas.training.loop import TrainingListener, seed_update

# an estimator leaves the process as it was, and its result must not depend on what a trial measured
OPTIONS = RunOptions(trial=False, compile="off", allocator=False, checkpoint_every_s=1e9)


@dataclass(frozen=True)
class Identity:
    """What is needed to build the network of an estimator again.

    Attributes:
        network: its name; "" for a module of the user's own.
        classes: number of outputs.
        channels: of the images.
        side: of the square input, pixels.
    """

    network: str
    classes: int
    channels: int
    side: int

    def build(self) -> nn.Module:
        """The network with random weights.

        Raises:
            UsageError: the network is a module that was passed to the estimator, so its class is not known.
        """
        if not self.network:
            raise UsageError("the network is a module of your own, which cannot be built from a file: pass network=...")
        with torch.random.fork_rng(devices=()):
            return models.create_model(self.network, self.classes, self.channels, self.side)


class Epochs(TrainingListener):
    """Collects the lines of the epochs, and shows each to ``show``."""

    def __init__(self, show: Callable[[dict[str, Any]], None]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._show = show

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        self.lines.append(epoch)
        self._show(epoch)


@contextlib.contextmanager
def restored_torch() -> Iterator[None]:
    """Leave torch's random generator and its number of threads as they were."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=()):
            yield
    finally:
        torch.set_num_threads(threads)


def settings_for(
    network: str | nn.Module, recipe: str | Recipe, settings: Mapping[str, Any], validates: bool
) -> tuple[Recipe, RunOptions]:
    """The recipe and the options of a training.

    Args:
        validates: whether there may be a validation set.

    Raises:
        UsageError: an unknown name, or a value out of range.
    """
    chosen = recipe_for(entry_for(network), recipe) if isinstance(recipe, str) else recipe
    if not validates:
        settings = {"validation_images": 0, "keep": "last", **settings}
    return apply(chosen, OPTIONS, settings)


def prepared_training(
    network: str | nn.Module,
    data: Dataset,
    split: Split,
    recipe: Recipe,
    options: RunOptions,
    seed: int,
    download: bool,
) -> Setup:
    """Everything a training needs; the network has its initial weights."""
    training_data = TrainingData(data, split=split, seed=seed)
    return prepare_training(network, training_data, recipe, seed, options=options, download=download, needs_test=False)


def trained(setup: Setup, show: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Train the network of a setup in place; it then has the weights that the recipe keeps.

    Returns:
        The lines of the epochs, as in ``metrics.jsonl`` of a run.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the current update.
        TrainingError: the loss diverged.
    """
    epochs, learner = Epochs(show), setup.learner()
    with tempfile.TemporaryDirectory(prefix="convatlas-") as name:
        folder = Path(name)
        try:
            state = training.fit(
                learner,
                setup.batches,
                setup.loss(),
                loop_plan(setup),
                hardware=setup.hardware,
                folder=folder,
                validate=validator(setup),
                listener=epochs,
            )
        except Interrupted as error:
            raise KeyboardInterrupt from error
        if setup.recipe.keep == "best" and state.best_epoch is not None:
            tensors, _ = checkpoint.load(checkpoint.best(folder))
            checkpoint.load_network(tensors, setup.net)
        else:
            with training.evaluation_weights(learner.callbacks):
                averaged = {name: tensor.detach().clone() for name, tensor in setup.net.state_dict().items()}
            setup.net.load_state_dict(averaged)
    setup.net.eval()
    return epochs.lines


@dataclass
class Updates:
    """Single passes over images as they come, at a constant learning rate.

    Attributes:
        passes: made so far; it keys the order and the augmentation of the next pass.
    """

    learner: Learner
    loss: losses.Loss
    recipe: Recipe
    hardware: training.Hardware
    preprocessing: Preprocessing
    seed: int
    merge_last: bool
    passes: int = 0

    @classmethod
    def of(cls, setup: Setup, net: nn.Module | None = None) -> Updates:
        """Passes that train the network of a setup, or ``net``, which is prepared in the same way."""
        recipe = setup.recipe
        learner = setup.learner(net)
        optim.set_lr(learner.optimizer, recipe.lr)
        return cls(
            learner,
            setup.loss(),
            recipe,
            setup.hardware,
            setup.preprocessing,
            setup.seed,
            setup.batches.merge_last,
        )

    def one_pass(self, data: Dataset) -> float:
        """Train on each image of ``data`` once. Returns the mean loss."""
        store = load_images(data, self.preprocessing)
        batches = Batches(
            store,
            data.labels,
            np.arange(len(data)),
            batch_size=self.recipe.batch_size,
            seed=self.seed,
            preprocessing=self.preprocessing,
            augment=self.recipe.augment,
            merge_last=self.merge_last,
            device=self.hardware.device,
        )
        batches.classes = len(data.classes)
        total, net = 0.0, self.learner.net.train()
        for callback in self.learner.callbacks:
            callback.before_epoch(self.passes)
        for step, batch in enumerate(batches.epoch(self.passes)):
            seed_update(self.seed, (self.passes << 20) + step, 0)
            result = training.train_step(
                net,
                batch,
                self.loss,
                self.learner.optimizer,
                autocast=self.hardware.autocast(),
                max_grad_norm=self.recipe.max_grad_norm,
                accumulate=self.recipe.accumulate,
            )
            for callback in self.learner.callbacks:
                callback.after_update(step + 1)
            total += float(result.loss) * len(batch.images)
        self.passes += 1
        net.eval()
        return total / len(data)


def outputs(
    net: nn.Module,
    images: Iterator[np.ndarray],
    preprocessing: Preprocessing,
    read: Callable[[nn.Module, Tensor], Tensor],
) -> np.ndarray:
    """What ``read`` makes of a network and each batch of images, in fp32 and evaluation mode.

    Args:
        images: uint8 (h, w, c), of any size.
        read: from the network and (N, C, H, W) to (N, D).

    Returns:
        (N, D) float32.
    """
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    size = batch_size(*preprocessing.size)
    batch: list[np.ndarray] = []
    rows: list[np.ndarray] = []

    def finish() -> None:
        if batch:
            rows.append(read(net, prepare(batch, preprocessing).to(device)).float().cpu().numpy())
            batch.clear()

    with eval_mode(net), torch.inference_mode():
        for pixels in images:
            batch.append(preprocessing.apply(pixels))
            if len(batch) == size:
                finish()
        finish()
    return np.concatenate(rows)


def packed(net: nn.Module) -> bytes:
    """The weights of a network as the bytes of a safetensors file."""
    return safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in net.state_dict().items()})


def unpacked(identity: Identity, content: bytes, net: nn.Module | None = None) -> nn.Module:
    """The network of an identity, or ``net``, with the weights that `packed` wrote, in evaluation mode."""
    net = identity.build() if net is None else net
    checkpoint.load_network(safetensors.torch.load(content), net, prefix="")
    return net.eval()


def identity_of(network: str | nn.Module, setup: Setup) -> Identity:
    """The identity of the network of a setup."""
    data = setup.training_data.dataset
    name = own.full_name(network) if isinstance(network, str) else ""
    return Identity(name, len(data.classes), setup.preprocessing.channels, setup.preprocessing.size[0])
