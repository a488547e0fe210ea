"""Recipes of today, which train a network well; they do not reproduce the training of its paper.

    convatlas train resnet20_cifar --data CIFAR
    convatlas train resnet20_cifar --data CIFAR --recipe modern_long

`modern` is short: one cycle of the learning rate over 15 epochs, and more epochs for small training sets. `modern_long`
takes a night: half a cosine over 200 epochs with label smoothing, mixup or CutMix, TrivialAugment and random erasing;
the exponential moving average of the weights is evaluated and saved. Neither applies weight decay to biases and
normalization parameters. A network with batch norm is trained by SGD with Nesterov momentum. A network without it is
trained by AdamW, with a lower learning rate if it is deep.

**Time and result** of `modern`. ResNet-20 on CIFAR-10, 15 epochs: 19 minutes on two cores of an AMD EPYC, 89.2 % (88.6
to 89.8 %, 10,000 test images, centre). LeNet-5 on MNIST, 20 epochs: 2 minutes 22, 99.1 % (98.9 to 99.3 %, 10,000). Both
from results/main_job. `modern_long` was not run to its end here.
"""

from __future__ import annotations

from convatlas.recipes.recipe import Recipe

# networks with batch norm can be trained with a high learning rate that rises and falls once
MODERN = Recipe(
    name="modern",
    source="one-cycle schedule: Smith and Topin, arXiv:1708.07120; no decay on biases and norms: He et al., "
    "arXiv:1812.01187, section 3.1",
    epochs=15,
    min_updates=360,
    batch_size=128,
    optimizer="sgd",
    lr=0.2,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="one-cycle",
    schedule_settings={"rise": 0.2, "start": 0.15},
)

# networks without normalisation need an optimizer with adaptive steps
UNNORMALISED = {"optimizer": "adamw", "lr": 2e-3, "nesterov": False, "weight_decay": 0.02}
# deep networks without normalisation need small steps
DEEP_UNNORMALISED = UNNORMALISED | {"lr": 3e-4}

MODERN_UNNORMALISED = MODERN.change(
    source="decoupled weight decay: Loshchilov and Hutter, arXiv:1711.05101", **UNNORMALISED
)
MODERN_DEEP_UNNORMALISED = MODERN_UNNORMALISED.change(**DEEP_UNNORMALISED)
# networks that reconstruct their images: no weight decay, no shifts and no flips, because the error is per pixel
RECONSTRUCTION = MODERN_UNNORMALISED.change(loss="mse", weight_decay=0.0, pad=0, flip="off")

MODERN_LONG = MODERN.change(
    name="modern_long",
    source="cosine: Loshchilov and Hutter, arXiv:1608.03983; label smoothing: Szegedy et al., arXiv:1512.00567; mixup: "
    "Zhang et al., arXiv:1710.09412; cutmix: Yun et al., arXiv:1905.04899; TrivialAugment: Mueller and Hutter, "
    "arXiv:2103.10158; random erasing: Zhong et al., arXiv:1708.04896; together: Wightman et al., arXiv:2110.00476",
    epochs=200,
    min_updates=5000,
    lr=0.1,
    schedule="cosine",
    schedule_settings={"warmup": 0.025},
    label_smoothing=0.1,
    ema=0.999,
    policy="trivial",
    erasing=0.1,
    mixup=0.2,
    cutmix=1.0,
)
MODERN_LONG_UNNORMALISED = MODERN_LONG.change(**UNNORMALISED)
MODERN_LONG_DEEP_UNNORMALISED = MODERN_LONG.change(**DEEP_UNNORMALISED)

RECIPES = (MODERN, MODERN_LONG)
