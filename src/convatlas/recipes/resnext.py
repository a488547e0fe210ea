"""The trainings of ResNeXt, 2016, SENet, 2017, and CBAM, 2018. Xie et al., arXiv:1611.05431, section 4, and
facebookresearch/ResNeXt; Hu, Shen and Sun, arXiv:1709.01507, section 5, and hujie-frank/SENet.

    convatlas train resnext50_32x4d --data FOLDER --recipe paper
    convatlas train se_resnet50 --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, centre crop, top-1 error: ResNeXt-50 (32x4d) 22.2 %, ResNeXt-101 (32x4d) 21.2 %
(README); SE-ResNet-50 22.37 % (README, released weights); CBAM-ResNet-50 22.38 % (README, released weights). CIFAR-10
test, mean of 10 runs: ResNeXt-29 (8x64d) 3.65 % (Table 7).
**Printed.** ResNeXt: batch 256 on 8 GPUs, and fb.resnet.torch's training: learning rate 0.1, divided by 10 after 30 and
60 of 90 epochs, Nesterov momentum 0.9, weight decay 1e-4, its crops, colours and PCA noise. SENet: batch 1024, learning
rate 0.6, crops of 8 to 100 % of the area and ratios of 3/4 to 4/3, rotations of 10 degrees, mirror images (README).
ResNeXt-29: weight decay 5e-4, batch 128 (README). CBAM: 100 epochs, batch 256, learning rate 0.1 (README).
**Recalled.** ResNeXt-29: 300 epochs, the learning rate divided by 10 after 150 and 225. CBAM: divided by 10 every 30.
**Assumed.** SENet: 100 epochs, the learning rate divided by 10 every 30, recalled; its jitter of 20 in every pixel is a
brightness of 20/255 here.
"""

from __future__ import annotations

from convatlas.recipes.densenet import DENSENET_2016
from convatlas.recipes.recipe import Recipe
from convatlas.recipes.resnet import RESNET_CIFAR_2015

RESNEXT_2016: Recipe = DENSENET_2016.change(
    name="resnext_2016",
    source="Xie et al., arXiv:1611.05431, section 4, facebookresearch/ResNeXt and fb.resnet.torch",
)
SENET_2017: Recipe = DENSENET_2016.change(
    name="senet_2017",
    source="Hu, Shen and Sun, arXiv:1709.01507, section 5, and hujie-frank/SENet",
    epochs=100,
    batch_size=1024,
    lr=0.6,
    nesterov=False,
    schedule_settings={"shares": [0.3, 0.6, 0.9], "gamma": 0.1},
    rotate=10.0,
    brightness=20 / 255,
    contrast=0.0,
    saturation=0.0,
    pca_noise=0.0,
)

RESNEXT29_2016: Recipe = RESNET_CIFAR_2015.change(
    name="resnext29_2016",
    source="facebookresearch/ResNeXt README",
    epochs=300,
    lr=0.1,
    nesterov=True,
    weight_decay=5e-4,
    schedule_settings={"shares": [0.5, 0.75], "gamma": 0.1},
)
CBAM_2018: Recipe = DENSENET_2016.change(
    name="cbam_2018",
    source="Jongchan/attention-module README and train_imagenet.py",
    epochs=100,
    nesterov=False,
    schedule_settings={"shares": [0.3, 0.6, 0.9], "gamma": 0.1},
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    pca_noise=0.0,
)

RECIPES = (RESNEXT_2016, SENET_2017, RESNEXT29_2016, CBAM_2018)
PAPER_OF = {
    "resnext": RESNEXT_2016,
    "resnext29_8x64d_cifar": RESNEXT29_2016,
    "resnext29_16x64d_cifar": RESNEXT29_2016,
    "senet": SENET_2017,
    "cbam": CBAM_2018,
    "preact_resnet200": RESNEXT_2016,  # trained by the same program, fb.resnet.torch
    "wide_resnet50_2": RESNEXT_2016,  # trained by the same program
    "wide_resnet101_2": RESNEXT_2016,
}
