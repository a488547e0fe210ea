"""ConvNeXt's training of 2022. Liu et al., arXiv:2201.03545, and facebookresearch/ConvNeXt, TRAINING.md.

    convatlas train convnext_tiny --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, centre crop 224, top-1 accuracy: T 82.1 %, S 83.1 %, B 83.8 %, L 84.3 % (README).
**Recalled.** AdamW, batch 4096, learning rate 0.004, weight decay 0.05, 300 epochs, 20 of them warm-up, then a cosine;
RandAugment of strength 9, mixup 0.8, CutMix 1.0, random erasing 0.25, label smoothing 0.1, averaged weights of decay
0.9999; stochastic depth 0.1 for T, 0.4 for S, 0.5 for B and L.
**Assumed.** The settings of T are those of `convnext_2022`; for S, B and L pass --stochastic-depth. **A departure.**
Stochastic depth skips a branch for all images of an update; the released program does so for each image.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

CONVNEXT_2022 = Recipe(
    name="convnext_2022",
    source="Liu et al., arXiv:2201.03545, appendix A (recalled), and facebookresearch/ConvNeXt",
    epochs=300,
    batch_size=4096,
    optimizer="adamw",
    lr=4e-3,
    momentum=0.9,
    weight_decay=0.05,
    ema=0.9999,
    schedule="cosine",
    schedule_settings={"warmup": 20 / 300},
    label_smoothing=0.1,
    stochastic_depth=0.1,
    augment=Augmentation(
        crop="random-resized", flip="on", policy="rand", policy_magnitude=9.0, erasing=0.25, mixup=0.8, cutmix=1.0
    ),
    keep="last",
)

RECIPES = (CONVNEXT_2022,)
PAPER_OF = {"convnext": CONVNEXT_2022}
