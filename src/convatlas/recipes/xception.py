"""Xception's ImageNet training of 2016. Chollet, arXiv:1610.02357, section 4.

    convatlas train xception --data FOLDER --recipe paper

**Time.** Not run to its end here; about three days on 60 K80 in the paper.
**To expect.** ILSVRC-2012 validation, one crop, without the images of a blacklist: 79.0 % top-1 and 94.5 % top-5
accuracy (Table 1).
**Printed.** SGD, momentum 0.9, learning rate 0.045, times 0.94 every two epochs, decay 1e-5, dropout 0.5 before the
classifier, Polyak averaging for inference, no auxiliary head.
**Assumed.** Batch, length and augmentation, which are not printed: 32, Inception-v3's 100 epochs, and its crops. The
average is an exponential moving average with decay 0.9999. **A departure.** One process; the paper's 60 GPUs worked
synchronously, so its batch was larger than that of any one of them.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

XCEPTION_2016 = Recipe(
    name="xception_2016",
    source="Chollet, arXiv:1610.02357, sections 4.2 and 4.3; batch, length and augmentation are assumed",
    epochs=100,
    batch_size=32,
    lr=0.045,
    momentum=0.9,
    weight_decay=1e-5,
    decay_all=True,
    ema=0.9999,
    schedule="exponential",
    schedule_settings={"gamma": 0.94, "every_epochs": 2},
    augment=Augmentation(crop="random-resized", crop_area=(0.08, 1.0), crop_ratio=(3 / 4, 4 / 3), flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (XCEPTION_2016,)
PAPER_OF = {"xception": XCEPTION_2016}
