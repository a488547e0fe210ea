"""LeNet-5's training of 1998 (LeCun et al., section III and appendix C).

convatlas train lenet5 --data MNIST --recipe paper
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convatlas.recipes._recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

# eta of each of the 20 passes, Table in section III.C: 0.0005 twice, 0.0002 three times, 0.0001 three times, ...
ETA = (5e-4,) * 2 + (2e-4,) * 3 + (1e-4,) * 3 + (5e-5,) * 4 + (1e-5,) * 8

LENET5_1998 = Recipe(
    name="lenet5_1998",
    source="LeCun, Bottou, Bengio, Haffner 1998, sections II.B, III and appendix C",
    epochs=20,
    batch_size=1,
    optimizer="sdlm",
    lr=ETA[0],
    momentum=0.0,
    schedule="per-pass",
    schedule_settings={"factors": [eta / ETA[0] for eta in ETA]},
    loss="map-1998",
    pad="0",
    flip="off",
    pixels="lenet-1998",
    initial="root-fan-in",
    validation_images=0,  # all 60,000 digits are trained on
    keep="last",
    precision="fp32",
)


def widen(net: nn.Module) -> None:
    """Draw from 2.4 / sqrt(F) where the paper prints 2.4 / F: every weight and bias times the root of its fan-in F.

    A departure. From the printed range the signals of the deep layers, and with them their curvatures, vanish; the
    first steps are then eta / mu for nearly every weight, and the network saturates and stays there
    (results/main_job).
    """
    import torch

    from convatlas.models.lenet import LeNet5

    assert isinstance(net, LeNet5)
    with torch.no_grad():
        for layer in (net.C1, net.C5, net.F6):
            for parameter in layer.parameters():
                parameter.mul_(layer.weight[0].numel() ** 0.5)
        row = 0
        for output, maps in enumerate(net.C3.table):
            root = (len(maps) * net.C3.kernel_size**2) ** 0.5
            net.C3.weight[row : row + len(maps)].mul_(root)
            net.C3.bias[output].mul_(root)
            row += len(maps)
