"""AlexNet's training of 2012. Krizhevsky, Sutskever and Hinton, NIPS 2012, sections 4 and 5.

    convatlas train alexnet --data FOLDER --recipe paper
    convatlas evaluate RUN --protocol ten-crop
    convatlas evaluate RUN RUN RUN RUN RUN --protocol ten-crop        the paper's five networks

**Time.** Not run to its end here; five to six days on two GTX 580 in the paper (section 5).
**To expect.** ILSVRC-2012 validation, ten crops: 40.7 % top-1 and 18.2 % top-5 error for one network, 38.1 % and 16.4 %
for five (Table 2). ILSVRC-2010 test: 37.5 % and 17.0 %, without the ten crops 39.0 % and 18.3 % (section 6).
**Assumed.** The paper divided the learning rate by hand, three times, when the validation error stopped improving; here
it is divided after five epochs without a better error. The mean of each channel is subtracted, not that of each pixel.
The shorter side of the stored images is 256/224 of the input's side, 259 pixels for 227; in the paper it is 256.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

ALEXNET_2012 = Recipe(
    name="alexnet_2012",
    source="Krizhevsky, Sutskever, Hinton, NIPS 2012, sections 4 and 5; the time of dividing the rate is assumed",
    epochs=90,  # "roughly 90 cycles"
    batch_size=128,
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    decay_all=True,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 3},  # "reduced three times prior to termination"
    augment=Augmentation(flip="on", pca_noise=0.1),
    keep="last",
    full_precision=True,
)

RECIPES = (ALEXNET_2012,)
PAPER_OF = {"alexnet": ALEXNET_2012}
