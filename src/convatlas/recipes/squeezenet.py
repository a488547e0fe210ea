"""SqueezeNet's training of 2016. Iandola and others, arXiv:1602.07360, section 4, and the authors' repository.

    convatlas train squeezenet1_0 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, top-1 and top-5 accuracy: 57.5 % and 80.3 % (Table 2), with simple bypass 60.4 %
and 82.5 %, with complex bypass 58.8 % and 82.0 % (Table 3).
**Printed.** "We begin with a learning rate of 0.04, and we linearly decrease the learning rate throughout training";
the rest is in the authors' solver: batch 32 accumulated sixteen times, 170,000 updates, momentum 0.9, weight decay
2e-4; a random window or its mirror image. **Assumed.** Nothing. The network's card lists its departures.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

SQUEEZENET_2016 = Recipe(
    name="squeezenet_2016",
    source="Iandola et al., arXiv:1602.07360, section 4, and the authors' solver",
    epochs=68,  # 170,000 updates of 512 images
    batch_size=512,
    lr=0.04,
    momentum=0.9,
    weight_decay=2e-4,
    decay_all=True,
    schedule="one-cycle",
    schedule_settings={"rise": 0.0, "end": 0.0},  # a straight line from the first update to the last
    augment=Augmentation(flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (SQUEEZENET_2016,)
PAPER_OF = {"squeezenet": SQUEEZENET_2016}
