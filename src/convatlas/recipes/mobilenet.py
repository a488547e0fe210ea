"""The trainings of the MobileNets and of MnasNet, 2017 to 2019. Howard et al., arXiv:1704.04861; Sandler et al.,
arXiv:1801.04381; Tan et al., arXiv:1807.11626; Howard et al., arXiv:1905.02244; and tensorflow/models, research/slim.

    convatlas train mobilenet_v1 --data FOLDER --recipe paper
    convatlas train mobilenet_v2 --data FOLDER --recipe paper
    convatlas train mobilenet_v3_large --data FOLDER --recipe paper

**Time.** Not run to its end here.
**To expect.** ILSVRC-2012 validation, one crop, top-1 accuracy of the released weights: MobileNet 70.9 %, MobileNetV2
71.8 %, MobileNetV3 75.2 % (large) and 67.5 % (small).
**Printed.** MobileNet, in mobilenet_v1_train.py: batch 64, learning rate 0.045, times 0.94 every 2.5 epochs, crops and
colours of Inception. MobileNetV2, in the README of slim/nets/mobilenet: batch 96, learning rate 0.045, times 0.98 every
2.5 epochs, 5.5 million updates on one GPU, label smoothing 0.1, averaged weights of decay 0.9999.
**Recalled.** RMSProp as for Inception-v3. MobileNetV3: RMSProp with momentum 0.9, batch 4096, learning rate 0.1, times
0.99 every 3 epochs, weight decay 1e-5, averaged weights. MnasNet: RMSProp, learning rate 0.256 for 4096 images, times
0.97 every 2.4 epochs, weight decay 1e-5, 350 epochs, 5 of warm-up. The texts of these sections were not found.
**Assumed.** Weight decay 4e-5 of the released definitions; 100 epochs for MobileNet and 600 for MobileNetV3; a warm-up
of 5 epochs for MobileNetV3, as its learning rate needs one. **A departure.** The released definitions leave the
depthwise kernels out of the decay; here all kernels have it. One process makes the updates; some of the papers'
replicas were asynchronous.
"""

from __future__ import annotations

from convatlas.recipes.inception import INCEPTION_V3_2015
from convatlas.recipes.recipe import Recipe

MOBILENET_V1_2017: Recipe = INCEPTION_V3_2015.change(
    name="mobilenet_v1_2017",
    source="Howard et al., arXiv:1704.04861, section 3.2 (recalled), and the released mobilenet_v1_train.py",
    epochs=100,
    batch_size=64,
    max_grad_norm=None,
    label_smoothing=0.0,
    schedule_settings={"gamma": 0.94, "every_epochs": 2.5},
)
MOBILENET_V2_2018: Recipe = MOBILENET_V1_2017.change(
    name="mobilenet_v2_2018",
    source="Sandler et al., arXiv:1801.04381, section 6.1 (recalled), and the README of slim/nets/mobilenet",
    epochs=412,  # 5.5 million updates of 96 images
    batch_size=96,
    label_smoothing=0.1,
    schedule_settings={"gamma": 0.98, "every_epochs": 2.5},
)
MOBILENET_V3_2019: Recipe = MOBILENET_V2_2018.change(
    name="mobilenet_v3_2019",
    source="Howard et al., arXiv:1905.02244, section 6.1 (recalled); label smoothing as for MobileNetV2",
    epochs=600,
    batch_size=4096,
    lr=0.1,
    weight_decay=1e-5,
    schedule_settings={"gamma": 0.99, "every_epochs": 3},
    warmup_epochs=5,
)

MNASNET_2018: Recipe = MOBILENET_V2_2018.change(
    name="mnasnet_2018",
    source="Tan et al., arXiv:1807.11626, section 5 (recalled), and tensorflow/tpu",
    epochs=350,
    batch_size=256,
    lr=0.016,
    eps=1e-3,
    weight_decay=1e-5,
    schedule_settings={"gamma": 0.97, "every_epochs": 2.4},
    warmup_epochs=5,
)

RECIPES = (MOBILENET_V1_2017, MOBILENET_V2_2018, MOBILENET_V3_2019, MNASNET_2018)
PAPER_OF = {
    "mobilenet_v1": MOBILENET_V1_2017,
    "mobilenet_v2": MOBILENET_V2_2018,
    "mobilenet_v3": MOBILENET_V3_2019,
    "mnasnet": MNASNET_2018,
}
