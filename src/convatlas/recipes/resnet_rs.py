"""ResNet-RS's training of 2021 for ResNet-50. Bello and others, arXiv:2103.07579, section 4 and Table 1.

    convatlas train resnet50@torchvision --data FOLDER --recipe resnet_rs_2021

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, top-1 accuracy of a ResNet-200 at 256 pixels: 79.0 % with the training of 2015,
82.2 % with this one (Table 1, recalled).
**Recalled.** 350 epochs, half a cosine, averaged weights, label smoothing 0.1, stochastic depth, RandAugment of two
operations, dropout 0.25 before the last layer, weight decay 4e-5 and none on biases and norms, momentum 0.9, learning
rate 0.1 for 256 images, 5 epochs of warm-up. The text of the paper was not found.
**Assumed.** Batch 256; RandAugment of magnitude 10; averaged weights of decay 0.9999; stochastic depth up to 0.2.
**A departure.** ResNet-50 has no dropout layer, so there is no dropout.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

RESNET_RS_2021 = Recipe(
    name="resnet_rs_2021",
    source="Bello and others, arXiv:2103.07579 (recalled)",
    epochs=350,
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    weight_decay=4e-5,
    ema=0.9999,
    schedule="cosine",
    schedule_settings={"warmup": 0.0143},  # 5 of 350 epochs
    label_smoothing=0.1,
    stochastic_depth=0.2,
    augment=Augmentation(crop="random-resized", flip="on", policy="rand", policy_magnitude=10.0),
    keep="last",
)

RECIPES = (RESNET_RS_2021,)
