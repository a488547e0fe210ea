"""The PReLU-nets' training of 2015. He, Zhang, Ren and Sun, arXiv:1502.01852, section 3.

    convatlas train prelu_net_a --data FOLDER --recipe paper

**Time.** Not run to its end here; three to four weeks on eight K40 in the paper (model C).
**To expect.** ILSVRC-2012 validation, several scales, dense, top-1 and top-5 error: A 22.97 % and 6.28 %, B 22.85 % and
6.27 %, C 21.59 % and 5.71 % (Table 6).
**Printed.** Batch 128, momentum 0.9, weight decay 5e-4 except on the slopes of PReLU, learning rate 0.01, then 0.001,
then 0.0001 when the error plateaus, about 80 epochs; the image's shorter side drawn from [256, 512] from the first
epoch, mirror images, random colours.
**Assumed.** Biases have no weight decay either. A plateau is five epochs without a better error. The colours are
AlexNet's.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

PRELU_NET_2015 = Recipe(
    name="prelu_net_2015",
    source="He, Zhang, Ren, Sun, arXiv:1502.01852, section 3; the length of a plateau is assumed",
    epochs=80,
    batch_size=128,
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 2},
    augment=Augmentation(crop="scale-jitter", crop_scale=(256, 512), flip="on", pca_noise=0.1),
    keep="last",
    full_precision=True,
)

RECIPES = (PRELU_NET_2015,)
PAPER_OF = {"prelu_net": PRELU_NET_2015}
