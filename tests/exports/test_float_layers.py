"""The search for the layers of an int8 file that stay in float32.

In a LeNet-5 trained on the digits one channel of C1 is scaled by 300, and what C3 does with it is divided by 300. In
floating point that changes nothing: between them are only ReLU and max pooling. In 8 bits one range for all channels
leaves the others a few levels each, so the file breaks its contract until both layers around the channel stay in
float32.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import convatlas as ca
import convatlas.exports.export as export_module
from convatlas.exports import conversion
from convatlas.exports.contract import Contract, check_file
from convatlas.exports.description import sidecar_path
from convatlas.exports.export import Export, export
from convatlas.exports.quantization import Quantizer
from convatlas.exports.reference import prepared
from convatlas.runs.loaded_network import LoadedNetwork, load_network
from convatlas.runs.run import Run

SCALE = 300
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Scaled:
    """The network with its channel, what was exported, the contract of each file tried, and the stages told."""

    run: Run
    network: LoadedNetwork
    written: Export
    tried: list[Contract]
    stages: list[str]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Scaled:
    root = tmp_path_factory.mktemp("scaled")
    done = ca.train("lenet5@modern", "digits", out=root, epochs=12, threads=1, device="cpu", precision="fp32")
    run = Run(done.path)
    network = load_network(run)
    with torch.no_grad():
        network.net.C1.weight[2] *= SCALE
        network.net.C1.bias[2] *= SCALE
        network.net.C3.weight[:, 2] /= SCALE
    tried: list[Contract] = []
    stages: list[str] = []

    def noted(*arguments: Any, **more: Any) -> Contract:
        tried.append(check_file(*arguments, **more))
        return tried[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "check_file", noted)
        written = export(
            network, precision="int8", out=root / "exported", progress=lambda stage, done, total: stages.append(stage)
        )
    return Scaled(run, network, written, tried, stages)


@pytest.fixture(scope="module")
def quantizer(scaled: Scaled, tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
    network, dataset = scaled.network, scaled.run.dataset()
    training = scaled.run.split(dataset).train[:100]
    images = [prepared(dataset.read(int(index)), network.preprocessing) for index in training]
    core = conversion.network_to_onnx(network.net, network.preprocessing)
    return Quantizer(core, network.preprocessing, images, tmp_path_factory.mktemp("quantizer"))


def test_the_network_itself_is_as_good_as_before(scaled: Scaled) -> None:
    labels = scaled.written.contract.check("labels").values
    assert labels["run_top1"] > 0.9


def test_the_contract_is_broken_before_the_search_and_kept_after_it(scaled: Scaled) -> None:
    assert [contract.state for contract in scaled.tried] == ["broken", "broken", "kept"]
    assert scaled.written.contract.state == "kept", scaled.written.contract.to_dict()
    assert list(dict.fromkeys(scaled.stages)) == ["converting", "quantizing", "checking", "searching"]


def test_the_two_layers_around_the_channel_stay_in_float(scaled: Scaled) -> None:
    assert set(scaled.written.description.float_layers) == {"C1", "C3"}
    note = str(scaled.written.contract.notes[-1])
    assert note.startswith("3 files were tried on these images; 2 of 5 layers stay in float32: ")
    sidecar = json.loads(sidecar_path(scaled.written.file).read_text())
    assert sidecar["float_layers"] == list(scaled.written.description.float_layers)
    assert sidecar["precision"] == "int8"


def test_the_layers_are_named_as_in_the_network(scaled: Scaled, quantizer: Quantizer) -> None:
    assert list(quantizer.layers) == ["C1", "C3", "C5", "F6", "OUTPUT"]
    assert set(quantizer.layers) <= {name for name, _ in scaled.network.net.named_modules()}


def test_the_largest_contribution_comes_first(scaled: Scaled, quantizer: Quantizer) -> None:
    """Measured again, by the whole network with one layer in float: without these two it is closest to the original."""
    contributions = quantizer.contributions(lambda done, total: None)
    changes = [change for _, change in contributions]
    assert changes == sorted(changes, reverse=True)
    assert [layer for layer, _ in contributions[:2]] == list(scaled.written.description.float_layers)
    assert changes[1] > 5 * changes[2]


def test_the_weights_of_the_other_layers_are_integers(scaled: Scaled) -> None:
    import onnx

    model = onnx.load(scaled.written.file)
    sizes = {tensor.name: (tensor.data_type, int(np.prod(tensor.dims))) for tensor in model.graph.initializer}
    stored = {
        name.partition(".weight")[0]: kind for name, (kind, size) in sizes.items() if ".weight" in name and size > 500
    }
    assert stored["C5"] == stored["F6"] == onnx.TensorProto.INT8
    assert stored["C3"] == onnx.TensorProto.FLOAT
