"""RegNet's training of 2020. Radosavovic et al., arXiv:2003.13678, and facebookresearch/pycls, MODEL_ZOO.md.

    convatlas train regnet_y_400mf --data FOLDER --recipe paper

**Time.** 3.9 to 17 hours on 8 V100 for 400 MF to 4 GF (MODEL_ZOO.md). Not run to its end here.
**To expect.** ILSVRC-2012 validation, centre crop, top-1 error, mean of 5 runs: RegNetY-400MF 25.9 %, 1.6GF 22.0 %,
4.0GF 20.6 %; RegNetX-400MF 27.3 %, 1.6GF 23.0 %, 4.0GF 21.4 %.
**Printed.** SGD with momentum 0.9, half a cosine over 100 epochs, learning rate 0.1 for 128 images in proportion to the
batch of 1024, 5 epochs of warm-up, weight decay 5e-5; aspect ratio, mirror images and PCA noise.
**Assumed.** The standard deviation 0.1 of the PCA noise; decay on every parameter; Nesterov momentum, recalled.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

REGNET_2020 = Recipe(
    name="regnet_2020",
    source="facebookresearch/pycls, MODEL_ZOO.md",
    epochs=100,
    batch_size=1024,
    lr=0.8,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-5,
    decay_all=True,
    schedule="cosine",
    schedule_settings={"warmup": 0.05},
    augment=Augmentation(crop="random-resized", flip="on", pca_noise=0.1),
    keep="last",
    full_precision=True,
)

RECIPES = (REGNET_2020,)
PAPER_OF = {"regnet": REGNET_2020}
