"""EfficientNetV2's training of 2021. Tan and Le, arXiv:2104.00298, section 4, and google/automl, efficientnetv2.

    convatlas train efficientnet_v2_s --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, one crop, top-1 accuracy: S 83.9 %, M 85.2 %, L 85.7 % (README).
**Printed.** RandAugment, of magnitude 10 for S, 15 for M and 20 for L; mixup 0.2 and 0.5 for M and L; training at 300
or 384 pixels, evaluation at 384 or 480 (effnetv2_configs.py). The recipe is that of S.
**Recalled.** RMSProp of decay 0.9 and momentum 0.9, learning rate 0.256 for 4096 images, times 0.97 every 2.4 epochs,
350 epochs, weight decay 1e-5, averaged weights of decay 0.9999, stochastic depth that reaches 0.2.
**Assumed.** Batch 256, with the learning rate in proportion. **A departure.** Images keep one size; the paper enlarges
them from 128 to 300 pixels in four stages, with stronger augmentation in each.
"""

from __future__ import annotations

from convatlas.recipes.efficientnet import EFFICIENTNET_2019
from convatlas.recipes.recipe import Recipe

EFFICIENTNET_V2_2021: Recipe = EFFICIENTNET_2019.change(
    name="efficientnet_v2_2021",
    source="Tan and Le, arXiv:2104.00298, section 4 (recalled), and google/automl, efficientnetv2",
    policy="rand",
    policy_magnitude=10.0,
    image_size=300,
)

RECIPES = (EFFICIENTNET_V2_2021,)
PAPER_OF = {"efficientnet_v2": EFFICIENTNET_V2_2021}
