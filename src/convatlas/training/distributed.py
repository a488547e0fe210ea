"""Many processes, one training: each rank that torchrun started computes its rows of every batch, all make one update.

    torchrun --nproc-per-node 2 -m convatlas train resnet20_cifar --data CIFAR

``batch_size`` stays the batch of an update, over all ranks. Rank r takes its rows of that batch, in the order that one
process would have them, and `DistributedDataParallel` averages the gradients; each rank's loss is weighted by its
share of the images, so that the sum is the mean over the batch, not a mean of means (`weight`).

Two process groups. The *patient* one, for what may take long (decoding, a checkpoint on a slow disk), waits a day. The
*quick* one, for what happens in every update, waits ``rank_timeout_s`` (30 s unless the recipe says otherwise). A rank
that was killed is noticed at once by both, because its connections break; the timeout is for a machine that vanished or
a rank that hangs. The quick group lies on the CPU (gloo) even where the gradients travel by nccl: in every update the
ranks agree there on stopping, so a dead rank is noticed on the host while the GPU would still wait for it.

`DistributedDataParallel` is built with ``find_unused_parameters``. Without it, it regroups its buckets after the first
backward pass, and where an element lies in a bucket decides in which order the ranks' gradients are added: from three
ranks on, a restarted run would differ from an uninterrupted one in its last bits (docs/decisions/0010).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import os
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from convatlas.errors import ConvAtlasError, LostRankError, RecipeError, UsageError
from convatlas.message import Message
from convatlas.training.synced_batchnorm import SyncedBatchNorm

PATIENCE = timedelta(days=1)
_BROKEN = ("gloo", "nccl", "pair closure", "connection closed", "connection reset")  # in messages of lost peers
_SYNCED = (SyncedBatchNorm, nn.SyncBatchNorm)


class Share(NamedTuple):
    """A rank's part in one batch.

    Attributes:
        images: how many of the batch's images this rank counts.
        least_rows: the rows of the rank that has the fewest; a batch can be cut into so many parts on every rank.
        weight: what its mean loss is multiplied by, so that the average of the ranks' gradients is the batch's.
    """

    images: int
    least_rows: int
    weight: float = 1.0


class SharedBatches(Protocol):
    """Batches of which each rank is given its rows. A batch of fewer images than ranks is given to each as a whole."""

    def images_in(self, step: int) -> int:
        """Images of the batch of a step, over all ranks."""


class ProcessGroup:
    """The processes of one training. This class is the group of a single process: nothing is communicated."""

    rank = 0
    size = 1
    local_rank = 0  # among the ranks of this machine
    local_size = 1

    @property
    def leads(self) -> bool:
        """Rank 0 leads: it alone writes, prints, and decides by the clock."""
        return self.rank == 0

    def describe(self, batch_size: int) -> str:
        """For the header of a run; empty for one process."""
        return ""

    def device(self, wish: str) -> str:
        """The device of this rank, where ``wish`` is the recipe's."""
        return wish

    def share(self, rows: int, batches: object, step: int) -> Share:
        """Of the batch of ``step``, of which ``rows`` were computed here."""
        return Share(rows, rows)

    def counts(self, share: Share) -> None:
        """The batch comes next of which ``share`` is this rank's: synced norms leave out rows that others count."""

    def agree(self, *numbers: int) -> tuple[int, ...]:
        """The largest over all ranks of each number; in every update."""
        return numbers

    def add(self, numbers: Tensor) -> Tensor:
        """The sum over all ranks, float64 (n,), added in the order of the ranks and so the same on each of them."""
        return numbers

    def tell(self, text: str) -> str:
        """What rank 0 has to say, to all."""
        return text

    def wait(self) -> None:
        """Until all ranks are here, however long that takes."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What fails inside on one rank fails on all, and rank 0 says what it was; ranks are on their own inside."""
        yield

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """Rank 0 of each machine first, then its others: what the first one made is found made."""
        yield

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A connection that breaks inside, in whatever operation, becomes a `LostRankError`."""
        yield

    def replica(self, net: nn.Module, before: nn.Module | None = None) -> nn.Module:
        """``net`` as it is called in training: its gradients become the process group's.

        Args:
            before: the replica used so far, given back if the same parameters are trained as then.
        """
        return net

    def alone(self, replica: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Inside, gradients add up on their ranks and are not exchanged; for all but the last part of a batch."""
        return contextlib.nullcontext()

    def synced(self, net: nn.Module) -> nn.Module:
        """``net`` with batch norm over the whole batch instead of each rank's rows."""
        return net

    def average_statistics(self, net: nn.Module) -> None:
        """After an update, the same running statistics of batch norm everywhere: the mean over the ranks."""


SINGLE_PROCESS = ProcessGroup()


class TorchProcessGroup(ProcessGroup):
    """Several processes, joined by torch.distributed; made by `join`."""

    def __init__(self, timeout_s: float) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._timeout = timedelta(seconds=timeout_s)
        self._quick = dist.new_group(backend="gloo", timeout=self._timeout)
        self._synced: list[SyncedBatchNorm] = []
        self._nccl: dist.ProcessGroup | None = None

    def describe(self, batch_size: int) -> str:
        machines = self.size // self.local_size
        least, more = divmod(batch_size, self.size)
        return Message(
            "{n} processes on {where}; the batch of {batch_size} is that of all together, {rows} images each; "
            "a silent rank is waited for {seconds:g} s",
            n=self.size,
            where=Message("1 machine") if machines == 1 else Message("{n} machines", n=machines),
            batch_size=batch_size,
            rows=Message("{least} or {most}", least=least, most=least + 1) if more else least,
            seconds=self._timeout.total_seconds(),
        )

    def device(self, wish: str) -> str:
        """With several GPUs each rank takes its own.

        Raises:
            UsageError: more ranks than GPUs, or one GPU named for several ranks.
        """
        if wish == "cpu" or not torch.cuda.is_available():
            return wish
        if wish not in ("auto", "cuda"):
            if self.local_size > 1:
                raise UsageError(
                    "--device {wish} names one GPU for {local_size} processes; pass --device cuda.",
                    wish=wish,
                    local_size=self.local_size,
                )
            return wish
        if self.local_rank >= torch.cuda.device_count():
            raise UsageError(
                "{local_size} processes were started on a machine where torch sees {gpus} "
                "GPUs. Start one for each (torchrun --nproc-per-node gpu), or pass --device cpu.",
                local_size=self.local_size,
                gpus=torch.cuda.device_count(),
            )
        torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    def share(self, rows: int, batches: object, step: int) -> Share:
        total = cast(SharedBatches, batches).images_in(step)
        # a batch smaller than the process group was computed by all, as a whole, and is counted by rank 0
        images = rows if total >= self.size or self.leads else 0
        # DDP's average is 1/size sum_r weight_r mean_r; it shall be 1/total sum_r images_r mean_r
        return Share(images, total // self.size or total, images * self.size / total)

    def counts(self, share: Share) -> None:
        for norm in self._synced:
            norm.counts = share.images > 0

    def agree(self, *numbers: int) -> tuple[int, ...]:
        largest = torch.tensor(numbers, dtype=torch.int64)
        with self.watched():
            dist.all_reduce(largest, dist.ReduceOp.MAX, self._quick)
        return tuple(largest.tolist())

    def add(self, numbers: Tensor) -> Tensor:
        own = numbers.to("cpu", torch.float64)
        each = [torch.empty_like(own) for _ in range(self.size)]
        with self.watched():
            dist.all_gather(each, own, self._quick)
        return functools.reduce(torch.add, each)

    def tell(self, text: str) -> str:
        return self._texts(text)[0]

    def wait(self) -> None:
        with self.watched():
            dist.barrier()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        own: ConvAtlasError | None = None
        try:
            yield
        except ConvAtlasError as error:
            own = error
        said = self._texts("" if own is None else str(own) or type(own).__name__)
        if own is not None and self.leads:
            raise own
        for rank, text in enumerate(said):
            if text:
                raise LostRankError("rank {rank}: {text}", rank=rank, text=text) from own

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        if self.local_rank > 0:
            self.wait()
        try:
            yield
        finally:
            if self.local_rank == 0:
                self.wait()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo raises no class of its own
            if isinstance(error, dist.DistError) or any(word in str(error).lower() for word in _BROKEN):
                raise LostRankError(
                    "another process of this training ended or did not answer "
                    "({reason}). Its own message, if it had one, is above.",
                    reason=str(error).splitlines()[0],
                ) from error
            raise

    def replica(self, net: nn.Module, before: nn.Module | None = None) -> nn.Module:
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        if isinstance(before, Replica) and [id(each) for each in before.trained] == [id(each) for each in trained]:
            return before
        device = trained[0].device
        with self.watched():
            return Replica(net, trained, self._group_of(device))

    def alone(self, replica: nn.Module) -> contextlib.AbstractContextManager[None]:
        assert isinstance(replica, Replica)
        context: contextlib.AbstractContextManager[None] = replica.no_sync()
        return context

    def synced(self, net: nn.Module) -> nn.Module:
        """The same network with `torch.nn.SyncBatchNorm` on a GPU, and with our own on a CPU, which torch's refuses.

        When a batch has fewer images than there are processes, each rank computes it whole, and torch's module
        counts every copy: mean and variance are right, but the unbiased running variance uses too large a count.
        """
        if next(net.parameters()).is_cuda:
            converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(net)
            return converted
        for module in list(net.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, _BatchNorm):
                    self._synced.append(SyncedBatchNorm.of(child, self._quick))
                    setattr(module, name, self._synced[-1])
        return net

    def average_statistics(self, net: nn.Module) -> None:
        running = [
            statistics
            for module in net.modules()
            if isinstance(module, _BatchNorm) and module.training and not isinstance(module, _SYNCED)
            for statistics in (module.running_mean, module.running_var)
            if statistics is not None
        ]
        if not running:
            return
        flat = torch.cat(running)
        with self.watched():
            dist.all_reduce(flat, dist.ReduceOp.SUM, self._group_of(flat.device))
        flat /= self.size
        for statistics, mean in zip(running, flat.split([len(each) for each in running]), strict=True):
            statistics.copy_(mean)

    def _group_of(self, device: torch.device) -> dist.ProcessGroup:
        if device.type == "cpu":
            return self._quick
        if self._nccl is None:
            self._nccl = dist.new_group(backend="nccl", timeout=self._timeout)
        return self._nccl

    def _texts(self, own: str) -> list[str]:
        """The text of every rank, on every rank."""
        data = torch.tensor(list(own.encode()), dtype=torch.uint8)
        with self.watched():
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            dist.all_gather(lengths, torch.tensor([len(data)]))
            longest = max(1, *(int(length) for length in lengths))
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(data)] = data
            all_data = [torch.zeros_like(padded) for _ in range(self.size)]
            dist.all_gather(all_data, padded)
        return [bytes(text[: int(n)].tolist()).decode() for text, n in zip(all_data, lengths, strict=True)]


# running statistics are averaged after the update instead; the name of the switch changed in torch 2.13
_SWITCH = "forward_sync_buffers"
_BUFFERS_STAY: dict[str, Any] = {
    _SWITCH if _SWITCH in inspect.signature(DistributedDataParallel.__init__).parameters else "broadcast_buffers": False
}


class Replica(DistributedDataParallel):
    """`DistributedDataParallel` that knows which parameters it was built for; a network that thaws needs a new one."""

    def __init__(self, net: nn.Module, trained: list[nn.Parameter], group: dist.ProcessGroup) -> None:
        super().__init__(net, process_group=group, find_unused_parameters=True, **_BUFFERS_STAY)
        self.trained = trained


def launched(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Whether this process is one of several that torchrun (or what sets the same variables) started."""
    given = all(name in environment for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    return given and int(environment["WORLD_SIZE"]) > 1


@functools.cache
def join(timeout_s: float = 30.0) -> ProcessGroup:
    """The process group this process belongs to, by torchrun's variables; called by all ranks alike.

    The process group is made once and lives as long as the process.

    Raises:
        LostRankError: the others did not come.
    """
    if not launched():
        return SINGLE_PROCESS
    if not dist.is_initialized():
        try:
            given, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
            store = of_this_start(given, rank, size)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
        except RuntimeError as error:
            raise LostRankError(
                "the processes of this training did not find each other: {error}", error=error
            ) from error
        atexit.register(leave)
    return TorchProcessGroup(timeout_s)


def of_this_start(store: dist.Store, rank: int, size: int) -> dist.Store:
    """``store`` without what earlier starts left in it.

    torchrun keeps one store over all its restarts (2.13), and a rank that reads there where a killed one once listened
    does not find the others. So rank 0 numbers the start and tells the number to each rank that asks for it, by a name
    the rank has just made up; questions of the dead are answered too, but only the living come on.
    """
    if rank > 0:
        own = uuid.uuid4().hex
        store.set(f"convatlas/asks/{rank}", own)
        number = store.get(f"convatlas/answer/{own}").decode()  # waits for it
        store.add(f"convatlas/came/{number}", 1)
    else:
        number = str(store.add("convatlas/starts", 1))
        answered: set[bytes] = set()
        while store.add(f"convatlas/came/{number}", 0) < size - 1:
            asking = [f"convatlas/asks/{other}" for other in range(1, size)]
            for name in {store.get(key) for key in asking if store.check([key])} - answered:
                store.set(f"convatlas/answer/{name.decode()}", number)
                answered.add(name)
            time.sleep(0.02)
    return dist.PrefixStore(f"convatlas/start/{number}", store)


def processes_here() -> int:
    """How many processes share this machine's memory in this training."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if launched() else 1


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def refuse_contradictions(batch_size: int, accumulate: int, process_group: ProcessGroup) -> None:
    """Every rank needs an image of every part of a batch.

    Raises:
        RecipeError: a batch smaller than the number of processes.
    """
    if batch_size // accumulate < process_group.size:
        parts = Message(" in {n} parts", n=accumulate) if accumulate > 1 else ""
        raise RecipeError(
            "a batch of {batch_size} images{parts} cannot be shared among {size} processes: batch_size is that "
            "of all together. Pass --batch-size {least} or more, or start fewer processes.",
            batch_size=batch_size,
            parts=parts,
            size=process_group.size,
            least=accumulate * process_group.size,
        )
