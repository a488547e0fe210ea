"""The DenseNets' trainings of 2016. Huang, Liu, van der Maaten and Weinberger, arXiv:1608.06993, section 4.2.

    convatlas train densenet121 --data FOLDER --recipe paper
    convatlas train densenet_bc100_k12_cifar --data CIFAR --recipe paper

**Time.** Not run to its end here.
**To expect.** CIFAR-10 test error with augmentation: 5.24 % for 40 layers and growth 12, 4.51 % for BC, 100 layers and
growth 12 (Table 2). ILSVRC-2012 validation, ten crops, top-1 and top-5 error: 23.61 % and 6.66 % for DenseNet-121
(Table 3). `convatlas show NAME` prints the figure of each network.
**Printed.** Nesterov momentum 0.9 without dampening, weight decay 1e-4, learning rate 0.1. ImageNet: batch 256, 90
epochs, divided by ten at 30 and 60, the augmentation of fb.resnet.torch; DenseNet-161: batch 128, 100 epochs, once more
at 90 (an earlier version of the paper). CIFAR: batch 64, 300 epochs, divided by ten at one half and three quarters;
SVHN 40 epochs; shifts by up to four pixels and mirror images. Dropout 0.2 is used only without augmentation, so not
here.
**Assumed.** Nothing; the colours of fb.resnet.torch are brightness, contrast and saturation by 0.6 to 1.4, and
AlexNet's colour noise.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

DENSENET_2016 = Recipe(
    name="densenet_2016",
    source="Huang, Liu, van der Maaten, Weinberger, arXiv:1608.06993, section 4.2, and fb.resnet.torch's augmentation",
    epochs=90,
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    decay_all=True,
    schedule="multistep",
    schedule_settings={"shares": [30 / 90, 60 / 90], "gamma": 0.1},
    augment=Augmentation(
        crop="random-resized",
        crop_area=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip="on",
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        pca_noise=0.1,
    ),
    keep="last",
    full_precision=True,
)
DENSENET161_2016 = DENSENET_2016.change(
    name="densenet161_2016",
    epochs=100,
    batch_size=128,
    schedule_settings={"shares": [0.3, 0.6, 0.9], "gamma": 0.1},
)
DENSENET_CIFAR_2016 = Recipe(
    name="densenet_cifar_2016",
    source="Huang, Liu, van der Maaten, Weinberger, arXiv:1608.06993, section 4.2",
    epochs=300,
    batch_size=64,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    decay_all=True,
    schedule="multistep",
    schedule_settings={"shares": [0.5, 0.75], "gamma": 0.1},
    augment=Augmentation(pad=4, flip="on"),
    keep="last",
    full_precision=True,
)

RECIPES = (DENSENET_2016, DENSENET161_2016, DENSENET_CIFAR_2016)
PAPER_OF = {"densenet": DENSENET_2016, "densenet161": DENSENET161_2016, "densenet_cifar": DENSENET_CIFAR_2016}
