"""EfficientNet's training of 2019. Tan and Le, arXiv:1905.11946, section 5, and the released program (tensorflow/tpu).

    convatlas train efficientnet_b0 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, one crop, top-1 accuracy: B0 77.1 %, B1 79.1 %, B2 80.1 %, B3 81.6 % (Table 2).
**Recalled.** RMSProp of decay 0.9 and momentum 0.9, learning rate 0.256 for 4096 images, times 0.97 every 2.4 epochs,
weight decay 1e-5, 350 epochs, label smoothing 0.1, stochastic depth that reaches 0.2, averaged weights of decay 0.9999;
the epsilon 0.001 of RMSProp and 5 epochs of warm-up are the released program's. The text of section 5 was not found.
**Assumed.** Batch 256, with the learning rate in proportion; AutoAugment's policy for ImageNet.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

EFFICIENTNET_2019 = Recipe(
    name="efficientnet_2019",
    source="Tan and Le, arXiv:1905.11946, section 5 (recalled), and tensorflow/tpu",
    epochs=350,
    batch_size=256,
    optimizer="rmsprop",
    lr=0.016,
    momentum=0.9,
    eps=1e-3,
    weight_decay=1e-5,
    ema=0.9999,
    schedule="exponential",
    schedule_settings={"gamma": 0.97, "every_epochs": 2.4},
    warmup_epochs=5,
    label_smoothing=0.1,
    stochastic_depth=0.2,
    augment=Augmentation(
        crop="random-resized", crop_area=(0.08, 1.0), crop_ratio=(3 / 4, 4 / 3), flip="on", policy="auto"
    ),
    keep="last",
    full_precision=True,
)

RECIPES = (EFFICIENTNET_2019,)
PAPER_OF = {"efficientnet": EFFICIENTNET_2019}
