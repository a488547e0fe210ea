"""The loop: epochs of updates, a validation after each, a journal, checkpoints, and a way to stop and go on.

Every random number of an update is keyed by (seed, update), every batch by (seed, epoch, sample), so the state of a
run is what `State` lists, the network, the optimizer and their companions, and nothing else: a run that was killed and
resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from convatlas.errors import Interrupted, NonFiniteLossError
from convatlas.training import checkpoint, optim
from convatlas.training.companion import Companion, described, judged
from convatlas.training.distributed import ALONE, Team
from convatlas.training.hardware import Hardware
from convatlas.training.journal import Journal, NoJournal
from convatlas.training.losses import Loss
from convatlas.training.schedule import Progress, Schedule
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


class Observer:
    """Hears how a run goes; a progress bar overrides what it wants to show."""

    def on_step(self, state: State, loss: float, images_per_s: float) -> None: ...

    def on_epoch(self, epoch: dict[str, Any]) -> None: ...


def fit(
    net: nn.Module,
    batches: EpochBatches,
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    plan: Plan,
    *,
    hardware: Hardware,
    folder: Path,
    validate: Callable[[nn.Module], Validation] | None,
    state: State | None = None,
    observer: Observer | None = None,
    companions: Sequence[Companion] = (),
    team: Team = ALONE,
    called: nn.Module | None = None,
) -> State:
    """Train ``net`` in place, from ``state`` on, with journal and checkpoints in ``folder``.

    Of several processes each calls this alike, with its own rows of the batches; rank 0 alone writes.

    Validated and kept are the weights that the ``companions`` put in place; ``net`` is left with the trained ones.

    Args:
        called: what the updates call, where that is not ``net`` itself: a compiled form of it.

    Raises:
        NonFiniteLossError: the loss became nan or inf; no checkpoint is written after that.
        Interrupted: Ctrl-C or SIGTERM, on whichever rank; a checkpoint of the last finished update was written.
        LostRankError: another rank ended or did not answer; nothing is written after that.
    """
    state, observer = state or State(), observer or Observer()
    steps = len(batches)
    total = plan.epochs * steps
    saved_at = time.monotonic()

    def save(journal: Journal) -> None:
        nonlocal saved_at
        if not all(bool(torch.isfinite(parameter).all()) for parameter in net.parameters()):
            raise diverged("a weight is not finite", state, plan)
        if team.leads:
            journal.sync()
            state.journal_bytes = journal.length
            save_state(folder, net, optimizer, companions, state)
        team.wait()
        saved_at = time.monotonic()

    def late() -> bool:
        return team.leads and time.monotonic() - saved_at > plan.checkpoint_every_s

    replica: nn.Module | None = None
    lines = Journal(folder / "metrics.jsonl", state.journal_bytes) if team.leads else NoJournal()
    with lines as journal, StopRequest() as stop, team.watched():
        while not finished(state, plan, steps):
            epoch, first = divmod(state.step, steps)
            if first == 0:
                state.start_epoch()
            net.train()
            if first == 0:
                for companion in companions:
                    companion.before_epoch(epoch)
            replica = team.replica(net if called is None else called, replica)
            clock = time.perf_counter()
            waiting: list[StepResult] = []
            for images, labels in batches.epoch(epoch, first):
                lr = plan.lr * schedule(Progress(state.step, steps, total, state.scores))
                optim.set_lr(optimizer, lr)
                seed_update(plan.seed, state.step, team.rank)
                waiting.append(
                    train_step(
                        replica, images, labels, loss_fn, optimizer, hardware.autocast(), plan.max_grad_norm,
                        plan.accumulate, share=team.share(len(labels), batches, state.step), team=team,
                    )
                )  # fmt: skip
                team.average_statistics(net)
                state.step += 1
                for companion in companions:
                    companion.after_update(state.step)
                last = state.step % steps == 0
                due = plan.checkpoint_every_steps is not None and state.step % plan.checkpoint_every_steps == 0
                stopped, save_now = team.agree(stop.signal_number or 0, due or late())
                if last or save_now or stopped or state.step % LOOK_EVERY == 0:
                    loss, images_seen = take_in(state, waiting, team)
                    now = time.perf_counter()
                    state.train_s += now - clock
                    observer.on_step(state, loss, images_seen / max(1e-9, now - clock))
                    clock = now
                    refuse_divergence(loss, state, plan)
                    if last:
                        break
                    if save_now or stopped:
                        save(journal)
                        clock = time.perf_counter()
                    if stopped:
                        raise interrupted(folder, state, stopped)
            with judged(companions):
                finish_epoch(
                    net, optimizer, validate, state, journal, folder, observer, epoch, lr, plan.classifies,
                    described(companions), team,
                )  # fmt: skip
            stopped, save_now = team.agree(stop.signal_number or 0, due or late())
            over = finished(state, plan, steps)
            if save_now or stopped or over:
                save(journal)
            if stopped and not over:
                raise interrupted(folder, state, stopped)
    return state


def take_in(state: State, waiting: list[StepResult], team: Team) -> tuple[float, int]:
    """Add the updates since the last look to the epoch's sums; their mean loss and number of images."""
    losses = torch.stack([result.loss * result.images for result in waiting]).double()
    hits = torch.stack([result.hits for result in waiting]).sum()
    images = sum(result.images for result in waiting)
    counts = losses.new_tensor([images])
    *summed, all_hits, all_images = team.add(torch.cat((losses, hits.double().view(1), counts))).tolist()
    for loss in summed:  # one by one: the sum must not depend on where a look fell
        state.loss_sum += loss
    state.hits += int(all_hits)
    state.images += int(all_images)
    waiting.clear()
    return sum(summed) / all_images, int(all_images)


def finish_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    validate: Callable[[nn.Module], Validation] | None,
    state: State,
    journal: Journal,
    folder: Path,
    observer: Observer,
    epoch: int,
    lr: float,
    classifies: bool,
    weights: str,
    team: Team,
) -> None:
    """Validate, write the epoch's line, and keep the network if it is the best so far."""
    line: dict[str, Any] = {
        "epoch": epoch,
        "step": state.step,
        "train_loss": state.loss_sum / state.images,
        "train_top1": state.hits / state.images if classifies else None,
        "val_loss": None,
        "val_top1": None,
        "weights": weights,
        "lr": lr,
        "train_s": round(state.train_s, 3),
    }
    if validate is not None:
        validation = validate(net)
        state.scores.append(validation.score)
        finite = math.isfinite(validation.loss)
        line |= {"val_loss": validation.loss if finite else None, "val_top1": validation.top1}
        if finite and validation.score >= state.best_score:  # of equals the later, trained longer
            state.best_epoch = epoch
            if team.leads:
                tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
                checkpoint.save(checkpoint.best(folder), tensors, {"epoch": epoch, "val_top1": validation.top1})
    journal.write("epoch", **line)
    observer.on_epoch(line)
    team.wait()  # for rank 0, which wrote


def save_state(
    folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, companions: Sequence[Companion], state: State
) -> None:
    tensors, scalars = checkpoint.pack(net, optimizer, companions)
    checkpoint.save(checkpoint.numbered(folder, state.step), tensors, {"state": asdict(state), **scalars})
    checkpoint.prune(folder)


def resume(
    folder: Path, net: nn.Module, optimizer: torch.optim.Optimizer, companions: Sequence[Companion] = ()
) -> tuple[State, list[str]]:
    """Put everything where the newest whole checkpoint was; complaints name damaged ones passed over.

    Raises:
        CheckpointError: none is whole, or it is of other settings.
    """
    _, tensors, content, complaints = checkpoint.newest(folder)
    checkpoint.unpack(tensors, content, net, optimizer, companions)
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
        raise diverged(f"the loss is {state.loss_sum}", state, plan)
    if loss > EXPLODED:
        raise diverged(f"the loss has exploded to {loss:.3g}", state, plan)


def diverged(what: str, state: State, plan: Plan) -> NonFiniteLossError:
    return NonFiniteLossError(
        f"{what} at update {state.step}; the learning rate ({plan.lr:g}) is probably too high. "
        f"Pass a lower --lr ({plan.lr / 10:g}, say). Checkpoints written before that are intact."
    )


def interrupted(folder: Path, state: State, signal_number: int) -> Interrupted:
    return Interrupted(
        f"stopped after update {state.step}; a checkpoint was written. Continue:  convatlas train --resume {folder}",
        signal_number,
    )
