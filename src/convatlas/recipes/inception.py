"""The trainings of Inception-v3, 2015, and of Inception-v4 and the Inception-ResNets, 2016.

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, arXiv:1512.00567, sections 7 and 8; Szegedy, Ioffe, Vanhoucke and Alemi,
arXiv:1602.07261, section 4.

    convatlas train inception_v3 --data FOLDER --recipe paper
    convatlas train inception_resnet_v2 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, top-1 and top-5 error. Inception-v3: 18.77 % and 4.2 % with 144 crops (Table 4).
With one crop, without the images of a blacklist: Inception-v4 20.0 % and 5.0 %, Inception-ResNet-v1 21.3 % and 5.5 %,
Inception-ResNet-v2 19.9 % and 4.9 % (arXiv:1602.07261, Table 2).
**Printed.** RMSProp of decay 0.9 and epsilon 1.0; learning rate 0.045, times 0.94 every two epochs; batch 32 per
replica, 100 epochs, gradients clipped to the norm 2.0, label smoothing 0.1 (Inception-v3); the exponential moving
average of the weights is evaluated.
**Assumed.** From the released code: RMSProp's momentum 0.9, weight decay 4e-5 except on biases and norms, the decay
0.9999 of the average, and the weight of the auxiliary head (see the network's card). Crops are those of GoogLeNet. The
paper of 2016 does not print the length, label smoothing, or the norm for clipping: assumed are 160 epochs, where its
curves end, and otherwise the values of Inception-v3.
**A departure.** One process makes the updates; the papers had 50 and 20 replicas.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

INCEPTION_V3_2015 = Recipe(
    name="inception_v3_2015",
    source="Szegedy et al., arXiv:1512.00567, section 8; momentum, decay and averaging of the released code",
    epochs=100,
    batch_size=32,
    optimizer="rmsprop",
    lr=0.045,
    momentum=0.9,
    weight_decay=4e-5,
    max_grad_norm=2.0,
    ema=0.9999,
    schedule="exponential",
    schedule_settings={"gamma": 0.94, "every_epochs": 2},
    label_smoothing=0.1,
    augment=Augmentation(
        crop="random-resized",
        crop_area=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip="on",
        brightness=0.125,  # 32/255 in the released code
        saturation=0.5,
    ),
    keep="last",
    full_precision=True,
)
INCEPTION_V4_2016: Recipe = INCEPTION_V3_2015.change(
    name="inception_v4_2016",
    source="Szegedy et al., arXiv:1602.07261, section 4; length, smoothing and clipping as for Inception-v3 or assumed",
    epochs=160,
)

RECIPES = (INCEPTION_V3_2015, INCEPTION_V4_2016)
PAPER_OF = {"inception_v3": INCEPTION_V3_2015, "inception_v4": INCEPTION_V4_2016}
