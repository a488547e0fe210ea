"""The CIFAR trainings of wide and of pre-activated residual networks, 2016. Zagoruyko and Komodakis, arXiv:1605.07146,
and szagoruyko/wide-residual-networks; He, Zhang, Ren and Sun, arXiv:1603.05027, and KaimingHe/resnet-1k-layers.

    convatlas train wide_resnet40_4_cifar --data CIFAR --recipe paper
    convatlas train preact_resnet164_cifar --data CIFAR --recipe paper

**Time.** Not run to its end here; WRN-28-10 takes about a day on a Titan X (README).
**To expect.** CIFAR-10 test error, median of five runs: WRN-28-10 4.00 %, with dropout 3.89 %; pre-activated ResNet-164
5.46 %, ResNet-1001 4.92 %, with batches of 64 4.62 % (READMEs).
**Recalled.** Wide: Nesterov momentum 0.9, batch 128, learning rate 0.1, times 0.2 after 60, 120 and 160 of 200 epochs,
weight decay 5e-4. Pre-activated: batch 128, learning rate 0.1, divided by 10 after 32,000 and 48,000 of 64,000 updates,
0.01 for the first 400 updates, weight decay 1e-4.
**Assumed.** Nothing further; images are padded by 4 pixels, cropped and mirrored in both.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.resnet import RESNET_CIFAR_2015

WIDE_RESNET_2016 = Recipe(
    name="wide_resnet_2016",
    source="Zagoruyko and Komodakis, arXiv:1605.07146, section 3 (recalled), and szagoruyko/wide-residual-networks",
    epochs=200,
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    decay_all=True,
    schedule="multistep",
    schedule_settings={"shares": [0.3, 0.6, 0.8], "gamma": 0.2},
    augment=Augmentation(pad=4, flip="on"),
    keep="last",
    full_precision=True,
)
PREACT_RESNET_2016: Recipe = RESNET_CIFAR_2015.change(
    name="preact_resnet_2016",
    source="He, Zhang, Ren, Sun, arXiv:1603.05027, appendix (recalled), and KaimingHe/resnet-1k-layers",
    warmup_epochs=1.0,
    warmup_factor=0.1,
)

RECIPES = (WIDE_RESNET_2016, PREACT_RESNET_2016)
PAPER_OF = {"wide_resnet": WIDE_RESNET_2016, "preact_resnet": PREACT_RESNET_2016}
