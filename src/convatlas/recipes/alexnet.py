"""AlexNet's training of 2012 (Krizhevsky, Sutskever, Hinton, section 5).

convatlas train alexnet --data FOLDER --recipe paper
"""

from __future__ import annotations

from convatlas.recipes._recipe import Recipe

ALEXNET_2012 = Recipe(
    name="alexnet_2012",
    source="Krizhevsky, Sutskever, Hinton 2012, sections 4 and 5",
    epochs=90,
    batch_size=128,
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
