"""What a training step and an inference pass hold in memory: predicted without allocating it, and measured.

Predicting runs the step itself, forward, backward and update, on fake tensors, and watches storages being born and
dying; so it knows what autograd keeps, what is freed early and what lives on, for any module. Beside the tensors it
counts the copies that the forward of a convolution makes on a processor (`convolution_scratch`). What other
kernels take is not in it, and is why a measured peak may lie higher.

The step is the textbook's: forward, loss, zero_grad(set_to_none), backward, update; the second one is counted, when the
optimizer has its state.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from convatlas.errors import UnknownNameError, UsageError

Shape = tuple[int, ...]

OPTIMIZERS: dict[str, Callable[[Iterable[Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda params: torch.optim.SGD(params, lr=1e-3, momentum=0.9),
    "sgd-plain": lambda params: torch.optim.SGD(params, lr=1e-3),
    "adam": lambda params: torch.optim.Adam(params, lr=1e-3),
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-3),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=1e-3, momentum=0.9),
}
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class StepMemory:
    """Bytes of tensors, for one batch.

    Attributes:
        params, gradients, optimizer, buffers: what lies there between steps.
        input: the batch of images.
        saved: what the forward keeps for the backward, parameters, buffers and the images not counted again.
        train_peak: the most that lives at once during a step.
        infer_peak: the most that lives at once during a forward without gradients.
    """

    batch: int
    params: int
    gradients: int
    optimizer: int
    buffers: int
    input: int
    saved: int
    train_peak: int
    infer_peak: int

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def predict(
    net: nn.Module, input_shape: Shape, batch: int, optimizer: str = "sgd", precision: str = "fp32"
) -> StepMemory:
    """StepMemory of a step that is not run: the network may be too large for this machine.

    Args:
        net: any classifier whose forward takes images; not changed.
        input_shape: (C, H, W).
        precision: "fp32", or "bf16" for autocast with weights in float32.
    Raises:
        UnknownNameError: an optimizer or precision that is not known.
        UsageError: a batch below 1.
    """
    _check(batch, optimizer, precision)
    with FakeTensorMode(allow_non_fake_inputs=False) as fake:
        faked = _faked(net, fake)
        images = torch.empty(batch, *input_shape)
        return _watched_step(faked, images, optimizer, precision, _Living())


def measure(
    net: nn.Module, input_shape: Shape, batch: int, optimizer: str = "sgd", precision: str = "fp32"
) -> StepMemory:
    """The same from a real step on this machine: peaks are those of torch's CPU allocator.

    The network is trained for two steps on noise, on a copy: its weights are not changed.
    """
    _check(batch, optimizer, precision)
    net = copy.deepcopy(net)
    images = torch.randn(batch, *input_shape)
    return _watched_step(net, images, optimizer, precision, _Allocator())


def largest_batch(
    net: nn.Module, input_shape: Shape, limit: int, optimizer: str = "sgd", precision: str = "fp32"
) -> tuple[int, int]:
    """The largest batch whose predicted training peak is at most ``limit`` bytes, and that peak.

    If not even one image fits, 0 and the peak of one. The peak rises with the batch: the limit is bracketed by doubling
    and found by bisection.
    """

    def peak(batch: int) -> int:
        return predict(net, input_shape, batch, optimizer, precision).train_peak

    fits, too_large = 0, 1
    at_fits = peak(1)
    while (at_too_large := peak(too_large)) <= limit:
        fits, at_fits = too_large, at_too_large
        too_large *= 2
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if (at_middle := peak(middle)) <= limit:
            fits, at_fits = middle, at_middle
        else:
            too_large = middle
    return fits, at_fits


# ------------------------------------------------------------------ the step


def _watched_step(
    net: nn.Module, images: Tensor, optimizer: str, precision: str, watch: _Living | _Allocator
) -> StepMemory:
    net.train()
    trained = [p for p in net.parameters() if p.requires_grad]
    update = OPTIMIZERS[optimizer](trained)
    labels: Tensor | None = None

    def loss_of(result: Any) -> Tensor:
        nonlocal labels
        logits = next(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        if logits.dim() != 2:
            return logits.float().square().mean()
        if labels is None:
            labels = torch.zeros(len(logits), dtype=torch.long)
        return nn.functional.cross_entropy(logits, labels)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(net(images))
        update.zero_grad(set_to_none=True)
        loss.backward()
        update.step()

    lying = [*net.parameters(), *net.buffers(), images]
    step()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    state = [leaf for leaf in tree_leaves(list(update.state.values())) if isinstance(leaf, Tensor)]
    train_peak = watch.peak([*lying, *gradients, *state], step)
    saved = _saved(net, images, precision)
    sizes = {"gradients": _bytes(gradients), "optimizer": _bytes(state)}
    del gradients, state
    update.zero_grad(set_to_none=True)
    update.state.clear()
    net.eval()

    def infer() -> None:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            net(images)

    return StepMemory(
        batch=len(images),
        params=_bytes(net.parameters()),
        buffers=_bytes(net.buffers()),
        input=_bytes([images]),
        saved=saved,
        train_peak=train_peak,
        infer_peak=watch.peak(lying, infer),
        **sizes,
    )


def _saved(net: nn.Module, images: Tensor, precision: str) -> int:
    """Bytes of distinct storages that autograd keeps in one forward."""
    own = {t.untyped_storage()._cdata for t in (*net.parameters(), *net.buffers(), images)}
    kept: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        if t.untyped_storage()._cdata not in own:
            kept.setdefault(t.untyped_storage()._cdata, t)
        return t

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        result = net(images)
    total = sum(t.untyped_storage().nbytes() for t in kept.values())
    del result
    return total


class _Living(TorchDispatchMode):
    """Counts the bytes of storages that live, as operators make them and references let them go."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def peak(self, lying: list[Tensor], run: Callable[[], None]) -> int:
        self.now, self.known = 0, set()
        for t in lying:
            self._meet(t)
        self.most = self.now
        with self:
            run()
        return self.most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            read, written = convolution_scratch(args, result)
            # first input, weights and blocked output; then, the former two freed, the output as it is returned
            self.most = max(
                self.most, self.now + read + written, self.now + written + result.untyped_storage().nbytes()
            )
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._meet(leaf)
        self.most = max(self.most, self.now)
        return result

    def _meet(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        if key in self.known:
            self.known.discard(key)
            self.now -= size


def convolution_scratch(args: Sequence[Any], output: Tensor) -> tuple[int, int]:
    """Bytes that the forward of ``aten.convolution`` takes beside its tensors: copies of what it reads, of its output.

    oneDNN computes on blocks of channels, 16 where the processor has AVX-512 and 8 before: input, weights and output
    are copied into that layout, their channels filled up to whole blocks, unless the tensors are channels-last or the
    input has less than a block. Small fp32 convolutions go to a matrix product over unrolled windows instead
    (aten/src/ATen/native/Convolution.cpp, ``ConvParams::use_mkldnn``). Found by the allocator's events on an AVX-512
    processor, torch 2.13; on others the sum may differ.
    """
    images, weight, _, stride, _, dilation, transposed, _, groups = args
    if images.dim() != 4 or transposed or images.device.type != "cpu":
        return 0, 0
    batch, channels, *_ = images.shape
    kernel = tuple(weight.shape[2:])
    many = batch >= 16 or kernel != (1, 1) or max(stride) > 1 or max(dilation) > 1 or torch.get_num_threads() > 1
    large = batch > 1 or groups > 1 or min(kernel) > 3 or images.numel() > 20480
    if images.dtype == torch.float32 and not (many and large):
        pointwise = kernel == (1, 1) and max(stride) == 1
        unrolled = 0 if pointwise else weight[0].numel() * output[0, 0].numel() * images.element_size()
        return unrolled, 0
    if images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous():
        return 0, 0
    block = 16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8

    def filled(count: int) -> int:
        return -(-count // block) * block

    blocked = channels >= block
    images_copy = images.nbytes // channels * filled(channels) if blocked else 0
    per_group = weight.shape[1] if groups > 1 or not blocked else filled(weight.shape[1])
    weight_copy = weight.nbytes // (weight.shape[0] * weight.shape[1]) * filled(weight.shape[0]) * per_group
    output_copy = output.nbytes // output.shape[1] * filled(output.shape[1])
    return images_copy + weight_copy, output_copy


class _Allocator:
    """What torch's CPU allocator handed out, from the profiler's own events."""

    def peak(self, lying: list[Tensor], run: Callable[[], None]) -> int:
        from torch.profiler import ProfilerActivity, profile

        # dropped before the run: the step itself must be able to free the gradients of the last one
        base = _bytes(lying)
        lying.clear()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            run()
        kineto = seen.profiler.kineto_results
        now = most = 0
        for event in sorted((e for e in kineto.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()):
            now += event.nbytes()
            most = max(most, now)
        return base + most


def _faked(net: nn.Module, fake: FakeTensorMode) -> nn.Module:
    """The network with fake tensors for its own; no weight is copied."""
    memo: dict[int, Any] = {}
    for p in net.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_strided(p.shape, p.stride(), dtype=p.dtype), p.requires_grad)
    for b in net.buffers():
        memo[id(b)] = torch.empty_strided(b.shape, b.stride(), dtype=b.dtype)
    return copy.deepcopy(net, memo)


def _bytes(tensors: Iterable[Tensor]) -> int:
    distinct = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(distinct.values())


def _check(batch: int, optimizer: str, precision: str) -> None:
    if batch < 1:
        raise UsageError("a batch has at least one image; got {batch}.", batch=batch)
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
