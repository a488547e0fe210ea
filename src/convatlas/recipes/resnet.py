"""The residual networks' trainings of 2015 (He, Zhang, Ren, Sun, sections 3.4 and 4.2).

convatlas train resnet20_cifar --data CIFAR --recipe paper
convatlas train resnet50 --data FOLDER --recipe paper
"""

from __future__ import annotations

from convatlas.recipes._recipe import Recipe

RESNET_2015 = Recipe(
    name="resnet_2015",
    source="He, Zhang, Ren, Sun, arXiv:1512.03385, section 3.4",
    epochs=120,  # 600,000 updates of 256 images
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay_all=True,
    schedule="plateau",
    schedule_settings={"gamma": 0.1, "times": 3},
    flip="on",
    keep="last",
    precision="fp32",
)

RESNET_CIFAR_2015 = Recipe(
    name="resnet_cifar_2015",
    source="He, Zhang, Ren, Sun, arXiv:1512.03385, section 4.2",
    epochs=164,  # 64,000 updates of 128 images, 391 an epoch
    batch_size=128,
    lr=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay_all=True,
    schedule="multistep",
    schedule_settings={"shares": [0.5, 0.75], "gamma": 0.1},  # at 32k and 48k of 64k
    pad="4",
    flip="on",
    keep="last",
    precision="fp32",
)

# "we use 0.01 to warm up the training until the training error is below 80 % (about 400 iterations)"
RESNET110_CIFAR_2015 = RESNET_CIFAR_2015.change(name="resnet110_cifar_2015", warmup_epochs=1.0, warmup_factor=0.1)
