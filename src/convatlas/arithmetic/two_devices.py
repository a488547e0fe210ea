"""A network on two devices, as AlexNet was trained on two GPUs: memory of each device and transfers. No torch.

As in Krizhevsky, Sutskever and Hinton 2012, section 3.2 and figure 2, each device has half of the filters (or neurons)
of every layer. A convolution in two groups reads the maps of its own device. Any other layer with weights reads the
maps of both, so each device sends its half to the other. Every device gets the whole image. All figures are derived
from the rows of the network's layer table.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from convatlas.arithmetic.records import INPUT, WEIGHTED, LayerRow
from convatlas.arithmetic.summary import Summary
from convatlas.errors import UsageError
from convatlas.message import Message

DEVICES = 2
FLOAT_BYTES = 4
COPIES = 3  # values stored per weight during training: weight, gradient and momentum
BATCH = 128  # section 5 of the paper


@dataclass(frozen=True)
class DeviceLayer:
    """One layer with weights: the half of one device, and the transfer before the layer.

    Attributes:
        params, activations: of one device; activations are the outputs of the layer and of the rows after it, up to
            the next layer with weights.
        sent: values per image that each device sends to the other before this layer; 0 where it reads its own maps.
        source: the row whose output is transferred; "" where there is no transfer.
    """

    name: str
    params: int
    activations: int
    sent: int = 0
    source: str = ""


@dataclass(frozen=True)
class TwoDevices:
    """A network divided between two devices.

    Attributes:
        batch: images of one training step.
        image: values of one image.
        param_bytes: of one device in training: weights, gradients and momentum.
        activation_bytes: of one device for the batch: its half of every output, and the whole images.
        forward_bytes: transfers in both directions together, in the forward pass of a batch.
    """

    model: str
    batch: int
    image: int
    layers: tuple[DeviceLayer, ...]

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers)

    @property
    def activations(self) -> int:
        return self.image + sum(layer.activations for layer in self.layers)

    @property
    def sent(self) -> int:
        """Values per image that one device sends in a forward pass."""
        return sum(layer.sent for layer in self.layers)

    @property
    def param_bytes(self) -> int:
        return COPIES * FLOAT_BYTES * self.params

    @property
    def activation_bytes(self) -> int:
        return FLOAT_BYTES * self.batch * self.activations

    @property
    def forward_bytes(self) -> int:
        return DEVICES * FLOAT_BYTES * self.batch * self.sent

    @property
    def step_bytes(self) -> int:
        """Transfers of a training step: the gradients of the transferred values are sent back."""
        return 2 * self.forward_bytes

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "devices": DEVICES,
            "batch": self.batch,
            "layers": [dict(vars(layer)) for layer in self.layers],
            "per_device": {
                "params": self.params,
                "activations": self.activations,
                "param_bytes": self.param_bytes,
                "activation_bytes": self.activation_bytes,
            },
            "sent_per_image": self.sent,
            "forward_bytes": self.forward_bytes,
            "step_bytes": self.step_bytes,
        }


def two_devices(summary: Summary, batch: int = BATCH) -> TwoDevices:
    """Divide a network between two devices.

    Raises:
        UsageError: the outputs or parameters of a layer cannot be halved, or no layer has weights.
    """
    rows = {row.name: row for row in summary.rows}
    layers: list[DeviceLayer] = []
    for row in summary.rows:
        if row.kind in WEIGHTED:
            layers.append(_layer(summary, row, rows))
        elif layers:
            last = layers[-1]
            extra = _half(row, row.activation_bytes // FLOAT_BYTES)
            params = last.params + _half(row, row.params)
            layers[-1] = DeviceLayer(last.name, params, last.activations + extra, last.sent, last.source)
    if not layers:
        raise UsageError("{network} has no convolution and no fully connected layer to divide.", network=summary.model)
    return TwoDevices(summary.model, batch, prod(summary.inputs[0]), tuple(layers))


def _layer(summary: Summary, row: LayerRow, rows: dict[str, LayerRow]) -> DeviceLayer:
    params, outputs = _half(row, row.params), _half(row, prod(row.output))
    own_maps = row.kind == "conv" and (row.groups or 1) % DEVICES == 0
    sources = [name for name in row.inputs if name != INPUT]
    if own_maps or not sources:
        return DeviceLayer(row.name, params, outputs)
    crossing = sum(_half(rows[name], prod(rows[name].output)) for name in sources)
    return DeviceLayer(row.name, params, outputs, crossing, " + ".join(sources))


def _half(row: LayerRow, count: int) -> int:
    if count % DEVICES:
        raise UsageError(
            "{layer} cannot be halved between two devices: {count} is odd. Choose a network with an even number of "
            "filters in every layer, such as alexnet.",
            layer=row.name,
            count=count,
        )
    return count // DEVICES


NOTES = (
    Message("normalisation across channels uses the maps of the same device only"),
    Message("the softmax needs the scores of both halves of the last layer; that transfer is not counted"),
)
