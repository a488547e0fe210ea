"""Wrong exports, each of which the contract must refuse: the mistakes that exports are known for, made on purpose."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tiny import Trained
from torch import Tensor, nn

from convatlas.data import Preprocessing
from convatlas.exports import conversion, onnx_format, resizing
from convatlas.exports.contract import Contract, check_file
from convatlas.exports.description import Description, write_sidecar
from convatlas.exports.export import describe
from convatlas.exports.quantization import Quantizer
from convatlas.exports.reference import Reference, prepared
from convatlas.exports.reference_results import compute_reference, weights_digest

PILLOW = "13.0.0"


@dataclass
class Plan:
    """What an export is made of; a mutation changes one part of it.

    Attributes:
        net: the network that is converted.
        preprocessing: what the file does with the pixels.
        description: what the file and its sidecar state.
        finish: changes the finished model.
    """

    net: nn.Module
    preprocessing: Preprocessing
    description: Description
    finish: Callable[[onnx.ModelProto], onnx.ModelProto] = field(default=lambda model: model)


Mutation = Callable[[Plan], None]


class Flipped(nn.Module):
    """The network with its channels in the order blue, green, red."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.flip(1))


class BatchStatistics(nn.Module):
    """Batch normalisation that was left in training mode."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
        weight, bias = self.norm.weight[:, None, None], self.norm.bias[:, None, None]
        return (x - mean) / torch.sqrt(variance + self.norm.eps) * weight + bias


def channel_order(plan: Plan) -> None:
    plan.net = Flipped(plan.net)


def mean_of_another_network(plan: Plan) -> None:
    mean = tuple(value + 0.03 for value in plan.preprocessing.mean)
    plan.preprocessing = replace(plan.preprocessing, mean=mean)


def std_of_another_network(plan: Plan) -> None:
    plan.preprocessing = replace(plan.preprocessing, std=tuple(1.1 * value for value in plan.preprocessing.std))


def no_normalisation(plan: Plan) -> None:
    plan.preprocessing = replace(plan.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)


def class_order(plan: Plan) -> None:
    names = plan.description.classes
    plan.description = replace(plan.description, classes=(*names[1:], names[0]))


def outputs_in_another_order(plan: Plan) -> None:
    with torch.no_grad():
        plan.net.fc.weight.copy_(plan.net.fc.weight.roll(1, 0))
        plan.net.fc.bias.copy_(plan.net.fc.bias.roll(1, 0))


def normalisation_in_training_mode(plan: Plan) -> None:
    plan.net.bn1 = BatchStatistics(plan.net.bn1)


def dropout_in_training_mode(plan: Plan) -> None:
    plan.net.dropout = nn.Identity()
    plan.net.fc.weight.data.mul_((torch.arange(plan.net.fc.in_features) % 5 != 0) / 0.8)  # a mask that was frozen


def dropped_softmax(plan: Plan) -> None:
    def finish(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.node[-1].op_type = "Identity"
        del model.graph.node[-1].attribute[:]
        return model

    plan.finish = finish


def softmax_twice(plan: Plan) -> None:
    plan.net = nn.Sequential(plan.net, nn.Softmax(dim=1))


def half_precision(plan: Plan) -> None:
    plan.finish = lambda model: conversion.with_weights_as(model, TensorProto.FLOAT16)


def bfloat16_stated_as_fp16(plan: Plan) -> None:
    plan.description = replace(plan.description, precision="fp16")
    plan.finish = lambda model: conversion.with_weights_as(model, TensorProto.BFLOAT16)


def full_precision_stated_as_int8(plan: Plan) -> None:
    plan.description = replace(plan.description, precision="int8")


def fixed_batch(plan: Plan) -> None:
    def finish(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        return model

    plan.finish = finish


def weights_of_an_earlier_epoch(plan: Plan) -> None:
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for tensor in plan.net.parameters():
            tensor.add_(
                0.01 * tensor.std() * torch.randn(tensor.shape, generator=generator) if tensor.numel() > 1 else 0
            )


def weights_that_the_description_does_not_state(plan: Plan) -> None:
    plan.description = replace(plan.description, weights={**plan.description.weights, "sha256": "0" * 64})


def another_interpolation(plan: Plan) -> None:
    plan.preprocessing = replace(plan.preprocessing, interpolation="bicubic")
    plan.description = replace(plan.description, preparation=plan.preprocessing.to_dict())


def squashed_instead_of_cropped(plan: Plan) -> None:
    plan.preprocessing = replace(plan.preprocessing, resize="squash")
    plan.description = replace(plan.description, preparation=plan.preprocessing.to_dict())


def another_margin(plan: Plan) -> None:
    plan.preprocessing = replace(plan.preprocessing, margin=1.0)
    plan.description = replace(plan.description, preparation=plan.preprocessing.to_dict())


PIXELS: tuple[Mutation, ...] = (
    channel_order,
    mean_of_another_network,
    std_of_another_network,
    no_normalisation,
    class_order,
    outputs_in_another_order,
    normalisation_in_training_mode,
    dropout_in_training_mode,
    dropped_softmax,
    softmax_twice,
    half_precision,
    bfloat16_stated_as_fp16,
    full_precision_stated_as_int8,
    fixed_batch,
    weights_of_an_earlier_epoch,
    weights_that_the_description_does_not_state,
    another_interpolation,
    squashed_instead_of_cropped,
    another_margin,
)
PHOTO: tuple[Mutation, ...] = (
    channel_order,
    mean_of_another_network,
    class_order,
    dropped_softmax,
    another_interpolation,
    squashed_instead_of_cropped,
    another_margin,
)


@dataclass(frozen=True)
class Workshop:
    """Makes exports of the trained network, right and wrong, and checks them."""

    trained: Trained
    references: dict[str, Reference]
    folder: Path
    converted: dict[str, onnx.ModelProto] = field(default_factory=dict)

    def _converted(self, plan: Plan) -> onnx.ModelProto:
        """The network in ONNX; converted once for all plans that do not change it."""
        key = f"{plan.net} {weights_digest(plan.net)}"
        if key not in self.converted:
            self.converted[key] = conversion.network_to_onnx(plan.net, plan.preprocessing)
        return self.converted[key]

    def plan(self, input: str, precision: str = "fp32") -> Plan:
        network = self.trained.network
        described = describe(network, "onnx", precision, input, 20)
        return Plan(copy.deepcopy(network.net), network.preprocessing, described)

    def check(self, plan: Plan, core: onnx.ModelProto | None = None) -> Contract:
        core = self._converted(plan) if core is None else core
        any_size = plan.description.accepts_any_size
        model = conversion.complete(core, plan.preprocessing, PILLOW, any_size, plan.description)
        file = self.folder / "model.onnx"
        onnx_format.write(plan.finish(model), file)
        write_sidecar(file, plan.description)
        return check_file(file, self.references[plan.description.input], self.trained.dataset)


@pytest.fixture(scope="module")
def workshop(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    network = trained.network
    references = {
        input: compute_reference(
            network.net,
            network.preprocessing,
            network.labels.names,
            any_size=input == "photo",
            dataset=trained.dataset,
            indices=trained.validation,
            labels=trained.dataset.labels,
            part="val",
        )
        for input in ("pixels", "photo")
    }
    return Workshop(trained, references, tmp_path_factory.mktemp("mutations"))


@pytest.mark.parametrize("input", ["pixels", "photo"])
def test_the_right_export_keeps_its_contract(workshop: Workshop, input: str) -> None:
    contract = workshop.check(workshop.plan(input))
    assert [check.state for check in contract.checks] == ["kept"] * len(contract.checks), contract.to_dict()
    assert contract.state == "kept"


@pytest.mark.parametrize("mutation", PIXELS, ids=lambda mutation: mutation.__name__)
def test_a_wrong_export_is_refused(workshop: Workshop, mutation: Mutation) -> None:
    plan = workshop.plan("pixels")
    mutation(plan)
    assert workshop.check(plan).state == "broken"


@pytest.mark.parametrize("mutation", PHOTO, ids=lambda mutation: mutation.__name__)
def test_a_wrong_export_that_resizes_is_refused(workshop: Workshop, mutation: Mutation) -> None:
    plan = workshop.plan("photo")
    mutation(plan)
    assert workshop.check(plan).state == "broken"


def kernel_of_another_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resizing, "BICUBIC", -0.75)  # OpenCV's and torch's parameter instead of Pillow's
    monkeypatch.setitem(resizing.FILTERS, "bilinear", resizing.FILTERS["bicubic"])


def no_antialiasing(monkeypatch: pytest.MonkeyPatch) -> None:
    # the filter does not widen when the image shrinks
    monkeypatch.setattr(resizing, "_reach", lambda graph, axis: graph.op("Mul", graph.constant(2), axis.resized))


def crop_one_pixel_off(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = resizing._axes

    def shifted(graph: Any, preprocessing: Preprocessing, sides: list[str]) -> Any:
        one = graph.constant(1)
        return tuple(
            replace(axis, offset=graph.op("Add", axis.offset, one)) for axis in axes(graph, preprocessing, sides)
        )

    monkeypatch.setattr(resizing, "_axes", shifted)


def passes_in_the_other_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resizing, "VERTICAL_FIRST_SINCE", 99)


@pytest.mark.parametrize(
    "mutation",
    [kernel_of_another_filter, no_antialiasing, crop_one_pixel_off, passes_in_the_other_order],
    ids=lambda mutation: mutation.__name__,
)
def test_a_wrong_resize_inside_the_file_is_refused(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, mutation: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutation(monkeypatch)
    contract = workshop.check(workshop.plan("photo"))
    assert contract.check("pixels").state == "broken", contract.to_dict()


@pytest.fixture(scope="module")
def quantizer(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
    network, dataset = trained.network, trained.dataset
    training = trained.run.split(dataset).train[:60]
    images = [prepared(dataset.read(int(index)), network.preprocessing) for index in training]
    core = conversion.network_to_onnx(network.net, network.preprocessing)
    return Quantizer(core, network.preprocessing, images, tmp_path_factory.mktemp("quantizer"))


@pytest.mark.parametrize(
    "mutation",
    [mean_of_another_network, class_order, dropped_softmax, fixed_batch, another_interpolation],
    ids=lambda mutation: mutation.__name__,
)
def test_a_wrong_export_in_int8_is_refused(workshop: Workshop, quantizer: Quantizer, mutation: Mutation) -> None:
    plan = workshop.plan("pixels", "int8")
    mutation(plan)
    assert workshop.check(plan, quantizer.quantize()).state == "broken"


def test_the_right_export_in_int8_is_not_refused(workshop: Workshop, quantizer: Quantizer) -> None:
    contract = workshop.check(workshop.plan("pixels", "int8"), quantizer.quantize())
    assert contract.state in ("kept", "open"), contract.to_dict()


def test_int8_of_other_weights_loses_too_much(workshop: Workshop, quantizer: Quantizer) -> None:
    core = quantizer.quantize()
    for node in core.graph.node:  # logits in another order: no limit of the logits in int8, but the labels tell
        if node.output[0] == conversion.LOGITS:
            node.output[0] = "before"
    order = helper.make_tensor("order", TensorProto.INT64, [4], np.array([1, 2, 3, 0]).tolist())
    core.graph.initializer.append(order)
    core.graph.node.append(helper.make_node("Gather", ["before", "order"], [conversion.LOGITS], axis=1))
    assert workshop.check(workshop.plan("pixels", "int8"), core).check("labels").state == "broken"
