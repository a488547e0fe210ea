"""What every network of the atlas can do: joining the registry is joining these tests.

By default the smallest network of each family is tried; ``pytest -m slow`` tries the others. Structure
is checked on the meta device, numbers once: a network is built at its smallest legal size for one evaluation, one
update in fp32 and one in bf16, and at its paper's input for one evaluation; the tests read what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import convatlas as ca
from convatlas.errors import ShapeError
from convatlas.models import entry
from convatlas.models.initialisation import class_layers
from convatlas.models.registry import declared

NAMES = sorted(ca.list_models(), key=lambda name: entry(name).params)
FIRST = {entry(name).family: name for name in reversed(NAMES)}.values()
QUICK = [name for name in FIRST if entry(name).macs < 4e8]  # whose numbers are tried by default too


def each(tried: list[str]) -> list:
    return [pytest.param(name, marks=() if name in tried else pytest.mark.slow) for name in NAMES]


@pytest.fixture(scope="module", params=each(list(FIRST)))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def on_meta(name) -> nn.Module:
    """The network at its paper's input; a test does not change it."""
    return build_on_meta(name).eval()


def build_on_meta(name: str, **sizes: int) -> nn.Module:
    with torch.device("meta"):
        return ca.create_model(name, **sizes)


def images(name: str, batch: int = 2, channels: int | None = None, size: int | None = None) -> Tensor:
    c, h, w = entry(name).input
    return torch.randn(batch, channels or c, size or h, size or w)


def expected_shape(name: str, x: Tensor) -> tuple[int, ...]:
    """Logits (N, K); a network without classes gives its images back."""
    return (len(x), entry(name).num_classes) if entry(name).num_classes else tuple(x.shape)


# structure, on the meta device


def test_building_on_the_meta_device_allocates_nothing(name, on_meta):
    tensors = dict(on_meta.named_parameters()) | dict(on_meta.named_buffers())
    assert [key for key, tensor in tensors.items() if not tensor.is_meta] == []


def test_the_trace_counts_every_parameter(name, on_meta):
    assert ca.summarize(on_meta, entry(name).input).totals.params == entry(name).params
    assert sum(p.numel() for p in on_meta.parameters() if p.requires_grad) >= entry(name).params


def test_logits_have_the_right_shape_at_the_papers_input_and_at_a_larger_one(name, on_meta):
    x = images(name).to("meta")
    assert on_meta(x).shape == expected_shape(name, x)
    larger = entry(name).input[1] + 32
    net = build_on_meta(name, image_size=larger).eval() if entry(name).fixed_size else on_meta
    x = images(name, size=larger).to("meta")
    assert net(x).shape == expected_shape(name, x)


def test_the_smallest_size_is_the_smallest(name):
    """One pixel less, and a kernel does not fit or a stride steps over a map of one pixel."""
    run_unchecked(name, entry(name).smallest_size)
    if entry(name).smallest_size > 1:
        with pytest.raises((RuntimeError, ValueError, AssertionError, UserWarning)):
            run_unchecked(name, entry(name).smallest_size - 1)


def run_unchecked(name: str, size: int) -> None:
    line = entry(name)
    with torch.device("meta"):
        net = declared(line.family)[name].build(
            num_classes=line.num_classes, in_channels=line.input[0], image_size=size
        )
    net.smallest_size = 1
    watch_for_idle_strides(net)
    net.eval()(images(name, size=size).to("meta"))


def watch_for_idle_strides(net: nn.Module) -> None:
    def check(module: nn.Module, inputs: tuple) -> None:
        stride = module.stride if isinstance(module.stride, tuple) else (module.stride,)
        assert max(stride) == 1 or min(inputs[0].shape[2:]) > 1, "a stride over a single pixel"

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            module.register_forward_pre_hook(check)


def test_an_illegal_size_is_refused_with_the_way_out(name, on_meta):
    line = entry(name)
    channels, side, _ = line.input
    if line.smallest_size > 1:
        least = line.smallest_size
        with pytest.raises(ShapeError, match=rf"^{name} is too deep .* smallest possible size is {least} x {least}"):
            on_meta(images(name, size=least - 1).to("meta"))
        with pytest.raises(ShapeError, match=f"the smallest possible size is {least} x {least}"):
            ca.create_model(name, image_size=least - 1)
    if line.fixed_size:
        wrong = side + 8
        with pytest.raises(ShapeError, match=rf"^{name} needs {side} x {side} .*Pass image_size={wrong}, or resize"):
            on_meta(images(name, size=wrong).to("meta"))
    with pytest.raises(ShapeError, match=rf"of the shape \(N, {channels}, H, W\).*in_channels={channels + 1}"):
        on_meta(images(name, channels=channels + 1).to("meta"))
    with pytest.raises(ShapeError, match=r"images\.unsqueeze\(0\)"):
        on_meta(images(name)[0].to("meta"))


def test_num_classes_changes_the_head_and_in_channels_the_stem_and_nothing_else(name, on_meta):
    line = entry(name)
    if not line.num_classes:
        pytest.skip("no classes: the stem's channels are the output's too")
    shapes = shapes_of(on_meta)
    stem = next(iter(shapes)).partition(".")[0]
    touched = layers_changed(shapes, shapes_of(build_on_meta(name, in_channels=line.input[0] + 1)))
    assert {layer.partition(".")[0] for layer in touched} == {stem}
    wider = shapes_of(build_on_meta(name, num_classes=line.num_classes + 7))
    touched = layers_changed(shapes, wider)
    if name == "lenet5":  # fixed codes, no layer that is learned
        assert touched == {"OUTPUT"}
    else:
        names = {module: key for key, module in on_meta.named_modules()}
        assert touched == {names[layer] for layer in class_layers(on_meta)}
    assert all(wider[key] == (line.num_classes + 7, *shapes[key][1:]) for key in shapes if wider[key] != shapes[key])


def shapes_of(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


def layers_changed(shapes: dict[str, tuple[int, ...]], changed: dict[str, tuple[int, ...]]) -> set[str]:
    assert changed.keys() == shapes.keys()
    return {key.rpartition(".")[0] for key in shapes if changed[key] != shapes[key]}


def test_the_card_is_complete(name):
    card = ca.card(name)
    assert card.paper.authors
    assert card.paper.title
    assert 1980 < card.paper.year < 2030
    assert card.summary
    assert card.initialisation
    for figure in card.figures:
        assert figure.value > 0
        assert figure.where or figure.source or not figure.verified
        assert figure.protocol or not figure.quantity.endswith("error")
    for departure in card.departures:
        assert all((departure.topic, departure.paper, departure.here, departure.why))
    if entry(name).variant:
        assert card.departures, "a variant that does not depart from the paper is no variant"


# numbers, each computed once


@dataclass
class Tried:
    """What came of one network at its smallest legal size; ``gradients`` hold whether each was finite, by name."""

    twice: tuple[Tensor, Tensor]  # two evaluations of the same images
    survived: bool  # whether every tensor came back from a safetensors file with the same bits
    loss: float
    gradients: dict[str, bool | None]  # None: the parameter got none
    bf16_loss: float
    bf16_gradients: dict[str, bool | None]


@pytest.fixture(scope="module", params=each(QUICK))
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    name = request.param
    torch.manual_seed(0)
    net = ca.create_model(name, image_size=entry(name).smallest_size)
    x = images(name, size=entry(name).smallest_size)
    with torch.no_grad():
        net.eval()
        twice = (net(x), net(x))
    survived = comes_back(net, tmp_path_factory.mktemp("weights") / "net.safetensors")
    net.train()
    loss, gradients = update(net, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bf16_loss, bf16_gradients = update(net, x)
    return Tried(twice, survived, loss, gradients, bf16_loss, bf16_gradients)


def comes_back(net: nn.Module, file: Path) -> bool:
    state = {key: tensor.contiguous() for key, tensor in net.state_dict().items()}
    save_file(state, file)
    again = load_file(file)
    file.unlink()
    return again.keys() == state.keys() and all(torch.equal(again[key], state[key]) for key in state)


def update(net: nn.Module, x: Tensor) -> tuple[float, dict[str, bool | None]]:
    net.zero_grad(set_to_none=True)
    loss = training_loss(net(x))
    loss.backward()
    found = {
        key: None if parameter.grad is None else bool(parameter.grad.isfinite().all())
        for key, parameter in net.named_parameters()
    }
    return loss.item(), found


def training_loss(outputs: Tensor | tuple) -> Tensor:
    """Cross-entropy, with the auxiliary heads' where there are any; the square where there are no classes."""
    if isinstance(outputs, tuple):
        logits, auxiliary, weight = outputs
        return training_loss(logits) + weight * sum(training_loss(head) for head in auxiliary)
    if outputs.dim() == 4:
        return outputs.square().mean()
    return nn.functional.cross_entropy(outputs, torch.tensor([0, 1]))


def test_at_the_smallest_size_evaluation_is_finite_and_deterministic(tried):
    first, second = tried.twice
    assert first.isfinite().all()
    assert torch.equal(first, second)


def test_the_weights_survive_a_safetensors_file_to_the_bit(tried):
    assert tried.survived


def test_every_parameter_gets_a_finite_gradient(tried):
    assert torch.tensor(tried.loss).isfinite()
    assert [key for key, finite in tried.gradients.items() if not finite] == []


def test_backward_under_bf16_autocast_is_finite(tried):
    assert torch.tensor(tried.bf16_loss).isfinite()
    assert [key for key, finite in tried.bf16_gradients.items() if not finite] == []


@pytest.mark.parametrize("name", each(QUICK), scope="function")
def test_logits_are_finite_at_the_papers_input_and_a_little_above_the_smallest(name):
    torch.manual_seed(0)
    net = ca.create_model(name)
    with torch.no_grad():
        if name == "resnet1202_cifar":  # 600 sums of two equal maps before batch norm has seen any: 2^600
            assert not net.eval()(images(name, batch=1)).isfinite().all()
            see_a_batch(net, images(name))
        net.eval()
        assert net(images(name, batch=1)).isfinite().all()
        size = entry(name).smallest_size + 5
        if entry(name).fixed_size:
            net = ca.create_model(name, image_size=size).eval()
        assert net(images(name, batch=1, size=size)).isfinite().all()


def see_a_batch(net: nn.Module, x: Tensor) -> None:
    """The running statistics of every batch norm become those of the images."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    net.train()(x)
