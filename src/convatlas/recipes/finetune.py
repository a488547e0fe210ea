"""Fine-tuning: a pretrained network, trained further on a few hundred photos of your own.

    convatlas train resnet20_cifar --data PHOTOS --recipe finetune --start-from runs/resnet20_cifar-cifar-001
    convatlas train resnet18@torchvision --data PHOTOS --recipe finetune --start-from torchvision:IMAGENET1K_V1
    convatlas train resnet18 --data PHOTOS --recipe finetune --start-from RUN --freeze all-but-head --unfreeze-every 2
    convatlas train resnet18 --data PHOTOS --recipe finetune --start-from RUN --find-lr

If the classes differ, the head is initialized anew. Size, mean and standard deviation of the images are those of the
pretrained weights. Every stage has 0.7 times the learning rate of the next one, because the features of the first
stages suit any photo.

**Time.** About that of `modern` for the same number of updates, because nothing is frozen. Frozen stages need no
backward pass.
**To expect.** Measured on 102 ants and bees at 64 pixels, five seeds: `speednet_cifar` pretrained on CIFAR-10 (93 %)
reaches 73.7 %, from random weights 61.0 %, a difference of 12.7 points (9.5 to 15.8). ResNet-20 with 85 % on CIFAR-10
was 4.3 points better than from random weights (-4.5 to 13.2) at 64 pixels, and 7.0 worse at 32 (results/transfer).
**Printed.** Discriminative learning rates and gradual unfreezing: Howard and Ruder, arXiv:1801.06146, sections 3.2 and
3.3, who divide by 2.6 from layer to layer of a language model.
**Assumed.** The factor 0.7 from stage to stage, and a fifth of the learning rate of `modern` for the same batch,
because a high rate destroys pretrained features.
"""

from __future__ import annotations

from convatlas.recipes.modern import DEEP_UNNORMALISED, MODERN, UNNORMALISED

FINETUNE = MODERN.change(
    name="finetune",
    source="discriminative learning rates: Howard and Ruder, arXiv:1801.06146, section 3.2; one-cycle schedule: Smith "
    "and Topin, arXiv:1708.07120; label smoothing: Szegedy et al., arXiv:1512.00567",
    epochs=30,
    min_updates=300,
    batch_size=32,
    lr=0.01,
    label_smoothing=0.1,
    stage_lr_decay=0.7,
)

FINETUNE_UNNORMALISED = FINETUNE.change(**UNNORMALISED | {"lr": 2e-4})
FINETUNE_DEEP_UNNORMALISED = FINETUNE.change(**DEEP_UNNORMALISED | {"lr": 3e-5})

RECIPES = (FINETUNE,)
