"""GoogLeNet's training of 2014. Szegedy and others, arXiv:1409.4842, sections 5 and 6.

    convatlas train googlenet --data FOLDER --recipe paper
    convatlas evaluate RUN --protocol 144-crop

**Time.** Not run to its end here; "within a week" on "few high-end GPUs" by the paper's estimate (section 6).
**To expect.** ILSVRC-2014 validation, top-5 error of one network: 10.07 % with one crop, 9.15 % with ten, 7.89 % with
144; seven networks and 144 crops 6.67 % (Table 3).
**Printed.** Momentum 0.9; a learning rate that falls by 4 % every 8 epochs; the mean of the weights over the updates
(Polyak) is evaluated; auxiliary losses with weight 0.3, which are part of the network; crops of 8 to 100 % of the area
with aspect ratios from 3:4 to 4:3; photometric distortions.
**Assumed.** Initial learning rate, batch, length and weight decay are those of the BVLC replica. The mean of the
weights is an exponential moving average with decay 0.9999. The distortions are Howard's: brightness, contrast and
colour by 0.5 to 1.5 (recalled).
**A departure.** One process makes every update; the paper's updates were asynchronous, from many replicas (DistBelief).
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

GOOGLENET_2014 = Recipe(
    name="googlenet_2014",
    source="Szegedy et al., arXiv:1409.4842, sections 5 and 6; rate, batch, length and decay of the BVLC replica",
    epochs=250,  # the replica's 10,000,000 updates of 32
    batch_size=32,
    lr=0.01,
    momentum=0.9,
    weight_decay=2e-4,
    decay_all=True,
    ema=0.9999,
    schedule="exponential",
    schedule_settings={"gamma": 0.96, "every_epochs": 8},
    augment=Augmentation(
        crop="random-resized",
        crop_area=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip="on",
        brightness=0.5,
        contrast=0.5,
        saturation=0.5,
    ),
    keep="last",
    full_precision=True,
)

RECIPES = (GOOGLENET_2014,)
PAPER_OF = {"googlenet": GOOGLENET_2014}
