"""The trainings of BN-Inception, 2015. Ioffe and Szegedy, arXiv:1502.03167, section 4.2.

    convatlas train bn_inception --data FOLDER --recipe paper
    convatlas train bn_inception --data FOLDER --recipe bn_inception_2015_x5

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, one crop: 74.8 % top-1 accuracy for BN-x30, after six million updates; 73.0 % for
BN-x5, which is the first to pass Inception's 72.2 %, after 2.1 million (Figure 3).
**Printed.** Batch 32; initial learning rate 0.0015 times 30, or times 5; no dropout; weight decay a fifth of that of
Inception; a learning rate that falls six times as fast; weaker photometric distortions.
**Assumed.** The values of Inception: weight decay 2e-4 as in the BVLC replica, and GoogLeNet's schedule of 4 % every 8
epochs. Momentum 0.9, and half of GoogLeNet's distortions. **A departure.** One process; the paper's training was
distributed.
"""

from __future__ import annotations

from convatlas.recipes.googlenet import GOOGLENET_2014
from convatlas.recipes.recipe import Recipe

INCEPTION_LR = 0.0015

BN_INCEPTION_2015_X30 = GOOGLENET_2014.change(
    name="bn_inception_2015_x30",
    source="Ioffe and Szegedy, arXiv:1502.03167, section 4.2, BN-x30; Inception's own decay and schedule are assumed",
    epochs=150,  # six million updates of 32 images
    lr=30 * INCEPTION_LR,
    weight_decay=2e-4 / 5,
    schedule_settings={"gamma": 0.96, "every_epochs": 8 / 6},
    brightness=0.25,
    contrast=0.25,
    saturation=0.25,
    ema=None,
)
BN_INCEPTION_2015_X5: Recipe = BN_INCEPTION_2015_X30.change(
    name="bn_inception_2015_x5",
    source=BN_INCEPTION_2015_X30.source.replace("BN-x30", "BN-x5"),
    lr=5 * INCEPTION_LR,
)

RECIPES = (BN_INCEPTION_2015_X30, BN_INCEPTION_2015_X5)
PAPER_OF = {"bn_inception": BN_INCEPTION_2015_X30}
