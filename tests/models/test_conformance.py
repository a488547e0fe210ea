"""What every network of the atlas can do: joining the registry is joining these tests.

By default the smallest network of each family and each variant is tried; ``pytest -m slow`` tries the others.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.errors import ShapeError
from convatlas.models import entry
from convatlas.models._registry import declared

NAMES = sorted(ca.list_models(), key=lambda name: entry(name).params)
SMALL = [name for name in NAMES if entry(name).macs < 3e8 and entry(name).params < 3e6]
FIRST = {(entry(name).family, entry(name).variant): name for name in reversed(NAMES)}.values()


def each(names: list[str]) -> pytest.MarkDecorator:
    marks = [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("name", marks)


every, small = each(NAMES), each(SMALL)


def on_meta(name: str, **sizes: int) -> nn.Module:
    with torch.device("meta"):
        return ca.create_model(name, **sizes)


def images(name: str, batch: int = 2, channels: int | None = None, size: int | None = None) -> torch.Tensor:
    c, h, w = entry(name).input
    return torch.randn(batch, channels or c, size or h, size or w)


def expected_shape(name: str, x: torch.Tensor) -> tuple[int, ...]:
    """Logits (N, K); a network without classes gives its images back."""
    return (len(x), entry(name).num_classes) if entry(name).num_classes else tuple(x.shape)


@every
def test_logits_have_the_right_shape_at_the_papers_input(name):
    x = images(name).to("meta")
    assert on_meta(name).eval()(x).shape == expected_shape(name, x)


@every
def test_other_legal_sizes_work(name):
    line = entry(name)
    for size in (line.smallest_size + 1, line.input[1] + 32):
        x = images(name, size=size).to("meta")
        assert on_meta(name, image_size=size).eval()(x).shape == expected_shape(name, x)


@every
def test_the_smallest_size_is_the_smallest(name):
    """One pixel less, and a kernel does not fit or a stride steps over a map of one pixel."""
    if entry(name).smallest_size > 1:
        with torch.device("meta"), pytest.raises((RuntimeError, ValueError, AssertionError, UserWarning)):
            run_unchecked(name, entry(name).smallest_size - 1)


def run_unchecked(name: str, size: int) -> None:
    line = entry(name)
    build = declared(line.family)[name].build
    net = build(num_classes=line.num_classes, in_channels=line.input[0], image_size=size)
    net.smallest_size = 1
    watch_for_idle_strides(net)
    net.eval()(images(name, size=size).to("meta"))


@every
def test_at_the_smallest_size_no_stride_is_idle(name):
    with torch.device("meta"):
        run_unchecked(name, entry(name).smallest_size)


def watch_for_idle_strides(net: nn.Module) -> None:
    def check(module: nn.Module, inputs: tuple) -> None:
        stride = module.stride if isinstance(module.stride, tuple) else (module.stride,)
        assert max(stride) == 1 or min(inputs[0].shape[2:]) > 1, "a stride over a single pixel"

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            module.register_forward_pre_hook(check)


@every
def test_an_illegal_size_is_refused_with_the_way_out(name):
    line = entry(name)
    channels, side, _ = line.input
    net = on_meta(name)
    if line.smallest_size > 1:
        least = line.smallest_size
        with pytest.raises(ShapeError, match=rf"^{name} is too deep for .* its smallest is {least} x {least}"):
            net(images(name, size=least - 1).to("meta"))
        with pytest.raises(ShapeError, match=f"its smallest is {least} x {least}"):
            ca.create_model(name, image_size=least - 1)
    if line.fixed_size:
        wrong = side + 8
        with pytest.raises(ShapeError, match=rf"^{name} needs {side} x {side} .*Pass image_size={wrong}, or resize"):
            net(images(name, size=wrong).to("meta"))
    with pytest.raises(ShapeError, match=rf"takes images of shape \(N, {channels}, H, W\).*in_channels={channels + 1}"):
        net(images(name, channels=channels + 1).to("meta"))
    with pytest.raises(ShapeError, match=r"images\.unsqueeze\(0\)"):
        net(images(name)[0].to("meta"))


@every
def test_num_classes_changes_the_head_and_in_channels_the_stem_and_nothing_else(name):
    line = entry(name)
    shapes = parameter_shapes(on_meta(name))
    changes = [{"in_channels": line.input[0] + 1}, {"num_classes": line.num_classes + 7}]
    for change in changes if line.num_classes else ():
        changed = parameter_shapes(on_meta(name, **change))
        assert changed.keys() == shapes.keys()
        touched = {key.rpartition(".")[0] for key in shapes if changed[key] != shapes[key]}
        assert touched, f"{change} changes nothing"
        if "in_channels" in change:
            stem = next(iter(shapes)).partition(".")[0]
            assert {key.partition(".")[0] for key in touched} == {stem}
        else:
            assert all(shapes[key][0] == line.num_classes for key in shapes if changed[key] != shapes[key])


def parameter_shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@every
def test_the_trace_counts_every_parameter(name):
    net = on_meta(name)
    assert ca.summarize(net, entry(name).input).totals.params == entry(name).params
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) >= entry(name).params


@every
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


def training_loss(outputs: torch.Tensor | tuple) -> torch.Tensor:
    """Cross-entropy, with the auxiliary heads' where there are any; the square where there are no classes."""
    if isinstance(outputs, tuple):
        logits, auxiliary, weight = outputs
        return training_loss(logits) + weight * sum(training_loss(head) for head in auxiliary)
    if outputs.dim() == 4:
        return outputs.square().mean()
    return nn.functional.cross_entropy(outputs, torch.tensor([0, 1]))


@small
def test_every_parameter_gets_a_gradient_and_logits_are_finite(name):
    torch.manual_seed(0)
    net = ca.create_model(name)
    loss = training_loss(net(images(name)))
    assert loss.isfinite()
    loss.backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@small
def test_evaluation_is_deterministic_and_the_weights_survive_safetensors(name, tmp_path):
    from safetensors.torch import load_model, save_model

    torch.manual_seed(0)
    net, x = ca.create_model(name).eval(), images(name)
    with torch.no_grad():
        first = net(x)
        assert torch.equal(first, net(x))
        save_model(net, str(tmp_path / "weights.safetensors"))
        again = ca.create_model(name).eval()
        load_model(again, str(tmp_path / "weights.safetensors"))
        assert torch.equal(first, again(x))


@small
def test_backward_under_bf16_autocast_is_finite(name):
    torch.manual_seed(0)
    net = ca.create_model(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = training_loss(net(images(name)))
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
