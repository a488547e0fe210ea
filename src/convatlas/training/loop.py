"""The loop: epochs of updates, a validation after each, a journal, checkpoints, and a way to stop and go on.

Every random number of an update is keyed by (seed, update), every batch by (seed, epoch, sample), so the state of a
run is what `State` lists, the network, the optimizer and their callbacks, and nothing else: a run that was killed and
resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from convatlas.errors import Interrupted, NonFiniteLossError
from convatlas.message import Message
from convatlas.training import checkpoint, optim
from convatlas.training.callback import described, judged
from convatlas.training.distributed import SINGLE_PROCESS, ProcessGroup
from convatlas.training.hardware import Hardware
from convatlas.training.journal import Journal, NoJournal
from convatlas.training.learner import Learner
from convatlas.training.losses import Loss
from convatlas.training.schedule import Progress, Schedule, constant
from convatlas.training.signals import StopRequest
from convatlas.training.step import StepResult, train_step

LOOK_EVERY = 20  # updates between two looks at the running loss: a look waits for the device
EXPLODED = 1e4  # a mean loss no training here comes back from, whatever its unit


class EpochBatches(Protocol):
    """What the loop asks of its data: the order is a function of the epoch, and any update of it can be the first."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass
class State:
    """All that a run must remember besides its network and optimizer."""

    step: int = 0  # updates made
    loss_sum: float = 0.0  # of the present epoch, weighted by images
    hits: int = 0
    images: int = 0
    scores: list[float] = field(default_factory=list)  # of the validation after each finished epoch
    best_epoch: int | None = None
    train_s: float = 0.0  # spent in updates, over all sittings
    compile_s: float = 0.0  # spent in torch.compile, and not in train_s
    journal_bytes: int = 0

    @property
    def best_score(self) -> float:
        return -math.inf if self.best_epoch is None else self.scores[self.best_epoch]

    @property
    def stalled(self) -> int:
        """Epochs since the validation's score last rose; one that only equals the best has not."""
        return len(self.scores) - 1 - self.scores.index(max(self.scores)) if self.scores else 0

    def start_epoch(self) -> None:
        self.loss_sum, self.hits, self.images = 0.0, 0, 0


@dataclass(frozen=True)
class Plan:
    """What `fit` is to do; the numbers of a recipe that concern the loop."""

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
    loss: float  # mean negative log likelihood in nats; of a reconstruction, mean squared error
    top1: float | None  # share of hits; None where there are no classes

    @property
    def score(self) -> float:
        """What weights are chosen by, larger is better."""
        return -self.loss if self.top1 is None else self.top1


class TrainingListener:
    """Hears how a run goes; a progress bar overrides what it wants to show."""

    def on_step(self, state: State, loss: float, images_per_s: float) -> None: ...

    def on_epoch(self, epoch: dict[str, Any]) -> None: ...


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
    """Train ``learner`` in place, from ``state`` on, with journal and checkpoints in ``folder``.

        fit(Learner(net, torch.optim.SGD(net.parameters(), lr=0.1)), batches, losses.cross_entropy(),
            Plan(epochs=3, lr=0.1, seed=0), hardware=choose(), folder=Path("run"))

    Of several processes each calls this alike, with its own rows of the batches; rank 0 alone writes.

    Validated and kept are the weights that the callbacks put in place; the network is left with the trained ones.

    Raises:
        NonFiniteLossError: the loss became nan or inf; no checkpoint is written after that.
        Interrupted: Ctrl-C or SIGTERM, on whichever rank; a checkpoint of the last finished update was written.
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
    """One sitting of a training: from where the state is to the end, or to what stops it. See `fit`."""

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
        self.steps = len(self.batches)  # of an epoch
        self.replica: nn.Module | None = None  # of the network, as the process group's updates call it
        self.waiting: list[StepResult] = []  # updates that nobody has looked at yet
        self.autocast = self.hardware.autocast()  # one for all updates: it takes longer to build than to enter
        self.lr = self.plan.lr  # of the last update
        self.looked_at = time.perf_counter()
        self.saved_at = time.monotonic()

    def run(self) -> State:
        journal = (
            Journal(self.folder / "metrics.jsonl", self.state.journal_bytes)
            if self.process_group.leads
            else NoJournal()
        )
        with journal as self.journal, StopRequest() as self.stop, self.process_group.watched():
            while not self.over:
                epoch, first = divmod(self.state.step, self.steps)
                self.enter(epoch, first)
                for images, labels in self.batches.epoch(epoch, first):
                    self.update(images, labels)
                    if self.state.step % self.steps == 0:
                        break
                    stopped, due = self.agreed()
                    if stopped or due or self.state.step % LOOK_EVERY == 0:
                        self.look()
                    self.pause(stopped, due)
                self.look()
                self.judge(epoch)
                stopped, due = self.agreed()
                self.pause(0 if self.over else stopped, due or bool(stopped) or self.over)
        return self.state

    @property
    def over(self) -> bool:
        return finished(self.state, self.plan, self.steps)

    def enter(self, epoch: int, first: int) -> None:
        """Make ready for update ``first`` of an epoch, which is not 0 where the last sitting ended in its middle."""
        self.learner.net.train()
        if first == 0:
            self.state.start_epoch()
            for callback in self.learner.callbacks:
                callback.before_epoch(epoch)
        self.replica = self.process_group.replica(self.learner.in_updates, self.replica)
        self.looked_at = time.perf_counter()

    def update(self, images: Tensor, labels: Tensor) -> None:
        learner, plan, state, process_group = self.learner, self.plan, self.state, self.process_group
        assert self.replica is not None
        self.lr = plan.lr * plan.schedule(Progress(state.step, self.steps, plan.epochs * self.steps, state.scores))
        optim.set_lr(learner.optimizer, self.lr)
        seed_update(plan.seed, state.step, process_group.rank)
        self.waiting.append(
            train_step(
                self.replica, images, labels, self.loss, learner.optimizer, self.autocast, plan.max_grad_norm,
                plan.accumulate, share=process_group.share(len(labels), self.batches, state.step),
                process_group=process_group,
            )
        )  # fmt: skip
        process_group.average_statistics(learner.net)
        state.step += 1
        for callback in learner.callbacks:
            callback.after_update(state.step)

    def agreed(self) -> tuple[int, bool]:
        """The signal that stops the process group, or 0, and whether a checkpoint is due: the same on every rank."""
        every = self.plan.checkpoint_every_steps
        due = every is not None and self.state.step % every == 0
        late = self.process_group.leads and time.monotonic() - self.saved_at > self.plan.checkpoint_every_s
        stopped, saving = self.process_group.agree(self.stop.signal_number or 0, due or late)
        return stopped, bool(saving)

    def look(self) -> None:
        """Wait for the device, and take in what the updates since the last look saw."""
        loss, images = take_in(self.state, self.waiting, self.process_group)
        now = time.perf_counter()
        seconds, self.looked_at = now - self.looked_at, now
        self.state.train_s += seconds
        self.listener.on_step(self.state, loss, images / max(1e-9, seconds))
        refuse_divergence(loss, self.state, self.plan)

    def pause(self, stopped: int, due: bool) -> None:
        """Between two updates: save where that is due, end where that is asked for."""
        if stopped or due:
            self.save()
            self.looked_at = time.perf_counter()
        if stopped:
            raise interrupted(self.folder, self.state, stopped)

    def save(self) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.learner.net.parameters()):
            raise diverged(Message("a weight is not finite"), self.state, self.plan)
        if self.process_group.leads:
            self.journal.sync()
            self.state.journal_bytes = self.journal.length
            save_state(self.folder, self.learner, self.state)
        self.process_group.wait()
        self.saved_at = time.monotonic()

    def judge(self, epoch: int) -> None:
        """Validate, write the epoch's line, and keep the network if it is the best so far."""
        state = self.state
        line: dict[str, Any] = {
            "epoch": epoch,
            "step": state.step,
            "train_loss": state.loss_sum / state.images,
            "train_top1": state.hits / state.images if self.plan.classifies else None,
            "val_loss": None,
            "val_top1": None,
            "weights": described(self.learner.callbacks),
            "lr": self.lr,
            "train_s": round(state.train_s, 3),
        }
        with judged(self.learner.callbacks):
            if self.validate is not None:
                validation = self.validate(self.learner.net)
                finite = math.isfinite(validation.loss)
                line |= {"val_loss": validation.loss if finite else None, "val_top1": validation.top1}
                state.scores.append(validation.score)
                if finite and validation.score >= state.best_score:  # of equals the later, trained longer
                    state.best_epoch = epoch
                    self.keep_best(epoch, validation)
            self.journal.write("epoch", **line)
            self.listener.on_epoch(line)
            self.process_group.wait()  # for rank 0, which wrote

    def keep_best(self, epoch: int, validation: Validation) -> None:
        if self.process_group.leads:
            tensors = {f"net.{name}": tensor for name, tensor in self.learner.net.state_dict().items()}
            checkpoint.save(checkpoint.best(self.folder), tensors, {"epoch": epoch, "val_top1": validation.top1})


def take_in(state: State, waiting: list[StepResult], process_group: ProcessGroup) -> tuple[float, int]:
    """Add the updates since the last look to the epoch's sums; their mean loss and number of images."""
    losses = torch.stack([result.loss * result.images for result in waiting]).double()
    hits = torch.stack([result.hits for result in waiting]).sum()
    images = sum(result.images for result in waiting)
    counts = losses.new_tensor([images])
    *summed, all_hits, all_images = process_group.add(torch.cat((losses, hits.double().view(1), counts))).tolist()
    for loss in summed:  # one by one: the sum must not depend on where a look fell
        state.loss_sum += loss
    state.hits += int(all_hits)
    state.images += int(all_images)
    waiting.clear()
    return sum(summed) / all_images, int(all_images)


def save_state(folder: Path, learner: Learner, state: State) -> None:
    tensors, scalars = checkpoint.pack(learner)
    checkpoint.save(checkpoint.numbered(folder, state.step), tensors, {"state": asdict(state), **scalars})
    checkpoint.prune(folder)


def resume(folder: Path, learner: Learner) -> tuple[State, list[Message]]:
    """Put everything where the newest whole checkpoint was; complaints name damaged ones passed over.

    Raises:
        CheckpointError: none is whole, or it is of other settings.
    """
    _, tensors, content, complaints = checkpoint.newest(folder)
    checkpoint.unpack(tensors, content, learner)
    return State(**content["state"]), complaints


def seed_update(seed: int, step: int, rank: int = 0) -> None:
    """Key what a network draws by itself (dropout) by (seed, update, rank)."""
    word = seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB + 1
    # the generators themselves: torch.manual_seed takes 0.3 ms, for it prepares every kind of device for its first use
    torch.default_generator.manual_seed(word % 2**63)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(word % 2**63)


def finished(state: State, plan: Plan, steps: int) -> bool:
    """Whether all epochs are done, or the validation has not improved for too long: known from the state alone."""
    if plan.patience is not None and state.step % steps == 0 and state.stalled >= plan.patience:
        return True
    return state.step >= plan.epochs * steps


def refuse_divergence(loss: float, state: State, plan: Plan) -> None:
    if not math.isfinite(state.loss_sum):
        raise diverged(Message("the loss is {loss}", loss=state.loss_sum), state, plan)
    if loss > EXPLODED:
        raise diverged(Message("the loss has exploded to {loss:.3g}", loss=loss), state, plan)


def diverged(what: str, state: State, plan: Plan) -> NonFiniteLossError:
    return NonFiniteLossError(
        "{what} at update {step}; the learning rate ({lr:g}) is probably too high. "
        "Pass a lower --lr ({lower:g}, say). Checkpoints written before that are intact.",
        what=what,
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
