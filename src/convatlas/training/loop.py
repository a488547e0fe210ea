"""The training loop: epochs of updates, a validation after each epoch, a journal and checkpoints.

All random numbers of an update are keyed by (seed, update), and all batches by (seed, epoch, sample). So the state of a
run is `State`, the network, the optimizer and the callbacks, and nothing else: a run that was killed and resumed ends
with the same bits as an uninterrupted run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.batch import Batch, EpochBatches
from convatlas.errors import Interrupted, NonFiniteLossError
from convatlas.message import Message
from convatlas.training import checkpoint, optim
from convatlas.training.callback import describe_weights, evaluation_weights
from convatlas.training.distributed import SINGLE_PROCESS, ProcessGroup
from convatlas.training.hardware import Hardware
from convatlas.training.journal import Journal, NoJournal
from convatlas.training.learner import Learner
from convatlas.training.losses import Loss
from convatlas.training.schedule import Progress, Schedule, constant
from convatlas.training.signals import StopRequest
from convatlas.training.step import StepResult, train_step

RECORD_EVERY = 20  # updates between two readings of the loss: a reading waits for the device
EXPLODED_LOSS = 1e4  # a mean loss from which no training here recovers, whatever its unit


@dataclass
class State:
    """Everything that a run must remember besides its network, optimizer and callbacks.

    Attributes:
        hits: correct images of the current epoch.
        images: images of the current epoch.
        best_epoch: the epoch with the best validation score.
        journal_bytes: length of the journal.
    """

    step: int = 0  # updates made
    loss_sum: float = 0.0  # of the current epoch, weighted by images
    hits: int = 0
    images: int = 0
    scores: list[float] = field(default_factory=list)  # of the validation after each finished epoch
    best_epoch: int | None = None
    train_s: float = 0.0  # spent in updates, over all sessions
    compile_s: float = 0.0  # spent in torch.compile; not part of train_s
    journal_bytes: int = 0

    @property
    def best_score(self) -> float:
        return -math.inf if self.best_epoch is None else self.scores[self.best_epoch]

    @property
    def stalled(self) -> int:
        """Epochs since the validation score last rose. An epoch that only equals the best has not raised it."""
        return len(self.scores) - 1 - self.scores.index(max(self.scores)) if self.scores else 0

    def start_epoch(self) -> None:
        self.loss_sum, self.hits, self.images = 0.0, 0, 0


@dataclass(frozen=True)
class Plan:
    """The settings of the loop.

    Attributes:
        epochs: passes over the training images.
        lr: learning rate, which the schedule multiplies by its factor.
        seed: of the random numbers of updates.
        schedule: factor on the learning rate.
        max_grad_norm: L2 norm to which gradients are clipped; None: not.
        accumulate: parts into which a batch is split.
        checkpoint_every_s: seconds between two checkpoints.
        checkpoint_every_steps: updates between two checkpoints; None: only the time counts.
    """

    epochs: int
    lr: float
    seed: int
    schedule: Schedule = field(default_factory=constant)
    max_grad_norm: float | None = None
    accumulate: int = 1
    classifies: bool = True  # whether the targets are classes, of which hits can be counted
    patience: int | None = None  # stop after so many epochs without a better validation
    checkpoint_every_s: float = 60.0
    checkpoint_every_steps: int | None = None


@dataclass(frozen=True)
class Validation:
    """The result of a validation."""

    loss: float  # mean cross-entropy in nats; of a reconstruction, mean squared error
    top1: float | None  # share of hits; None where there are no classes

    @property
    def score(self) -> float:
        """The number by which weights are chosen; larger is better."""
        return -self.loss if self.top1 is None else self.top1


class TrainingListener:
    """Is called as a run goes on. A progress bar overrides the methods it needs."""

    def on_step(self, state: State, loss: float, images_per_s: float) -> None:
        """Some updates were made. ``loss`` is their mean."""

    def on_epoch(self, epoch: dict[str, Any]) -> None:
        """An epoch and its validation ended; ``epoch`` is its line in the journal."""


def fit(
    learner: Learner,
    batches: EpochBatches,
    loss: Loss,
    plan: Plan,
    *,
    hardware: Hardware,
    folder: Path,
    validate: Callable[[nn.Module], Validation] | None = None,
    state: State | None = None,
    listener: TrainingListener | None = None,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> State:
    """Train ``learner`` in place, starting from ``state``, and write journal and checkpoints to ``folder``.

        fit(Learner(net, torch.optim.SGD(net.parameters(), lr=0.1)), batches, losses.cross_entropy(),
            Plan(epochs=3, lr=0.1, seed=0), hardware=choose(), folder=Path("run"))

    With several processes, each of them calls this with its own rows of the batches; only rank 0 writes.

    The weights that are validated and saved as the best are those of `Callback.evaluation_weights`. Afterwards the
    network holds the trained weights.

    Args:
        batches: of the training images.
        loss: from outputs and targets to the mean loss.
        plan: epochs, learning rate and schedule.
        hardware: device, precision and memory format.
        validate: measures the network after each epoch; None: nothing is validated.
        listener: is told of the progress; None is silent.
        process_group: the processes that train together.

    Raises:
        NonFiniteLossError: the loss became nan or inf; no checkpoint is written after that.
        Interrupted: Ctrl-C or SIGTERM, on any rank; a checkpoint of the last finished update was written.
        LostRankError: another rank ended or did not answer; nothing is written after that.
    """
    return FitLoop(
        learner,
        batches,
        loss,
        plan,
        hardware,
        folder,
        validate,
        state or State(),
        listener or TrainingListener(),
        process_group,
    ).run()


@dataclass
class FitLoop:
    """The loop from ``state`` to the end of the training, or to an interruption. See `fit`."""

    learner: Learner
    batches: EpochBatches
    loss: Loss
    plan: Plan
    hardware: Hardware
    folder: Path
    validate: Callable[[nn.Module], Validation] | None
    state: State
    listener: TrainingListener
    process_group: ProcessGroup
    journal: Journal = field(init=False)
    stop: StopRequest = field(init=False)

    def __post_init__(self) -> None:
        self.steps_per_epoch = len(self.batches)
        self.module: nn.Module | None = None  # what the updates call: the learner's module, or its distributed form
        self.unrecorded: list[StepResult] = []  # updates that are not yet in the sums of `state`
        self.autocast = self.hardware.autocast()  # reused by all updates: making one takes longer than entering it
        self.lr = self.plan.lr  # of the last update
        self.recorded_at = time.perf_counter()
        self.saved_at = time.monotonic()

    def run(self) -> State:
        journal = (
            Journal(self.folder / "metrics.jsonl", self.state.journal_bytes)
            if self.process_group.is_main
            else NoJournal()
        )
        with journal as self.journal, StopRequest() as self.stop, self.process_group.detect_lost_ranks():
            while not self.finished:
                epoch, first_step = divmod(self.state.step, self.steps_per_epoch)
                self.start_epoch(epoch, first_step)
                for batch in self.batches.epoch(epoch, first_step):
                    self.update(batch)
                    if self.state.step % self.steps_per_epoch == 0:
                        break
                    stop_signal, checkpoint_due = self.agree_on_stop()
                    if stop_signal or checkpoint_due or self.state.step % RECORD_EVERY == 0:
                        self.record_updates()
                    self.save_or_stop(stop_signal, checkpoint_due)
                self.record_updates()
                self.validate_epoch(epoch)
                stop_signal, checkpoint_due = self.agree_on_stop()
                if self.finished:
                    self.save_checkpoint()
                else:
                    self.save_or_stop(stop_signal, checkpoint_due)
        return self.state

    @property
    def finished(self) -> bool:
        return finished(self.state, self.plan, self.steps_per_epoch)

    def start_epoch(self, epoch: int, first_step: int) -> None:
        """Prepare the updates of an epoch. ``first_step`` is not 0 where a resumed run starts in its middle."""
        self.learner.net.train()
        if first_step == 0:
            self.state.start_epoch()
            for callback in self.learner.callbacks:
                callback.before_epoch(epoch)
        self.module = self.process_group.distributed_module(self.learner.module, self.module)
        self.recorded_at = time.perf_counter()

    def update(self, batch: Batch) -> None:
        learner, plan, state, process_group = self.learner, self.plan, self.state, self.process_group
        assert self.module is not None
        total_steps = plan.epochs * self.steps_per_epoch
        self.lr = plan.lr * plan.schedule(Progress(state.step, self.steps_per_epoch, total_steps, state.scores))
        optim.set_lr(learner.optimizer, self.lr)
        seed_update(plan.seed, state.step, process_group.rank)
        process_group.set_batch_share(batch)
        result = train_step(
            self.module,
            batch,
            self.loss,
            learner.optimizer,
            autocast=self.autocast,
            max_grad_norm=plan.max_grad_norm,
            accumulate=plan.accumulate,
        )
        self.unrecorded.append(result)
        process_group.average_statistics(learner.net)
        state.step += 1
        for callback in learner.callbacks:
            callback.after_update(state.step)

    def agree_on_stop(self) -> tuple[int, bool]:
        """Return the number of the signal that stops the training, or 0, and whether a checkpoint is due.

        The answer is the same on every rank: a signal may reach one of them only, and their clocks differ.
        """
        every = self.plan.checkpoint_every_steps
        due = every is not None and self.state.step % every == 0
        late = self.process_group.is_main and time.monotonic() - self.saved_at > self.plan.checkpoint_every_s
        stop_signal, checkpoint_due = self.process_group.max_over_ranks(self.stop.signal_number or 0, due or late)
        return stop_signal, bool(checkpoint_due)

    def record_updates(self) -> None:
        """Wait for the device, and add the results of the last updates to the sums of the epoch."""
        loss, images = add_results(self.state, self.unrecorded, self.process_group)
        self.unrecorded.clear()
        now = time.perf_counter()
        seconds, self.recorded_at = now - self.recorded_at, now
        self.state.train_s += seconds
        self.listener.on_step(self.state, loss, images / max(1e-9, seconds))
        refuse_divergence(loss, self.state, self.plan)

    def save_or_stop(self, stop_signal: int, checkpoint_due: bool) -> None:
        """Save a checkpoint where one is due, or before stopping.

        Raises:
            Interrupted: there is a ``stop_signal``.
        """
        if stop_signal or checkpoint_due:
            self.save_checkpoint()
            self.recorded_at = time.perf_counter()  # the time for the checkpoint is not part of train_s
        if stop_signal:
            raise interrupted(self.folder, self.state, stop_signal)

    def save_checkpoint(self) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.learner.net.parameters()):
            raise diverged(Message("a weight is not finite"), self.state, self.plan)
        if self.process_group.is_main:
            self.journal.sync()
            self.state.journal_bytes = self.journal.length
            save_state(self.folder, self.learner, self.state)
        self.process_group.barrier()
        self.saved_at = time.monotonic()

    def validate_epoch(self, epoch: int) -> None:
        """Validate, write the line of the epoch to the journal, and save the weights if they are the best so far."""
        state = self.state
        line: dict[str, Any] = {
            "epoch": epoch,
            "step": state.step,
            "train_loss": state.loss_sum / state.images,
            "train_top1": state.hits / state.images if self.plan.classifies else None,
            "val_loss": None,
            "val_top1": None,
            "weights": describe_weights(self.learner.callbacks),
            "lr": self.lr,
            "train_s": round(state.train_s, 3),
        }
        for callback in self.learner.callbacks:
            line |= callback.epoch_record()
        with evaluation_weights(self.learner.callbacks):
            if self.validate is not None:
                validation = self.validate(self.learner.net)
                finite = math.isfinite(validation.loss)
                line |= {"val_loss": validation.loss if finite else None, "val_top1": validation.top1}
                state.scores.append(validation.score)
                if finite and validation.score >= state.best_score:  # of equal scores the later one is kept
                    state.best_epoch = epoch
                    self.save_best(epoch, validation)
            self.journal.write("epoch", **line)
            self.listener.on_epoch(line)
            self.process_group.barrier()  # the other ranks wait until rank 0 has written

    def save_best(self, epoch: int, validation: Validation) -> None:
        if self.process_group.is_main:
            tensors = {f"net.{name}": tensor for name, tensor in self.learner.net.state_dict().items()}
            checkpoint.save(checkpoint.best(self.folder), tensors, {"epoch": epoch, "val_top1": validation.top1})


def add_results(state: State, results: list[StepResult], process_group: ProcessGroup) -> tuple[float, int]:
    """Add the results of some updates, over all ranks, to the sums of the epoch.

    Returns their mean loss and their number of images.
    """
    losses = torch.stack([result.loss * result.images for result in results]).double()
    hits = torch.stack([result.hits for result in results]).sum()
    images = sum(result.images for result in results)
    counts = losses.new_tensor([images])
    totals = process_group.sum_over_ranks(torch.cat((losses, hits.double().view(1), counts)))
    *loss_sums, all_hits, all_images = totals.tolist()
    for loss_sum in loss_sums:  # added one by one: the bits must not depend on how many updates are recorded at once
        state.loss_sum += loss_sum
    state.hits += int(all_hits)
    state.images += int(all_images)
    return sum(loss_sums) / all_images, int(all_images)


def save_state(folder: Path, learner: Learner, state: State) -> None:
    """Write a numbered checkpoint, and remove older ones.

    Args:
        folder: the run directory.
        learner: what the training changes.
        state: its counters.
    """
    tensors, scalars = checkpoint.pack(learner)
    checkpoint.save(checkpoint.numbered(folder, state.step), tensors, {"state": asdict(state), **scalars})
    checkpoint.prune(folder)


def resume(folder: Path, learner: Learner) -> tuple[State, list[Message]]:
    """Restore the newest undamaged checkpoint into ``learner``.

    Returns the state, and the errors of newer checkpoints that are damaged.

    Args:
        folder: the run directory.

    Raises:
        CheckpointError: every checkpoint is damaged, or they were written with other settings.
    """
    _, tensors, content, problems = checkpoint.newest(folder)
    checkpoint.unpack(tensors, content, learner)
    return State(**content["state"]), problems


def seed_update(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch's generators, from which dropout draws, by (seed, update, rank)."""
    word = seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB + 1
    # torch.manual_seed would take 0.3 ms, because it prepares every kind of device for its first use
    torch.default_generator.manual_seed(word % 2**63)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(word % 2**63)


def finished(state: State, plan: Plan, steps_per_epoch: int) -> bool:
    """Whether all epochs are done, or the validation has not improved for ``patience`` epochs."""
    between_epochs = state.step % steps_per_epoch == 0
    if plan.patience is not None and between_epochs and state.stalled >= plan.patience:
        return True
    return state.step >= plan.epochs * steps_per_epoch


def refuse_divergence(loss: float, state: State, plan: Plan) -> None:
    """Raise NonFiniteLossError where the loss is not finite or far too large."""
    if not math.isfinite(state.loss_sum):
        raise diverged(Message("the loss is {loss}", loss=state.loss_sum), state, plan)
    if loss > EXPLODED_LOSS:
        raise diverged(Message("the loss has exploded to {loss:.3g}", loss=loss), state, plan)


def diverged(problem: str, state: State, plan: Plan) -> NonFiniteLossError:
    return NonFiniteLossError(
        "{problem} at update {step}; the learning rate ({lr:g}) is probably too high. "
        "Pass a lower --lr ({lower:g}, say). Checkpoints written before that are intact.",
        problem=problem,
        step=state.step,
        lr=plan.lr,
        lower=plan.lr / 10,
    )


def interrupted(folder: Path, state: State, signal_number: int) -> Interrupted:
    return Interrupted(
        "stopped after update {step}; a checkpoint was written. Continue:  convatlas train --resume {folder}",
        signal_number,
        step=state.step,
        folder=folder,
    )
