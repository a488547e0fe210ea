"""Memory of a training step and of an inference pass: predicted without allocating it, and measured.

To predict it, the step (forward, backward and update) is run on fake tensors, and the creation and release of their
storages is recorded. This covers what autograd saves and what is freed early, for any module. The prediction also
includes the copies that the forward pass of a convolution makes on a CPU (`convolution_scratch`). It does not include
scratch memory of other kernels, so a measured peak may be higher.

The order of a step is: forward, loss, zero_grad(set_to_none), backward, update. The second step is counted, as the
optimizer has no state before the first.
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
        params, gradients, optimizer, buffers: tensors that exist between steps.
        input: the batch of images.
        saved: what autograd saves in the forward pass for the backward pass, without parameters, buffers and images.
        train_peak: the largest total at any time during a step.
        infer_peak: the largest total at any time during a forward pass without gradients.
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
    """Predict the memory of a step. The network may be too large for this machine.

    Args:
        net: any classifier whose forward takes images; not changed.
        input_shape: (C, H, W).
        precision: "fp32", or "bf16" for autocast with weights in float32.
    Raises:
        UnknownNameError: unknown optimizer or precision.
        UsageError: a batch below 1.
    """
    _check(batch, optimizer, precision)
    with FakeTensorMode(allow_non_fake_inputs=False) as fake:
        faked = _faked(net, fake)
        images = torch.empty(batch, *input_shape)
        return _observed_step(faked, images, optimizer, precision, _LiveStorages())


def measure(
    net: nn.Module, input_shape: Shape, batch: int, optimizer: str = "sgd", precision: str = "fp32"
) -> StepMemory:
    """Measure the memory of a step on this machine. Peaks are those of torch's CPU allocator.

    A copy of the network is trained for two steps on noise; the network itself is not changed.
    """
    _check(batch, optimizer, precision)
    net = copy.deepcopy(net)
    images = torch.randn(batch, *input_shape)
    return _observed_step(net, images, optimizer, precision, _Allocator())


def largest_batch(
    net: nn.Module, input_shape: Shape, limit: int, optimizer: str = "sgd", precision: str = "fp32"
) -> tuple[int, int]:
    """The largest batch whose predicted training peak is at most ``limit`` bytes, and that peak.

    Where one image does not fit, 0 and the peak of one image. The peak rises with the batch, so the largest batch is
    bracketed by doubling and found by bisection.
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


def _observed_step(
    net: nn.Module, images: Tensor, optimizer: str, precision: str, observer: _LiveStorages | _Allocator
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

    resident = [*net.parameters(), *net.buffers(), images]
    step()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    state = [leaf for leaf in tree_leaves(list(update.state.values())) if isinstance(leaf, Tensor)]
    train_peak = observer.peak([*resident, *gradients, *state], step)
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
        infer_peak=observer.peak(resident, infer),
        **sizes,
    )


def _saved(net: nn.Module, images: Tensor, precision: str) -> int:
    """Bytes of the distinct storages that autograd saves in one forward pass."""
    own = {t.untyped_storage()._cdata for t in (*net.parameters(), *net.buffers(), images)}
    saved: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        if t.untyped_storage()._cdata not in own:
            saved.setdefault(t.untyped_storage()._cdata, t)
        return t

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        result = net(images)
    total = sum(t.untyped_storage().nbytes() for t in saved.values())
    del result
    return total


class _LiveStorages(TorchDispatchMode):
    """Counts the bytes of live storages: operators create them, and they are released with their last reference."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def peak(self, resident: list[Tensor], run: Callable[[], None]) -> int:
        """The largest number of bytes during ``run``, with the ``resident`` tensors that exist before it."""
        self.now, self.known = 0, set()
        for t in resident:
            self._add(t)
        self.most = self.now
        with self:
            run()
        return self.most

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            read, written = convolution_scratch(args, result)
            # first the copies of input, weights and output; later the copy of the output, and the output itself
            self.most = max(
                self.most, self.now + read + written, self.now + written + result.untyped_storage().nbytes()
            )
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        self.most = max(self.most, self.now)
        return result

    def _add(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        if key in self.known:
            self.known.discard(key)
            self.now -= size


def convolution_scratch(args: Sequence[Any], output: Tensor) -> tuple[int, int]:
    """Bytes that the forward pass of ``aten.convolution`` uses beside its tensors: (copies of inputs, copy of output).

    oneDNN computes on blocks of channels: 16 with AVX-512, else 8. It copies input, weights and output into that
    layout, with the channels padded to whole blocks, unless the tensors are channels-last or the input has fewer
    channels than a block. Small fp32 convolutions use a matrix product over unrolled windows instead
    (aten/src/ATen/native/Convolution.cpp, ``ConvParams::use_mkldnn``). Determined from the allocator's events on an
    AVX-512 processor with torch 2.13; on other processors the bytes may differ.
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

    def padded(count: int) -> int:
        return -(-count // block) * block

    blocked = channels >= block
    images_copy = images.nbytes // channels * padded(channels) if blocked else 0
    per_group = weight.shape[1] if groups > 1 or not blocked else padded(weight.shape[1])
    weight_copy = weight.nbytes // (weight.shape[0] * weight.shape[1]) * padded(weight.shape[0]) * per_group
    output_copy = output.nbytes // output.shape[1] * padded(output.shape[1])
    return images_copy + weight_copy, output_copy


class _Allocator:
    """Counts the bytes allocated by torch's CPU allocator, from the events of torch's profiler."""

    def peak(self, resident: list[Tensor], run: Callable[[], None]) -> int:
        """The largest number of bytes during ``run``, with the ``resident`` tensors that exist before it."""
        from torch.profiler import ProfilerActivity, profile

        # the references are dropped before the run, as the step must be able to free the gradients of the last step
        base = _bytes(resident)
        resident.clear()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run()
        kineto = profiler.profiler.kineto_results
        now = most = 0
        for event in sorted((e for e in kineto.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()):
            now += event.nbytes()
            most = max(most, now)
        return base + most


def _faked(net: nn.Module, fake: FakeTensorMode) -> nn.Module:
    """A copy of the network with fake tensors. No weight is copied."""
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
        raise UsageError("a batch needs at least one image; got {batch}.", batch=batch)
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
