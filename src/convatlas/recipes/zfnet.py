"""ZFNet's training of 2013. Zeiler and Fergus, arXiv:1311.2901, section 3.

    convatlas train zfnet --data FOLDER --recipe paper
    convatlas evaluate RUN --protocol ten-crop

**Time.** Not run to its end here; about twelve days on one GTX 580 in the paper.
**To expect.** ILSVRC-2012 validation, one network: 38.4 % top-1 and 16.5 % top-5 error (Table 2).
**Assumed.** The paper does not state the weight decay; AlexNet's is used. It divides the learning rate "manually when
the validation error plateaus"; here it is divided by ten, three times, after five epochs without a better error. The
paper uses ten fixed windows; here windows are drawn anywhere in the stored image. The limit 0.1 for the root mean
square of each filter (section 3.1) is applied although the pixels differ: about [-128, 128] in the paper, here standard
deviation 1.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

ZFNET_2013 = Recipe(
    name="zfnet_2013",
    source="Zeiler and Fergus, arXiv:1311.2901, section 3; weight decay and the time of dividing the rate are assumed",
    epochs=70,
    batch_size=128,
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    decay_all=True,
    filter_rms=0.1,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 3},
    augment=Augmentation(flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (ZFNET_2013,)
PAPER_OF = {"zfnet": ZFNET_2013}
