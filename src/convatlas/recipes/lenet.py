"""LeNet-5's training of 1998 (LeCun et al., section III and appendix C).

convatlas train lenet5 --data MNIST --recipe paper
"""

from __future__ import annotations

from convatlas.recipes._recipe import Recipe

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
    validation_images=0,  # all 60,000 digits are trained on
    keep="last",
    precision="fp32",
)
