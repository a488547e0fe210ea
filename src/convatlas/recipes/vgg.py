"""VGG's trainings of 2014. Simonyan and Zisserman, arXiv:1409.1556, section 3.1.

    convatlas train vgg11 --data FOLDER --recipe vgg_2014_s256
    convatlas train vgg16 --data FOLDER --recipe paper --start-from RUN_OF_VGG11
    convatlas evaluate RUN --protocol multi-scale

**Time.** Not run to its end here; two to three weeks on four Titan Black in the paper.
**To expect.** ILSVRC-2012 validation, dense, top-1 and top-5 error of D: 27.0 % and 8.8 % for S = Q = 256; 25.6 % and
8.1 % for S in [256, 512], Q = 384 (Table 3); 24.8 % and 7.5 % for the latter at Q = 256, 384, 512 (Table 4).
**Printed.** Batch 256, momentum 0.9, decay 5e-4, learning rate 0.01 divided by ten three times when validation accuracy
stopped improving, 370,000 updates (74 epochs); mirror images and colour shift; a 224 x 224 window of the image with
shorter side S, 256 or 384 or drawn anew from [256, 512].
**Initial weights.** The paper trained A (vgg11) from random weights, and started the deeper networks with its first
four convolutions and its fully connected layers; --start-from does that. It also says that with Glorot's
initialisation, which these networks have here, this is not needed. S = 384 started from the weights of S = 256 with the
learning rate 0.001, and S in [256, 512] from those of S = 384; the recipe for S in [256, 512] does not require that.
**Assumed.** "Stopped improving" is five epochs without a better validation accuracy.
"""

from __future__ import annotations

from convatlas.data.augmentation import CROP_SCALE, Augmentation
from convatlas.recipes.recipe import Recipe

VGG_2014 = Recipe(
    name="vgg_2014",
    source="Simonyan and Zisserman, arXiv:1409.1556, section 3.1, S in [256, 512]; the length of a plateau is assumed",
    epochs=74,
    batch_size=256,
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    decay_all=True,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 3},
    augment=Augmentation(crop="scale-jitter", crop_scale=(256, 512), flip="on", pca_noise=0.1),
    keep="last",
    full_precision=True,
)
VGG_2014_S256 = VGG_2014.change(
    name="vgg_2014_s256",
    source=VGG_2014.source.replace("S in [256, 512]", "S = 256"),
    crop="pad",
    crop_scale=CROP_SCALE,
)
VGG_2014_S384 = VGG_2014_S256.change(
    name="vgg_2014_s384",
    source=VGG_2014.source.replace("S in [256, 512]", "S = 384, starting from the weights of S = 256"),
    lr=0.001,
    resize=384,
)

RECIPES = (VGG_2014_S256, VGG_2014_S384, VGG_2014)
PAPER_OF = {"vgg": VGG_2014}
