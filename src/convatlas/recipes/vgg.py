"""VGG's training of 2014 (Simonyan and Zisserman, section 3.1).

convatlas train vgg16 --data FOLDER --recipe paper
"""

from __future__ import annotations

from convatlas.recipes._recipe import Recipe

VGG_2014 = Recipe(
    name="vgg_2014",
    source="Simonyan and Zisserman, arXiv:1409.1556v6, section 3.1",
    epochs=74,
    batch_size=256,
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    decay_all=True,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 3},
    flip="on",
    keep="last",
    precision="fp32",
)
