"""The residual networks' trainings of 2015. He, Zhang, Ren and Sun, arXiv:1512.03385, sections 3.4 and 4.2.

    convatlas train resnet20_cifar --data CIFAR --recipe paper
    convatlas train resnet20_cifar --data CIFAR --recipe paper --validation-images 0 --epochs 164
    convatlas train resnet50 --data FOLDER --recipe paper

**Time.** Not run to its end here; benchmarks/cifar_resnets.py trains the CIFAR networks for a few epochs.
**To expect.** CIFAR-10 test error: 8.75 % for 20 layers, 7.51 for 32, 7.17 for 44, 6.97 for 56 (Table 6, recalled),
6.43 for 110. ILSVRC-2012 validation, ten crops, top-1 and top-5 error: 22.85 % and 6.71 % for ResNet-50 (Table 3).
**Printed.** ImageNet: batch 256, 600,000 updates, learning rate 0.1 divided by ten when the error plateaus, decay 1e-4,
momentum 0.9, no dropout; the shorter side drawn from [256, 480], a 224 x 224 window or its mirror image, AlexNet's
colours. CIFAR: batch 128, 64,000 updates, learning rate divided by ten after 32,000 and 48,000, a schedule chosen with
45,000 training and 5,000 validation images; four pixels of padding, a window or its mirror image; the network of 110
layers begins with the learning rate 0.01.
**Assumed.** 64,000 updates are 182 epochs of the 45,000 training images; the second command is the paper's final run,
164 epochs of all 50,000. A plateau is five epochs without a better error, at most three times. The warm-up lasts one
epoch ("about 400 iterations") and does not wait for a training error below 80 %.
"""

from __future__ import annotations

from convatlas.data.augmentation import Augmentation
from convatlas.recipes.recipe import Recipe

RESNET_2015 = Recipe(
    name="resnet_2015",
    source="He, Zhang, Ren, Sun, arXiv:1512.03385, section 3.4; the length of a plateau is assumed",
    epochs=120,  # 600,000 updates of 256 images
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay_all=True,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 3},
    augment=Augmentation(crop="scale-jitter", crop_scale=(256, 480), flip="on", pca_noise=0.1),
    keep="last",
    full_precision=True,
)

RESNET_CIFAR_2015 = Recipe(
    name="resnet_cifar_2015",
    source="He, Zhang, Ren, Sun, arXiv:1512.03385, section 4.2",
    epochs=182,  # 64,000 updates of 128 images, 352 an epoch of 45,000
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay_all=True,
    schedule="multistep",
    schedule_settings={"shares": [0.5, 0.75], "gamma": 0.1},  # at 32k and 48k of 64k
    augment=Augmentation(pad=4, flip="on"),
    keep="last",
    full_precision=True,
)

# "we use 0.01 to warm up the training until the training error is below 80 % (about 400 iterations)"
RESNET110_CIFAR_2015 = RESNET_CIFAR_2015.change(name="resnet110_cifar_2015", warmup_epochs=1.0, warmup_factor=0.1)

RECIPES = (RESNET_2015, RESNET_CIFAR_2015, RESNET110_CIFAR_2015)
PAPER_OF = {
    "resnet": RESNET_2015,
    "resnet_cifar": RESNET_CIFAR_2015,
    "resnet110_cifar": RESNET110_CIFAR_2015,
    "resnet1202_cifar": RESNET110_CIFAR_2015,
}
