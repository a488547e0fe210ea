"""Stochastic depth, 2016. Huang, Sun, Liu, Sedra and Weinberger, arXiv:1603.09382, section 4.

    convatlas train resnet110_cifar --data CIFAR --recipe stochastic_depth_2016

**Time.** Not run to its end here; skipped branches save a quarter of the time (section 3).
**To expect.** CIFAR-10 test error: ResNet-110 5.25 %, ResNet-1202 4.91 %, recalled (Table 1).
**Recalled.** 500 epochs, batch 128, learning rate 0.1, divided by 10 after 250 and 375 epochs, Nesterov momentum 0.9,
weight decay 1e-4; the last branch survives with probability 0.5, earlier ones with more, on a straight line.
**Assumed.** Nothing further. For ResNet-1202 the paper starts with a learning rate of 0.01 for 10 epochs, recalled:
pass --warmup-epochs 10.
"""

from __future__ import annotations

from convatlas.recipes.recipe import Recipe
from convatlas.recipes.resnet import RESNET_CIFAR_2015

STOCHASTIC_DEPTH_2016: Recipe = RESNET_CIFAR_2015.change(
    name="stochastic_depth_2016",
    source="Huang, Sun, Liu, Sedra and Weinberger, arXiv:1603.09382, section 4 (recalled)",
    epochs=500,
    nesterov=True,
    stochastic_depth=0.5,
)

RECIPES = (STOCHASTIC_DEPTH_2016,)
