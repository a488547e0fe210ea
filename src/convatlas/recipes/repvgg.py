"""RepVGG's training of 2021. Ding et al., arXiv:2101.03697, and DingXiaoH/RepVGG, README.

    convatlas train repvgg_a0 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, one crop, top-1 accuracy: A0 72.41 %, B1 78.37 % (README).
**Printed.** 120 epochs, batch 256, a cosine from the learning rate 0.1 to 0, weight decay 1e-4, none on biases and the
norms of the two convolutions; crops of 8 to 100 % of the area and mirror images.
**Assumed.** Momentum 0.9. The trained network is deployed by `convatlas.models.repvgg.reparametrised`.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

REPVGG_2021 = Recipe(
    name="repvgg_2021",
    source="DingXiaoH/RepVGG, README",
    epochs=120,
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    schedule="cosine",
    augment=Augmentation(crop="random-resized", flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (REPVGG_2021,)
PAPER_OF = {"repvgg": REPVGG_2021}
