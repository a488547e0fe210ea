"""A file of torch.export (.pt2): the network with its preparation, for PyTorch without the network's source."""

from __future__ import annotations

import copy
import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.atomic import written_atomically
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import ConvAtlasError
from convatlas.exports.description import METADATA_KEY, Description


class Deployed(nn.Module):
    """uint8 (N, H, W, C) -> logits and probabilities, float32 (N, K) each."""

    def __init__(self, net: nn.Module, preprocessing: Preprocessing, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.net, self.kind = net.to(kind), kind
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("scale", 1 / std / 255)
        self.register_buffer("shift", -mean / std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        x = (images.float() * scale + shift).permute(0, 3, 1, 2)  # (N, C, H, W)
        logits = self.net(x.to(self.kind)).float()
        return logits, logits.softmax(dim=1)


def write(net: nn.Module, description: Description, file: Path) -> None:
    """Write a .pt2 file with a dynamic batch.

    Raises:
        ConvAtlasError: torch cannot export the network, or the file cannot be written.
    """
    preprocessing = description.preprocessing
    kind = torch.bfloat16 if description.precision == "bf16" else torch.float32
    deployed = Deployed(copy.deepcopy(net), preprocessing, kind).eval()
    images = torch.zeros(2, *preprocessing.size, preprocessing.channels, dtype=torch.uint8)
    try:
        program = torch.export.export(deployed, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # the exporter has a class of exception for each of its stages
        raise ConvAtlasError(
            "{network} cannot be exported: {reason}",
            network=description.network,
            reason=" ".join(str(error).split())[:300],
        ) from error
    for node in program.graph.nodes:  # source lines and local paths
        node.meta.pop("stack_trace", None)
    content = io.BytesIO()
    with warnings.catch_warnings():
        # about weights that share memory on another device than the CPU; the contract compares the result anyway
        warnings.filterwarnings("ignore", "No complete tensor found", UserWarning)
        torch.export.save(program, content, extra_files={f"{METADATA_KEY}.json": description.to_json()})
    with written_atomically(file) as opened:
        opened.write(content.getvalue())
