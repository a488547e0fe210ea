"""ShuffleNet V2's training of 2018. Ma, Zhang, Zheng and Sun, arXiv:1807.11164, and megvii-model/ShuffleNet-Series.

    convatlas train shufflenet_v2_x1_0 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, top-1 error of the centre crop: 0.5x 38.9 %, 1x 30.6 %, 1.5x 27.4 %, 2x 25.0 %;
ShuffleNet of 2017, which the same repository trains: 1x with 3 groups 32.2 %.
**Recalled.** Batch 1024, 300,000 updates, learning rate 0.5 on a straight line to 0, momentum 0.9, weight decay 4e-5,
label smoothing 0.1, no decay on biases and norms: the released program's; its text was not found.
**Assumed.** Crops of 8 to 100 % of the area, mirror images, and brightness, contrast and saturation of up to 0.4.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

SHUFFLENET_V2_2018 = Recipe(
    name="shufflenet_v2_2018",
    source="Ma et al., arXiv:1807.11164, and megvii-model/ShuffleNet-Series (recalled)",
    epochs=240,  # 300,000 updates of 1024 images
    batch_size=1024,
    lr=0.5,
    momentum=0.9,
    weight_decay=4e-5,
    schedule="one-cycle",
    schedule_settings={"rise": 0.0, "end": 0.0},  # a straight line from the first update to the last
    label_smoothing=0.1,
    augment=Augmentation(crop="random-resized", flip="on", brightness=0.4, contrast=0.4, saturation=0.4),
    keep="last",
    full_precision=True,
)

RECIPES = (SHUFFLENET_V2_2018,)
PAPER_OF = {"shufflenet_v1": SHUFFLENET_V2_2018, "shufflenet_v2": SHUFFLENET_V2_2018}  # one released program for both
