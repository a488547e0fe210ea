"""Training in several processes: each rank that torchrun starts computes its rows of every global batch.

    torchrun --nproc-per-node 2 -m convatlas train resnet20_cifar --data CIFAR

``batch_size`` is the global batch size: the images of an update over all ranks. Each rank computes its rows of the
global batch (`convatlas.data.ranks`), in the order in which one process would have them, and
`DistributedDataParallel` averages the gradients. The loss of each rank is weighted by its number of images, so that the
result is the gradient of the mean over the global batch and not of a mean of means.

There are two process groups with different timeouts. The slow one, for decoding images or a checkpoint on a slow disk,
has a timeout of one day. The fast one, for the communication of every update, has a timeout of ``rank_timeout_s`` (30 s
unless the recipe changes it). If a rank is killed, both groups fail at once, because its connections close. The timeout
is for a machine that disappears or a rank that hangs. The fast group runs on the CPU (gloo) also where nccl exchanges
the gradients: the ranks agree on stopping in every update, so the host detects a lost rank while the GPU still waits.

`DistributedDataParallel` is built with ``find_unused_parameters``. Without that option it rebuilds its buckets after
the first backward pass, and the place of an element in a bucket decides in which order the gradients of the ranks are
added. From three ranks on, a resumed run would then differ from an uninterrupted one in its last bits
(docs/decisions/0010).
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
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from convatlas.batch import Batch
from convatlas.errors import ConvAtlasError, LostRankError, RecipeError, UsageError
from convatlas.message import Message
from convatlas.training.synced_batchnorm import SyncedBatchNorm

SLOW_TIMEOUT = timedelta(days=1)
_SYNCED_NORMS = (SyncedBatchNorm, nn.SyncBatchNorm)


class ProcessGroup:
    """The processes of one training. This base class is the group of a single process and communicates nothing."""

    rank = 0
    size = 1
    local_rank = 0  # among the ranks of this machine
    local_size = 1

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes files, prints, and reads the clock for all."""
        return self.rank == 0

    def describe(self, batch_size: int) -> str:
        """Describe the group for the header of a run; empty for a single process."""
        return ""

    def device(self, requested: str) -> str:
        """Return the device of this rank, where ``requested`` is the device setting."""
        return requested

    def set_batch_share(self, batch: Batch) -> None:
        """Prepare the synchronised batch norms for ``batch``: they leave out rows that another rank counts."""

    def max_over_ranks(self, *numbers: int) -> tuple[int, ...]:
        """Return the maximum of each number over all ranks. Fast group: called in every update."""
        return numbers

    def sum_over_ranks(self, numbers: Tensor) -> Tensor:
        """Return the sum over all ranks, float64 (n,), added in the order of the ranks: all get the same bits."""
        return numbers

    def broadcast_text(self, text: str) -> str:
        """Return the text of rank 0 on all ranks."""
        return text

    def barrier(self) -> None:
        """Wait until all ranks are here. Slow group."""

    @contextlib.contextmanager
    def raise_on_all_ranks(self) -> Iterator[None]:
        """If a rank raises a ConvAtlasError inside, all ranks raise. No communication is allowed inside.

        Raises:
            LostRankError: on the ranks that did not fail themselves.
        """
        yield

    @contextlib.contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block on the first rank of each machine, then on its other ranks, which find the files it made."""
        yield

    @contextlib.contextmanager
    def detect_lost_ranks(self) -> Iterator[None]:
        """Turn the error of a broken connection, in any operation inside, into a `LostRankError`."""
        yield

    def distributed_module(self, net: nn.Module, previous: nn.Module | None = None) -> nn.Module:
        """Return the module that the updates call; its backward pass averages the gradients over the ranks.

        Args:
            previous: the module returned before. It is returned again if the same parameters are trained.
        """
        return net

    def with_synced_batchnorm(self, net: nn.Module) -> nn.Module:
        """Return ``net`` with batch norm over the global batch instead of over the rows of each rank."""
        return net

    def average_statistics(self, net: nn.Module) -> None:
        """Replace the running statistics of batch norm by their mean over the ranks, after an update."""


SINGLE_PROCESS = ProcessGroup()


class TorchProcessGroup(ProcessGroup):
    """Several processes that communicate by torch.distributed; made by `join`."""

    def __init__(self, timeout_s: float) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._timeout = timedelta(seconds=timeout_s)
        self._fast = dist.new_group(backend="gloo", timeout=self._timeout)
        self._synced_norms: list[SyncedBatchNorm] = []
        self._nccl: dist.ProcessGroup | None = None

    def describe(self, batch_size: int) -> str:
        machines = self.size // self.local_size
        least, more = divmod(batch_size, self.size)
        return Message(
            "{n} processes on {where}; global batch size {batch_size}, {rows} images per process; timeout for a rank "
            "that does not answer {seconds:g} s",
            n=self.size,
            where=Message("1 machine") if machines == 1 else Message("{n} machines", n=machines),
            batch_size=batch_size,
            rows=Message("{least} or {most}", least=least, most=least + 1) if more else least,
            seconds=self._timeout.total_seconds(),
        )

    def device(self, requested: str) -> str:
        """Each rank of a machine takes a GPU of its own.

        Raises:
            UsageError: there are more ranks than GPUs, or one GPU is named for several ranks.
        """
        if requested == "cpu" or not torch.cuda.is_available():
            return requested
        if requested not in ("auto", "cuda"):
            if self.local_size > 1:
                raise UsageError(
                    "--device {device} names one GPU for {local_size} processes; pass --device cuda.",
                    device=requested,
                    local_size=self.local_size,
                )
            return requested
        if self.local_rank >= torch.cuda.device_count():
            raise UsageError(
                "{local_size} processes were started on a machine where torch sees {gpus} "
                "GPUs. Start one for each (torchrun --nproc-per-node gpu), or pass --device cpu.",
                local_size=self.local_size,
                gpus=torch.cuda.device_count(),
            )
        torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    def set_batch_share(self, batch: Batch) -> None:
        for norm in self._synced_norms:
            norm.counted = batch.share.counted

    def max_over_ranks(self, *numbers: int) -> tuple[int, ...]:
        maximum = torch.tensor(numbers, dtype=torch.int64)
        with self.detect_lost_ranks():
            dist.all_reduce(maximum, dist.ReduceOp.MAX, self._fast)
        return tuple(maximum.tolist())

    def sum_over_ranks(self, numbers: Tensor) -> Tensor:
        own = numbers.to("cpu", torch.float64)
        of_ranks = [torch.empty_like(own) for _ in range(self.size)]
        with self.detect_lost_ranks():
            dist.all_gather(of_ranks, own, self._fast)
        return functools.reduce(torch.add, of_ranks)

    def broadcast_text(self, text: str) -> str:
        return self._gather_texts(text)[0]

    def barrier(self) -> None:
        with self.detect_lost_ranks():
            dist.barrier()

    @contextlib.contextmanager
    def raise_on_all_ranks(self) -> Iterator[None]:
        own_error: ConvAtlasError | None = None
        try:
            yield
        except ConvAtlasError as error:
            own_error = error
        texts = self._gather_texts("" if own_error is None else str(own_error) or type(own_error).__name__)
        if own_error is not None and self.is_main:
            raise own_error
        for rank, text in enumerate(texts):
            if text:
                raise LostRankError("rank {rank}: {text}", rank=rank, text=text) from own_error

    @contextlib.contextmanager
    def main_process_first(self) -> Iterator[None]:
        if self.local_rank > 0:
            self.barrier()
        try:
            yield
        finally:
            if self.local_rank == 0:
                self.barrier()

    @contextlib.contextmanager
    def detect_lost_ranks(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not is_connection_error(error):
                raise
            raise LostRankError(
                "another process of this training ended or did not answer "
                "({reason}). Its own message, if it had one, is above.",
                reason=str(error).splitlines()[0],
            ) from error

    def distributed_module(self, net: nn.Module, previous: nn.Module | None = None) -> nn.Module:
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        if isinstance(previous, DistributedModule) and list(map(id, previous.trained)) == list(map(id, trained)):
            return previous
        device = trained[0].device
        with self.detect_lost_ranks():
            return DistributedModule(net, trained, self._group_of(device))

    def with_synced_batchnorm(self, net: nn.Module) -> nn.Module:
        """Use `torch.nn.SyncBatchNorm` on a GPU, and on a CPU, which it does not support, `SyncedBatchNorm`.

        When a batch has fewer images than there are processes, each rank computes it whole, and torch's module
        counts every copy: mean and variance are right, but the unbiased running variance uses too large a count.
        """
        if next(net.parameters()).is_cuda:
            converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(net)
            return converted
        for module in list(net.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, _BatchNorm):
                    synced = SyncedBatchNorm.of(child, self._fast)
                    self._synced_norms.append(synced)
                    setattr(module, name, synced)
        return net

    def average_statistics(self, net: nn.Module) -> None:
        running = [
            statistics
            for module in net.modules()
            if isinstance(module, _BatchNorm) and module.training and not isinstance(module, _SYNCED_NORMS)
            for statistics in (module.running_mean, module.running_var)
            if statistics is not None
        ]
        if not running:
            return
        flat = torch.cat(running)
        with self.detect_lost_ranks():
            dist.all_reduce(flat, dist.ReduceOp.SUM, self._group_of(flat.device))
        flat /= self.size
        for statistics, mean in zip(running, flat.split([len(each) for each in running]), strict=True):
            statistics.copy_(mean)

    def _group_of(self, device: torch.device) -> dist.ProcessGroup:
        if device.type == "cpu":
            return self._fast
        if self._nccl is None:
            self._nccl = dist.new_group(backend="nccl", timeout=self._timeout)
        return self._nccl

    def _gather_texts(self, own: str) -> list[str]:
        """Return the texts of all ranks, on every rank."""
        data = torch.tensor(list(own.encode()), dtype=torch.uint8)
        with self.detect_lost_ranks():
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            dist.all_gather(lengths, torch.tensor([len(data)]))
            longest = max(1, *(int(length) for length in lengths))
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(data)] = data
            all_data = [torch.zeros_like(padded) for _ in range(self.size)]
            dist.all_gather(all_data, padded)
        return [bytes(text[: int(n)].tolist()).decode() for text, n in zip(all_data, lengths, strict=True)]


# Running statistics are averaged after the update instead. The option has another name from torch 2.13 on.
_BUFFER_OPTION = "forward_sync_buffers"
_KEEP_OWN_BUFFERS: dict[str, Any] = {
    _BUFFER_OPTION
    if _BUFFER_OPTION in inspect.signature(DistributedDataParallel.__init__).parameters
    else "broadcast_buffers": False
}


class DistributedModule(DistributedDataParallel):
    """`DistributedDataParallel` with the list of the parameters it was built for.

    When parts of a network are unfrozen, more parameters are trained, and a new module is needed.
    """

    def __init__(self, net: nn.Module, trained: list[nn.Parameter], group: dist.ProcessGroup) -> None:
        super().__init__(net, process_group=group, find_unused_parameters=True, **_KEEP_OWN_BUFFERS)
        self.trained = trained


# words in the messages of gloo and nccl about a lost peer, lower case
_CONNECTION_WORDS = ("gloo", "nccl", "pair closure", "connection closed", "connection reset")


def is_connection_error(error: RuntimeError) -> bool:
    """Whether torch.distributed raised ``error`` because another process is lost.

    gloo raises a plain RuntimeError (torch 2.13), so its message is the only evidence.
    """
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in _CONNECTION_WORDS)


def launched(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Whether this process is one of several that torchrun started, or a launcher that sets the same variables."""
    complete = all(name in environment for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    return complete and int(environment["WORLD_SIZE"]) > 1


@functools.cache
def join(timeout_s: float = 30.0) -> ProcessGroup:
    """Return the process group of this process, by torchrun's environment variables. Every rank must call it.

    The process group is made once and lasts as long as the process.

    Raises:
        LostRankError: the other processes could not be reached.
    """
    if not launched():
        return SINGLE_PROCESS
    if not dist.is_initialized():
        try:
            rendezvous_store, rank, size = next(dist.rendezvous("env://", timeout=SLOW_TIMEOUT))
            store = store_of_this_start(rendezvous_store, rank, size)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=SLOW_TIMEOUT)
        except RuntimeError as error:
            raise LostRankError(
                "the processes of this training did not find each other: {error}", error=error
            ) from error
        atexit.register(leave)
    return TorchProcessGroup(timeout_s)


def store_of_this_start(store: dist.Store, rank: int, size: int) -> dist.Store:
    """Return a view of ``store`` without the keys of earlier starts.

    torchrun keeps one store over all restarts (2.13). A rank that reads the address of a killed rank there would wait
    for it in vain. So rank 0 numbers the start, and every other rank requests the number under a name that it makes up.
    Rank 0 also answers requests that a killed rank left in the store, but it waits until as many ranks have received
    this start's number as are running.
    """
    if rank > 0:
        name = uuid.uuid4().hex
        store.set(f"convatlas/asks/{rank}", name)
        number = store.get(f"convatlas/answer/{name}").decode()  # blocks until rank 0 has set it
        store.add(f"convatlas/came/{number}", 1)
    else:
        number = str(store.add("convatlas/starts", 1))
        answered: set[bytes] = set()
        while store.add(f"convatlas/came/{number}", 0) < size - 1:
            requests = [f"convatlas/asks/{other}" for other in range(1, size)]
            for request in {store.get(key) for key in requests if store.check([key])} - answered:
                store.set(f"convatlas/answer/{request.decode()}", number)
                answered.add(request)
            time.sleep(0.02)
    return dist.PrefixStore(f"convatlas/start/{number}", store)


def processes_here() -> int:
    """Count the processes of this training that share the memory of this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if launched() else 1


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def refuse_contradictions(batch_size: int, accumulate: int, process_group: ProcessGroup) -> None:
    """Check that every rank has an image of every part of a batch.

    Raises:
        RecipeError: the global batch size, divided by ``accumulate``, is smaller than the number of processes.
    """
    if batch_size // accumulate < process_group.size:
        parts = Message(" in {n} parts", n=accumulate) if accumulate > 1 else ""
        raise RecipeError(
            "a global batch of {batch_size} images{parts} cannot be shared among {size} processes: each needs an "
            "image. Pass --batch-size {least} or more, or start fewer processes.",
            batch_size=batch_size,
            parts=parts,
            size=process_group.size,
            least=accumulate * process_group.size,
        )
